// Python face of the sums of images.
#include "vflnative/image_sums.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "bind.h"

namespace nb = nanobind;

namespace vflnative::bind {
namespace {

using Polys = nb::ndarray<const std::int64_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<3>>;

Result image_sums_(const Polys& polys, const std::vector<std::size_t>& exponents, std::size_t step,
                   unsigned threads) {
    const std::size_t groups = polys.shape(0), images = polys.shape(1), n = polys.shape(2);
    if (!std::has_single_bit(n)) throw std::invalid_argument("the degree must be a power of two");
    if (images != exponents.size() || !std::has_single_bit(images) || images > n) {
        throw std::invalid_argument(
            "each group needs as many polynomials as there are exponents, a power of two");
    }
    for (const std::size_t kappa : exponents) {
        if (kappa % 2 == 0 || kappa >= 2 * n) {
            throw std::invalid_argument("exponents must be odd and below 2n");
        }
    }
    std::unique_ptr<std::int64_t[]> out(new std::int64_t[groups * images * n]);
    {
        nb::gil_scoped_release released;
        image_sums(polys.data(), groups, n, exponents, step, out.get(), threads);
    }
    std::int64_t* data = out.release();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::int64_t*>(p); });
    return Result(data, {groups, images, n}, owner);
}

}  // namespace

void bind_image_sums(nb::module_& module) {
    module.def("image_sums", image_sums_, nb::arg("polys"), nb::arg("exponents"), nb::arg("step"),
               nb::arg("threads") = 1,
               "out[s, kappa] = sum_b X^(step b) sigma_kappa(polys[s, b]), int64 (s, kappa, n). "
               "ValueError unless step (1 / kappa - 1) is a multiple of 2n / images for all kappa.");
}

}  // namespace vflnative::bind
