// Four field elements side by side, one in each 64-bit lane of AVX2: ten limbs of 26 and 25 bits in
// turn (Bernstein and Schwabe, NEON crypto, CHES 2012), products by the 32 x 32 -> 64 bit multiplier.
//
// Bounds: a product's even limbs stay below 2^26 + 2^13 and its odd ones below 2^25 + 2^13. One
// addition or subtraction of products gives at most 2^27.6 and 2^26.6, for which 19 times a limb fits
// 32 bits and ten summed products fit 64.
//
// Only this file is compiled with -mavx2, so it calls no inline function that others share.
#include "../curve25519_formulas.h"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace vflnative::curve25519 {
namespace {

using Lane = __m256i;

struct Lanes {
    Lane limb[10];

    static Lanes constant(std::uint64_t value) {  // below 2^26
        Lanes h;
        h.limb[0] = _mm256_set1_epi64x(static_cast<long long>(value));
        for (int i = 1; i < 10; ++i) h.limb[i] = _mm256_setzero_si256();
        return h;
    }
};

constexpr int bits(int i) { return i % 2 == 0 ? 26 : 25; }

inline Lane splat(std::uint64_t value) {
    return _mm256_set1_epi64x(static_cast<long long>(value));
}

inline Lane plus(Lane a, Lane b) { return _mm256_add_epi64(a, b); }

inline Lanes add(const Lanes& f, const Lanes& g) {
    Lanes h;
    for (int i = 0; i < 10; ++i) h.limb[i] = plus(f.limb[i], g.limb[i]);
    return h;
}

// f - g + 2p, so that no limb goes below zero.
inline Lanes subtract(const Lanes& f, const Lanes& g) {
    Lanes h;
    for (int i = 0; i < 10; ++i) {
        const std::uint64_t twice = (std::uint64_t{2} << bits(i)) - (i == 0 ? 38 : 2);
        h.limb[i] = _mm256_sub_epi64(plus(f.limb[i], splat(twice)), g.limb[i]);
    }
    return h;
}

// Moves what is above limb i's bits to the next limb; 2^255 = 19 brings limb 9's to limb 0.
template <int i>
inline void carry_from(Lane* h) {
    const Lane above = _mm256_srli_epi64(h[i], bits(i));
    h[i] = _mm256_and_si256(h[i], splat((std::uint64_t{1} << bits(i)) - 1));
    if constexpr (i < 9) {
        h[i + 1] = plus(h[i + 1], above);
    } else {  // 19 = 1 + 2 + 16; the carry may have 33 bits, one too many for the multiplier
        h[0] = plus(plus(h[0], above),
                    plus(_mm256_slli_epi64(above, 1), _mm256_slli_epi64(above, 4)));
    }
}

// Two chains at once, so that they overlap.
inline Lanes carried(Lanes h) {
    carry_from<0>(h.limb), carry_from<4>(h.limb);
    carry_from<1>(h.limb), carry_from<5>(h.limb);
    carry_from<2>(h.limb), carry_from<6>(h.limb);
    carry_from<3>(h.limb), carry_from<7>(h.limb);
    carry_from<4>(h.limb), carry_from<8>(h.limb);
    carry_from<9>(h.limb);
    carry_from<0>(h.limb);
    return h;
}

inline Lanes multiply(const Lanes& f, const Lanes& g) {
    Lane g19[10];
    for (int j = 1; j < 10; ++j) g19[j] = _mm256_mul_epu32(g.limb[j], splat(19));
    Lanes h = Lanes::constant(0);
#pragma GCC unroll 10
    for (int i = 0; i < 10; ++i) {
        const Lane once = f.limb[i];
        const Lane twice = plus(once, once);  // 25 + 25 bits stop one short of the next limb
#pragma GCC unroll 10
        for (int j = 0; j < 10; ++j) {
            const Lane left = i % 2 == 1 && j % 2 == 1 ? twice : once;
            const Lane right = i + j >= 10 ? g19[j] : g.limb[j];
            Lane& sum = h.limb[(i + j) % 10];
            sum = plus(sum, _mm256_mul_epu32(left, right));
        }
    }
    return carried(h);
}

inline Lanes square(const Lanes& f) {
    Lane f19[10];
    for (int j = 5; j < 10; ++j) f19[j] = _mm256_mul_epu32(f.limb[j], splat(19));
    Lanes h = Lanes::constant(0);
#pragma GCC unroll 10
    for (int i = 0; i < 10; ++i) {
        const Lane once = f.limb[i];
        const Lane twice = plus(once, once);
        const Lane four = plus(twice, twice);
#pragma GCC unroll 10
        for (int j = i; j < 10; ++j) {
            const bool odd = i % 2 == 1 && j % 2 == 1;
            const Lane left = i == j ? (odd ? twice : once) : (odd ? four : twice);
            const Lane right = i + j >= 10 ? f19[j] : f.limb[j];
            Lane& sum = h.limb[(i + j) % 10];
            sum = plus(sum, _mm256_mul_epu32(left, right));
        }
    }
    return carried(h);
}

inline Lanes multiply_small(const Lanes& f, std::uint64_t g) {
    Lanes h;
    for (int i = 0; i < 10; ++i) h.limb[i] = _mm256_mul_epu32(f.limb[i], splat(g));
    return carried(h);
}

inline void swap_if(std::uint64_t mask, Lanes& f, Lanes& g) {
    const Lane wide = splat(mask);
    for (int i = 0; i < 10; ++i) {
        const Lane t = _mm256_and_si256(wide, _mm256_xor_si256(f.limb[i], g.limb[i]));
        f.limb[i] = _mm256_xor_si256(f.limb[i], t);
        g.limb[i] = _mm256_xor_si256(g.limb[i], t);
    }
}

// Limbs 2k and 2k + 1 are the low 26 and the high 25 bits of a 51-bit limb k.
Lanes gather(const Field* f) {
    Lanes h;
    for (int k = 0; k < 5; ++k) {
        const Lane limb = _mm256_set_epi64x(
            static_cast<long long>(f[3].limb[k]), static_cast<long long>(f[2].limb[k]),
            static_cast<long long>(f[1].limb[k]), static_cast<long long>(f[0].limb[k]));
        h.limb[2 * k] = _mm256_and_si256(limb, splat((std::uint64_t{1} << 26) - 1));
        h.limb[2 * k + 1] = _mm256_srli_epi64(limb, 26);
    }
    return h;
}

void scatter(const Lanes& f, Field* h, std::size_t stride) {
    for (int k = 0; k < 5; ++k) {
        alignas(32) std::uint64_t limb[4];
        _mm256_store_si256(reinterpret_cast<Lane*>(limb),
                           plus(f.limb[2 * k], _mm256_slli_epi64(f.limb[2 * k + 1], 26)));
        for (std::size_t lane = 0; lane < 4; ++lane) h[lane * stride].limb[k] = limb[lane];
    }
}

}  // namespace

void avx2::ladders(const std::uint64_t* scalar, const Field* u, Fraction<Field>* out) {
    const Fraction<Lanes> result = ladder(scalar, gather(u));
    static_assert(sizeof(Fraction<Field>) == 2 * sizeof(Field));
    scatter(result.x, &out->x, 2);
    scatter(result.z, &out->z, 2);
}

void avx2::curve_symbols(const Field* u, Field* out) {
    scatter(curve_symbol(gather(u)), out, 1);
}

}  // namespace vflnative::curve25519
