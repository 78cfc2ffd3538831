// Four BLAKE2b digests side by side, one in each 64-bit lane of AVX2.
//
// Only this file is compiled with -mavx2, so it calls no inline function that others share.
#include "../blake2b_lanes.h"

namespace vflnative::blake2b {
namespace {

typedef std::uint64_t Four __attribute__((vector_size(32)));

}  // namespace

void avx2::four_nodes(const std::uint64_t* h, const std::uint64_t* root, std::uint64_t node,
                      std::uint8_t* out) {
    Four states[8], block[16] = {};
    for (std::size_t i = 0; i < 8; ++i) {
        states[i] = Four{} + h[i];
        block[i] = Four{} + root[i];
    }
    states[1] ^= Four{node, node + 1, node + 2, node + 3};
    compress(states, block, 64, true);
    for (std::size_t b = 0; b < 4; ++b) {
        for (std::size_t i = 0; i < 8; ++i) {
            const std::uint64_t word = states[i][b];
            __builtin_memcpy(out + 64 * b + 8 * i, &word, sizeof word);
        }
    }
}

}  // namespace vflnative::blake2b
