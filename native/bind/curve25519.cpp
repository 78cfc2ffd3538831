#include "vflnative/curve25519.h"

#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>

#include "bind.h"

namespace nb = nanobind;

namespace vflnative::bind {
namespace {

using Points = nb::ndarray<const std::uint8_t, nb::shape<-1, 32>, nb::c_contig, nb::device::cpu>;
using NewPoints = nb::ndarray<nb::numpy, std::uint8_t, nb::shape<-1, 32>, nb::c_contig>;
using NewBools = nb::ndarray<nb::numpy, bool, nb::shape<-1>, nb::c_contig>;

template <typename T>
nb::capsule owner_of(std::unique_ptr<T[]> data) {
    return nb::capsule(data.release(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
}

NewPoints x25519_batch(nb::bytes scalar, const Points& points, unsigned threads) {
    if (scalar.size() != 32) throw std::invalid_argument("a scalar has 32 bytes");
    const std::size_t count = points.shape(0);
    auto out = std::make_unique<std::uint8_t[]>(count * 32);
    std::uint8_t* raw = out.get();
    {
        const nb::gil_scoped_release release;
        curve25519::x25519(std::span<const std::uint8_t, 32>(
                               static_cast<const std::uint8_t*>(scalar.data()), 32),
                           points.data(), raw, count, threads);
    }
    return NewPoints(raw, {count, 32}, owner_of(std::move(out)));
}

NewBools curve25519_on_curve(const Points& points, unsigned threads) {
    static_assert(sizeof(bool) == 1);
    const std::size_t count = points.shape(0);
    auto out = std::make_unique<bool[]>(count);
    bool* raw = out.get();
    {
        const nb::gil_scoped_release release;
        curve25519::on_curve(points.data(), reinterpret_cast<std::uint8_t*>(raw), count, threads);
    }
    return NewBools(raw, {count}, owner_of(std::move(out)));
}

}  // namespace

void bind_curve25519(nb::module_& module) {
    module.def("x25519_batch", &x25519_batch, nb::arg("scalar"),
               nb::arg("points").noconvert(), nb::arg("threads") = 1,
               "X25519 (RFC 7748) of one 32-byte scalar and each of points (n, 32) uint8.\n\n"
               "Gives (n, 32) uint8; 32 zero bytes for a point of low order.");
    module.def("curve25519_on_curve", &curve25519_on_curve,
               nb::arg("points").noconvert(), nb::arg("threads") = 1,
               "Which of points (n, 32) uint8 are the canonical u-coordinate of a point of the curve.");
}

}  // namespace vflnative::bind
