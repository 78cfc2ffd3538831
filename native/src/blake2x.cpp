#include "vflnative/blake2x.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "blake2b_lanes.h"
#include "vflnative/cpu.h"

namespace vflnative {
namespace {

using u64 = std::uint64_t;

// The parameter block of RFC 7693 with the fields of BLAKE2X.
struct Parameters {
    u64 digest, key, fanout, depth, leaf, node, stream, inner;
};

void start(u64* h, const Parameters& p) {
    std::copy_n(blake2b::initial, 8, h);
    h[0] ^= p.digest | p.key << 8 | p.fanout << 16 | p.depth << 24 | p.leaf << 32;
    h[1] ^= p.node | p.stream << 32;
    h[2] ^= p.inner << 8;
}

}  // namespace

void blake2xb(SealSeed key, u64 word, std::span<std::uint8_t> out) {
    u64 root[8], block[16] = {};
    std::memcpy(block, key.data(), key.size());
    start(root, {64, 64, 1, 1, 0, 0, out.size(), 0});
    blake2b::compress(root, block, 128, false);
    std::fill_n(block, 16, 0);
    block[0] = word;
    blake2b::compress(root, block, 128 + sizeof word, true);

    std::copy_n(root, 8, block);
    std::fill_n(block + 8, 8, 0);
    std::size_t at = 0;
    u64 h[8];
#if defined(VFLNATIVE_AVX2)
    if (active_level() >= CpuLevel::avx2) {
        start(h, {64, 0, 0, 0, 64, 0, out.size(), 64});
        for (; at + 256 <= out.size(); at += 256) {
            blake2b::avx2::four_nodes(h, root, at / 64, out.data() + at);
        }
    }
#endif
    for (; at < out.size(); at += 64) {
        const std::size_t length = std::min<std::size_t>(64, out.size() - at);
        start(h, {length, 0, 0, 0, 64, at / 64, out.size(), 64});
        blake2b::compress(h, block, 64, true);
        std::memcpy(out.data() + at, h, length);
    }
}

void seal_uniform(SealSeed seed, std::span<const u64> primes, u64* out, std::size_t n) {
    constexpr std::size_t chunk = 512;  // words
    const std::size_t total = n * primes.size();
    std::array<u64, chunk> buffer;
    u64 blocks = 0;
    std::size_t used = chunk;
    const auto next_chunk = [&](u64* words) {
        blake2xb(seed, blocks++, {reinterpret_cast<std::uint8_t*>(words), 8 * chunk});
    };
    const auto draw = [&] {
        if (used == chunk) next_chunk(buffer.data()), used = 0;
        return buffer[used++];
    };
    std::size_t drawn = 0;
    for (; drawn + chunk <= total; drawn += chunk) next_chunk(out + drawn);
    for (; drawn < total; ++drawn) out[drawn] = draw();
    for (std::size_t limb = 0; limb < primes.size(); ++limb) {
        const u64 q = primes[limb], ratio = ~u64{0} / q, limit = ratio * q - 1;
        for (u64* word = out + limb * n; word < out + (limb + 1) * n; ++word) {
            while (*word >= limit) *word = draw();
            // The estimate of the quotient by floor((2^64 - 1) / q) is at most one too small.
            const u64 quotient =
                static_cast<u64>(static_cast<unsigned __int128>(*word) * ratio >> 64);
            const u64 rest = *word - quotient * q;
            *word = rest >= q ? rest - q : rest;
        }
    }
}

}  // namespace vflnative
