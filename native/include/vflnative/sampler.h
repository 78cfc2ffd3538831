// Random polynomials expanded from a seed: the same ones on every machine that knows it.
//
// Polynomial j takes the key streams of its own index, so that any of them can be expanded alone.
// Operations and addresses do not depend on accepted values; what is rejected is independent of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vflnative/chacha.h"

namespace vflnative {

// out (count, k, n): residues uniform below q_i, limb i of polynomial j from index j k + i:
// little-endian 64-bit words masked to bit_length(q_i), those not below q_i left out.
void sample_uniform(Seed seed, std::uint32_t stream, std::span<const std::uint64_t> primes,
                    std::uint64_t* out, std::size_t n, std::size_t count, unsigned threads);

// out (count, n): uniform -1, 0 and 1, polynomial j from index j: a byte below 255 modulo 3, minus 1.
void sample_ternary(Seed seed, std::uint32_t stream, std::int64_t* out, std::size_t n,
                    std::size_t count, unsigned threads);

// out (count, n): centred binomial with 21 + 21 coins (variance 10.5), polynomial j from index j: ones
// among bits 0 to 20 of a little-endian 64-bit word, minus those among bits 21 to 41.
void sample_binomial(Seed seed, std::uint32_t stream, std::int64_t* out, std::size_t n,
                     std::size_t count, unsigned threads);

}  // namespace vflnative
