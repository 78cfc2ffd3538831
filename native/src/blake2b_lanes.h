// BLAKE2b's compression function (RFC 7693 section 3.2) on one block or several side by side.
//
// V is a 64-bit word or a vector of them. Each instruction level has its own type in its own file,
// so that no code compiled for one level is linked into another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace vflnative::blake2b {

inline constexpr std::uint64_t initial[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

inline constexpr std::size_t order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

template <int n, class V>
inline V rotated(V x) {
    return (x >> n) | (x << (64 - n));
}

template <class V>
inline void mix(V& a, V& b, V& c, V& d, const V& x, const V& y) {
    a = a + b + x, d = rotated<32>(d ^ a);
    c = c + d, b = rotated<24>(b ^ c);
    a = a + b + y, d = rotated<16>(d ^ a);
    c = c + d, b = rotated<63>(b ^ c);
}

template <std::size_t turn, class V>
inline void round(V* v, const V* m) {
    constexpr const std::size_t(&s)[16] = order[turn % 10];
    mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
    mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
    mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
    mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
    mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
    mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
    mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
    mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
}

template <class V, std::size_t... turns>
inline void rounds(V* v, const V* m, std::index_sequence<turns...>) {
    (round<turns>(v, m), ...);
}

// h after one block m of a message, `bytes` taken in with it included.
template <class V>
inline void compress(V* h, const V* m, std::uint64_t bytes, bool last) {
    V v[16];
    for (std::size_t i = 0; i < 8; ++i) {
        v[i] = h[i];
        v[i + 8] = V{} + initial[i];
    }
    v[12] = v[12] ^ (V{} + bytes);
    if (last) v[14] = ~v[14];
    rounds(v, m, std::make_index_sequence<12>{});
    for (std::size_t i = 0; i < 8; ++i) h[i] = h[i] ^ v[i] ^ v[i + 8];
}

#if defined(VFLNATIVE_AVX2)
namespace avx2 {
// Four digests of `root` (8 words), of states h that differ by their node (the low half of h[1]),
// `node` and up, one after the other: 256 bytes.
void four_nodes(const std::uint64_t* h, const std::uint64_t* root, std::uint64_t node,
                std::uint8_t* out);
}  // namespace avx2
#endif

}  // namespace vflnative::blake2b
