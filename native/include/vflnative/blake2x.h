// BLAKE2b (RFC 7693) with a free parameter block, its stream BLAKE2Xb (Aumasson et al., "BLAKE2X",
// 2016), and the uniform polynomials that Microsoft SEAL expands from a seed by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vflnative {

using SealSeed = std::span<const std::uint8_t, 64>;

// BLAKE2Xb of one little-endian word under a key of 64 bytes; out.size() below 2^32 - 1.
void blake2xb(SealSeed key, std::uint64_t word, std::span<std::uint8_t> out);

// out (k, n): the stream is BLAKE2Xb of 0, 1, 2, ..., 4096 bytes each, as 64-bit words. All k n words
// are drawn first; then, prime by prime, a word at or above the last multiple of q that fits is drawn
// again; then all are reduced.
void seal_uniform(SealSeed seed, std::span<const std::uint64_t> primes, std::uint64_t* out,
                  std::size_t n);

}  // namespace vflnative
