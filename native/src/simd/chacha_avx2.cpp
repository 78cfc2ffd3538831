// Eight ChaCha20 blocks side by side, one in each 32-bit lane of AVX2.
//
// Only this file is compiled with -mavx2, so it calls no inline function that others share.
#include "../chacha_lanes.h"

#include <immintrin.h>

#include <cstdint>

namespace vflnative::chacha {
namespace {

struct Eight {
    __m256i v;
};

inline Eight operator+(Eight a, Eight b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline Eight operator^(Eight a, Eight b) { return {_mm256_xor_si256(a.v, b.v)}; }

template <int n>  // 16, 12, 8 or 7
inline Eight rotate(Eight a) {
    if constexpr (n % 8 == 0) {  // whole bytes move: one shuffle
        constexpr int word = n == 16 ? 0x01000302 : 0x02010003;  // where word 0's bytes come from
        constexpr int next = 0x04040404;
        const __m256i from = _mm256_add_epi32(
            _mm256_set1_epi32(word),
            _mm256_setr_epi32(0, next, 2 * next, 3 * next, 0, next, 2 * next, 3 * next));
        return {_mm256_shuffle_epi8(a.v, from)};
    } else {
        return {_mm256_or_si256(_mm256_slli_epi32(a.v, n), _mm256_srli_epi32(a.v, 32 - n))};
    }
}

// Rows of lanes to words of blocks: out[b] of eight vectors holds word w of block b in lane w.
inline void transpose(const Eight* rows, __m256i* out) {
    __m256i pair[8], four[8];
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_epi32(rows[i].v, rows[i + 1].v);
        pair[i + 1] = _mm256_unpackhi_epi32(rows[i].v, rows[i + 1].v);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; ++j) {
            four[i + 2 * j] = _mm256_unpacklo_epi64(pair[i + j], pair[i + j + 2]);
            four[i + 2 * j + 1] = _mm256_unpackhi_epi64(pair[i + j], pair[i + j + 2]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        out[i] = _mm256_permute2x128_si256(four[i], four[i + 4], 0x20);
        out[i + 4] = _mm256_permute2x128_si256(four[i], four[i + 4], 0x31);
    }
}

}  // namespace

void avx2::eight_blocks(const std::uint32_t* state, std::uint8_t* out) {
    Eight x[words];
    for (int w = 0; w < words; ++w) x[w] = {_mm256_set1_epi32(static_cast<int>(state[w]))};
    x[12] = x[12] + Eight{_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)};
    block_function(x);
    for (int half = 0; half < 2; ++half) {
        __m256i blocks[8];
        transpose(x + 8 * half, blocks);
        for (int b = 0; b < 8; ++b) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64 * b + 32 * half), blocks[b]);
        }
    }
}

}  // namespace vflnative::chacha
