// Column sums of products of 52-bit limbs, W::lanes independent integers at once, on floating-point
// units.
//
// Limbs are doubles, integers in [0, 2^52). Under rounding toward minus infinity
//
//     h = fma(a, b, 2^104)               = 2^104 + 2^52 floor(a b / 2^52)
//     l = fma(a, b, 2^104 + 2^52 - h)    = 2^52 + (a b mod 2^52)
//
// exactly: a b < 2^104, so h lies in [2^104, 2^105), whose doubles are the multiples of 2^52; the
// difference is a multiple of 2^52 of at most 2^104 in magnitude; and l lies in [2^52, 2^53), whose
// doubles are the integers. So the bit patterns of h and l are those of 2^104 and 2^52 plus the high
// and the low half as integers, and patterns are summed in integer registers, modulo 2^64. How many
// a column collects is known beforehand, and as many constants are taken off again (`surplus`). A
// column holds at most three products and a digit, less than 6 limbs 2^52 + 2^52, and the carry from
// the column below: together less than 2^64 for the 512 limbs that src/modexp.cpp allows.
//
// Product scanning: a block of B columns stays in registers while the limbs pass (Koc, Acar and
// Kaliski, "Analyzing and comparing Montgomery multiplication algorithms", IEEE Micro 16(3), 1996,
// FIPS). Blocks are of four columns and, where the count is 4 k + 2, one of two.
//
// Everything here has internal linkage on purpose; see bigint_ring.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vflnative {
namespace {

constexpr unsigned lane_limb_bits = 52;
constexpr std::uint64_t lane_limb_mask = (std::uint64_t{1} << lane_limb_bits) - 1;
constexpr std::uint64_t unit_pattern = std::uint64_t{0x433} << 52;  // 2^52
constexpr std::uint64_t high_pattern = std::uint64_t{0x467} << 52;  // 2^104

// Products of two numbers of `limbs` limbs that meet in a column.
constexpr std::uint64_t products_in(std::size_t column, std::size_t limbs) {
    return column < limbs ? column + 1 : 2 * limbs - 1 - column;
}

// What the patterns of one product leave in a column, modulo 2^64.
constexpr std::uint64_t surplus(std::size_t column, std::size_t limbs) {
    const std::uint64_t below = column == 0 ? 0 : products_in(column - 1, limbs);
    return products_in(column, limbs) * unit_pattern + below * high_pattern;
}

template <class W>
struct Limbs {
    using Vec = typename W::Vec;    // doubles
    using Bits = typename W::Bits;  // std::uint64_t

    static Bits bits(Vec v) { return reinterpret_cast<Bits>(v); }
    // The double of an integer below 2^52, and back.
    static Vec number(Bits b) {
        return reinterpret_cast<Vec>(b | unit_pattern) - W::all(0x1p52);
    }
    static Bits integer(Vec v) { return bits(v + W::all(0x1p52)) & lane_limb_mask; }

    static void multiply_add(Bits& low, Bits& high, Vec a, Vec b) {
        const Vec h = W::fma(a, b, W::all(0x1p104));
        const Vec l = W::fma(a, b, W::all(0x1p104 + 0x1p52) - h);
        low += bits(l);
        high += bits(h);
    }

    // sums[c] += a[i] b[c - i] for i < length, the high halves going to sums[c + 1].
    template <std::size_t B>
    [[gnu::always_inline]] static void strip(Bits* sums, const Vec* a, const Vec* b,
                                             std::size_t length) {
        Vec window[B];
#pragma GCC unroll 4
        for (std::size_t c = 0; c < B; ++c) window[c] = b[c];
        for (; length >= B; length -= B, a += B, b -= B) {
#pragma GCC unroll 4
            for (std::size_t s = 0; s < B; ++s) {
                const Vec x = a[s];
#pragma GCC unroll 4
                for (std::size_t c = 0; c < B; ++c) {
                    multiply_add(sums[c], sums[c + 1], x, window[(c + B - s) % B]);
                }
                window[B - 1 - s] = b[-1 - static_cast<std::ptrdiff_t>(s)];
            }
        }
#pragma GCC unroll 4
        for (std::size_t s = 0; s + 1 < B; ++s) {
            if (s < length) {
#pragma GCC unroll 4
                for (std::size_t c = 0; c < B; ++c) {
                    multiply_add(sums[c], sums[c + 1], a[s], *(b + c - s));
                }
            }
        }
    }
};

// What a block of columns is made of. low() adds to the columns k .. k + B - 1, high() to the
// columns limbs + k .. limbs + k + B - 1; k is even. `sums` has B + 1 entries: products that double
// what they find must come first.

// a b
template <class W>
struct Product {
    using Vec = typename W::Vec;
    using Bits = typename W::Bits;
    static constexpr std::uint64_t weight = 1;  // products a column collects
    const Vec *a, *b;
    std::size_t limbs;

