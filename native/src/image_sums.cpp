#include "vflnative/image_sums.h"

#include <algorithm>
#include <bit>

#include "vflnative/parallel.h"

namespace vflnative {
namespace {

// kappa^-1 modulo 2n, by Newton: each step doubles the correct low bits.
std::size_t inverse_exponent(std::size_t kappa, std::size_t n) {
    std::size_t inverse = kappa;
    for (int i = 0; i < 6; ++i) inverse *= 2 - kappa * inverse;
    return inverse & (2 * n - 1);
}

// out += X^shift * sigma_kappa(in): coefficient m comes from m' = (m - shift) / kappa modulo 2n,
// negated where m' >= n.
void add_image(const std::uint64_t* in, std::size_t n, std::size_t kappa_inverse,
               std::size_t shift, std::uint64_t* out) {
    const auto log_n = static_cast<unsigned>(std::countr_zero(n));
    std::size_t from = (0 - shift) * kappa_inverse;
    for (std::size_t m = 0; m < n; ++m, from += kappa_inverse) {
        const std::uint64_t sign = std::uint64_t{0} - ((from >> log_n) & 1);
        out[m] += (in[from & (n - 1)] ^ sign) - sign;
    }
}

}  // namespace

void image_sums(const std::int64_t* polys, std::size_t groups, std::size_t n,
                std::span<const std::size_t> exponents, std::size_t step, std::int64_t* out,
                unsigned threads) {
    const std::size_t images = exponents.size();
    const auto* in = reinterpret_cast<const std::uint64_t*>(polys);
    auto* sums = reinterpret_cast<std::uint64_t*>(out);
    parallel_ranges(groups * images, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t which = begin; which < end; ++which) {
            std::uint64_t* sum = sums + which * n;
            std::fill_n(sum, n, std::uint64_t{0});
            const std::size_t kappa_inverse = inverse_exponent(exponents[which % images], n);
            const std::uint64_t* group = in + which / images * images * n;
            for (std::size_t b = 0; b < images; ++b) {
                add_image(group + b * n, n, kappa_inverse, step * b, sum);
            }
        }
    });
}

}  // namespace vflnative
