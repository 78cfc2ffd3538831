// Plain factors of a packed product: sums of shifted automorphic images of integer polynomials.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vflnative {

// out[s][kappa] = sum_b X^(step * b) * sigma_kappa(polys[s][b]) modulo X^n + 1, for `groups` groups
// of as many polynomials b as there are exponents kappa (odd, below 2n). n is a power of two. Sums
// wrap modulo 2^64.
void image_sums(const std::int64_t* polys, std::size_t groups, std::size_t n,
                std::span<const std::size_t> exponents, std::size_t step, std::int64_t* out,
                unsigned threads);

}  // namespace vflnative
