// Plain factors of a packed product: sums of shifted automorphic images of integer polynomials.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vflnative {

// out[s][kappa] = sum_b X^(step * b) * sigma_kappa(polys[s][b]) modulo X^n + 1, for `groups` groups
// of as many polynomials b as there are exponents kappa, a power of two; n is one as well. Sums wrap
// modulo 2^64.
//
// The exponents are odd, below 2n, and with images = exponents.size() such that
// step * (kappa^-1 - 1) is a multiple of 2n / images; std::invalid_argument otherwise. Then with the
// root of unity w = X^(2n / images)
//
//     X^(step b) sigma_kappa(p) = sigma_kappa(w^(b t) X^(step b) p),  t = step (kappa^-1 - 1) images / 2n
//
// so all sums of a group are one discrete Fourier transform over polynomials and a permutation each.
void image_sums(const std::int64_t* polys, std::size_t groups, std::size_t n,
                std::span<const std::size_t> exponents, std::size_t step, std::int64_t* out,
                unsigned threads);

}  // namespace vflnative
