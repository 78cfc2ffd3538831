// The ChaCha20 block function (RFC 8439 section 2.3) on several blocks at once: lane b of vector w
// holds word w of block b.
//
// A vector type V brings +, ^ and rotate<n>, found by argument-dependent look-up. Each instruction
// level has its own type in its own file, so that no code compiled for one level is linked into
// another.
#pragma once

#include <cstdint>

namespace vflnative::chacha {

// Words of one state: constants, key, counter, nonce.
inline constexpr int words = 16;

template <class V>
void quarter_round(V& a, V& b, V& c, V& d) {
    a = a + b, d = rotate<16>(d ^ a);
    c = c + d, b = rotate<12>(b ^ c);
    a = a + b, d = rotate<8>(d ^ a);
    c = c + d, b = rotate<7>(b ^ c);
}

// The blocks of the states x, in their place.
template <class V>
void block_function(V (&x)[words]) {
    V start[words];
    for (int w = 0; w < words; ++w) start[w] = x[w];
    for (int round = 0; round < 20; round += 2) {
        for (int i = 0; i < 4; ++i) quarter_round(x[i], x[4 + i], x[8 + i], x[12 + i]);
        for (int i = 0; i < 4; ++i) {
            quarter_round(x[i], x[4 + (i + 1) % 4], x[8 + (i + 2) % 4], x[12 + (i + 3) % 4]);
        }
    }
    for (int w = 0; w < words; ++w) x[w] = x[w] + start[w];
}

#if defined(VFLNATIVE_AVX2)
namespace avx2 {
// Eight blocks, of counters state[12] and up, one after the other: 512 bytes.
void eight_blocks(const std::uint32_t* state, std::uint8_t* out);
}  // namespace avx2
#endif

}  // namespace vflnative::chacha