    template <std::size_t B>
    [[gnu::always_inline]] void low(Bits* sums, std::size_t k) const {
        Limbs<W>::template strip<B>(sums, a, b + k, k);
#pragma GCC unroll 4
        for (std::size_t s = 0; s < B; ++s) {
#pragma GCC unroll 4
            for (std::size_t c = s; c < B; ++c) {
                Limbs<W>::multiply_add(sums[c], sums[c + 1], a[k + s], b[c - s]);
            }
        }
    }
    template <std::size_t B>
    [[gnu::always_inline]] void high(Bits* sums, std::size_t k) const {
#pragma GCC unroll 4
        for (std::size_t s = 0; s + 1 < B; ++s) {
#pragma GCC unroll 4
            for (std::size_t c = 0; c <= s; ++c) {
                Limbs<W>::multiply_add(sums[c], sums[c + 1], a[k + 1 + s], b[limbs - 1 - s + c]);
            }
        }
        Limbs<W>::template strip<B>(sums, a + k + B, b + limbs - B, limbs - k - B);
    }
};

// a^2: the products of two different limbs once, doubled, and the squares of limbs.
template <class W>
struct Square {
    using Vec = typename W::Vec;
    using Bits = typename W::Bits;
    static constexpr std::uint64_t weight = 1;
    const Vec* a;
    std::size_t limbs;

    template <std::size_t B>
    [[gnu::always_inline]] void low(Bits* sums, std::size_t k) const {
        Limbs<W>::template strip<B>(sums, a, a + k, k / 2);
        crossing<B>(sums, k / 2);
        double_and_square<B>(sums, k / 2);
    }
    template <std::size_t B>
    [[gnu::always_inline]] void high(Bits* sums, std::size_t k) const {
        const std::size_t middle = (limbs + k) / 2;
        if (limbs - k >= 2 * B) {
#pragma GCC unroll 4
            for (std::size_t s = 0; s + 1 < B; ++s) {
#pragma GCC unroll 4
                for (std::size_t c = 0; c <= s; ++c) {
                    Limbs<W>::multiply_add(sums[c], sums[c + 1], a[k + 1 + s],
                                           a[limbs - 1 - s + c]);
                }
            }
            Limbs<W>::template strip<B>(sums, a + k + B, a + limbs - B, middle - k - B);
            crossing<B>(sums, middle);
        } else {  // the last block: limbs = k + B
#pragma GCC unroll 4
            for (std::size_t s = 0; s + 1 < B; ++s) {
#pragma GCC unroll 4
                for (std::size_t c = 0; c <= s; ++c) {
                    if (2 * s + 2 < B + c) {
                        Limbs<W>::multiply_add(sums[c], sums[c + 1], a[k + 1 + s],
                                               a[k + B - 1 - s + c]);
                    }
                }
            }
        }
        double_and_square<B>(sums, middle);
    }

private:
    // Pairs whose lower limb is in the block's own middle.
    template <std::size_t B>
    [[gnu::always_inline]] void crossing(Bits* sums, std::size_t middle) const {
#pragma GCC unroll 4
        for (std::size_t s = 0; s < B / 2; ++s) {
#pragma GCC unroll 4
            for (std::size_t c = 2 * s + 1; c < B; ++c) {
                Limbs<W>::multiply_add(sums[c], sums[c + 1], a[middle + s], a[middle + c - s]);
            }
        }
    }
    template <std::size_t B>
    [[gnu::always_inline]] void double_and_square(Bits* sums, std::size_t middle) const {
#pragma GCC unroll 5
        for (std::size_t c = 0; c <= B; ++c) sums[c] += sums[c];
#pragma GCC unroll 4
        for (std::size_t c = 0; c < B; c += 2) {
            const Vec x = a[middle + c / 2];
            Limbs<W>::multiply_add(sums[c], sums[c + 1], x, x);
        }
    }
};

// a b + c d
template <class W>
struct TwoProducts {
    static constexpr std::uint64_t weight = 2;
    Product<W> first, second;

    template <std::size_t B>
    [[gnu::always_inline]] void low(typename W::Bits* sums, std::size_t k) const {
        first.template low<B>(sums, k);
        second.template low<B>(sums, k);
    }
    template <std::size_t B>
    [[gnu::always_inline]] void high(typename W::Bits* sums, std::size_t k) const {
        first.template high<B>(sums, k);
        second.template high<B>(sums, k);
    }
};

// 2 a b
template <class W>
struct TwiceProduct {
    static constexpr std::uint64_t weight = 2;
    Product<W> product;

    template <std::size_t B>
    [[gnu::always_inline]] void low(typename W::Bits* sums, std::size_t k) const {
        product.template low<B>(sums, k);
#pragma GCC unroll 5
        for (std::size_t c = 0; c <= B; ++c) sums[c] += sums[c];
    }
    template <std::size_t B>
    [[gnu::always_inline]] void high(typename W::Bits* sums, std::size_t k) const {
        product.template high<B>(sums, k);
#pragma GCC unroll 5
        for (std::size_t c = 0; c <= B; ++c) sums[c] += sums[c];
    }
};

// A number itself: its low limbs and, unless null, its high limbs.
template <class W>
struct Given {
    static constexpr std::uint64_t weight = 0;
    const typename W::Vec *lower, *upper;

    template <std::size_t B>
    [[gnu::always_inline]] void low(typename W::Bits* sums, std::size_t k) const {
        add<B>(sums, lower, k);
    }
    template <std::size_t B>
    [[gnu::always_inline]] void high(typename W::Bits* sums, std::size_t k) const {
        add<B>(sums, upper, k);
    }

private:
    template <std::size_t B>
    static void add(typename W::Bits* sums, const typename W::Vec* limbs, std::size_t k) {
        if (limbs == nullptr) return;
#pragma GCC unroll 4
        for (std::size_t c = 0; c < B; ++c) sums[c] += Limbs<W>::integer(limbs[k + c]);
    }
};

}  // namespace
}  // namespace vflnative
