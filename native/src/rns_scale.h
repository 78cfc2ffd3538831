// Rounding between residues and numbers of a few bits, k limbs at a time. Integers throughout.
//
// Word is the type of the rounded numbers: 64 bits, 128 for up to 110, 192 for up to 160.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vflnative/bitstream.h"
#include "vflnative/modulus.h"

namespace vflnative {

using Number = std::array<std::uint64_t, 4>;  // 256 bits, least significant first

// What a Word holds of a number.
template <class Word>
Word low_word(const Number& number) {
    if constexpr (sizeof(Word) > sizeof(Word128)) {
        return {number[0], number[1], number[2]};
    } else {
        return static_cast<Word>(number[0] | static_cast<Word128>(number[1]) << 64);
    }
}

// 2^bits - 1.
template <class Word>
Word low_mask(unsigned bits) {
    Number mask{};
    for (unsigned i = 0; 64 * i < bits; ++i) {
        mask[i] = ~std::uint64_t{0} >> (64 - std::min(64U, bits - 64 * i));
    }
    return low_word<Word>(mask);
}

// Q = q_0 ... q_(k-1), as rounding needs to know it.
struct RnsBasis {
    std::span<const Prime> primes;
    std::span<const std::uint64_t> idempotents;  // (Q / q_i)^-1 mod q_i
    Number product;                              // Q
};

// round(2^bits x / Q) by long division; for the cases the fast way cannot tell apart.
// Residue i is x[i * stride].
Number scale_down_exactly(const RnsBasis& basis, const std::uint64_t* x, std::size_t stride,
                          unsigned bits);

// A fixed factor w for products modulo q (Shoup): any 64-bit a gives a w mod q, plus at most q a / 2^64.
struct ShoupFactor {
    std::uint64_t factor, quotient;  // w, floor(2^64 w / q)

    ShoupFactor() = default;
    ShoupFactor(std::uint64_t w, std::uint64_t q)
        : factor(w), quotient(static_cast<std::uint64_t>((static_cast<Word128>(w) << 64) / q)) {}

    std::uint64_t times(std::uint64_t a, std::uint64_t q) const {
        return a * factor - Prime::high(a, quotient) * q;
    }
};

// round(Q v / 2^b) mod q_i. With u = Q v + 2^(b-1) mod 2^b the rounded number is
// (Q v - (u - 2^(b-1))) / 2^b, which is -u 2^-b + 1/2 modulo q_i.
template <std::size_t k, class Word>
class ScaleUp {
public:
    ScaleUp(const RnsBasis& basis, unsigned bits)
        : product_(low_word<Word>(basis.product)),
          mask_(low_mask<Word>(bits)),
          half_((mask_ >> 1) + Word{1}) {
        for (std::size_t i = 0; i < k; ++i) {
            const Prime& p = basis.primes[i];
            const std::uint64_t half = (p.value + 1) / 2;
            limbs_[i] = {p.value, half, {}};
            std::uint64_t power = p.value - p.power(half, bits);
            for (ShoupFactor& each : limbs_[i].powers) {
                each = {power, p.value};
                power = p.multiply(power, p.word);
            }
        }
    }

    // Limb i of the result goes to out + i * stride.
    void operator()(const Word* values, std::uint64_t* out, std::size_t stride,
                    std::size_t count) const {
        for (std::size_t j = 0; j < count; ++j) {
            const Word u = (product_ * values[j] + half_) & mask_;
            for (std::size_t i = 0; i < k; ++i) {
                const auto& [q, half, powers] = limbs_[i];
                std::uint64_t r = powers[0].times(part(u, 0), q) + half;
                if constexpr (sizeof(Word) > sizeof(r)) r += powers[1].times(part(u, 1), q);
                if constexpr (sizeof(Word) > sizeof(Word128)) {
                    r += powers[2].times(part(u, 2), q);
                    r = Prime::subtract_once(r, 2 * q);  // from below 5.6 q
                }
                r = Prime::subtract_once(r, 2 * q);  // from below 3.6 q
                out[i * stride + j] = Prime::subtract_once(r, q);
            }
        }
    }

private:
    struct Limb {
        std::uint64_t q, half;              // half = 1/2 mod q
        std::array<ShoupFactor, 3> powers;  // -2^-b, -2^(64-b) and -2^(128-b) mod q
    };

    // 64 bits of u from bit 64 i on: a full part adds up to 2 q, the last of 128 or 192 bits, which
    // has at most 46, up to 1.1 q.
    static std::uint64_t part(const Word& u, unsigned i) {
        if constexpr (sizeof(Word) > sizeof(Word128)) {
            return i == 0 ? u.low : i == 1 ? u.middle : u.high;
        } else {
            return static_cast<std::uint64_t>(static_cast<Word128>(u) >> 64 * i);
        }
    }

    Word product_, mask_, half_;
    std::array<Limb, k> limbs_;
};

// round(2^b x / Q) mod 2^b = round(sum x_i theta_i), theta_i = 2^b t_i / q_i with the idempotents t_i:
// x / Q and sum x_i t_i / q_i differ by an integer. theta_i is held to 128 bits after the point.
template <std::size_t k, class Word>
class ScaleDown {
public:
    ScaleDown(const RnsBasis& basis, unsigned bits)
        : basis_(basis), bits_(bits), mask_(low_mask<Word>(bits)) {
        for (std::size_t i = 0; i < k; ++i) {
            const std::uint64_t q = basis.primes[i].value;
            Word whole = 0;
            std::uint64_t rest = basis.idempotents[i];
            for (unsigned bit = 0; bit < bits; ++bit) {  // long division
                whole = whole + whole + Word{2 * rest >= q};
                rest = Prime::subtract_once(2 * rest, q);
            }
            const Word128 one = static_cast<Word128>(rest) << 64;
            const Word128 two = (one % q) << 64;
            limbs_[i] = {whole, static_cast<std::uint64_t>(one / q),
                         static_cast<std::uint64_t>(two / q)};
        }
    }

    // Limb i of x is at x + i * stride.
    void operator()(const std::uint64_t* x, std::size_t stride, Word* out,
                    std::size_t count) const {
        constexpr std::uint64_t doubt = 2 * k;  // the fraction falls short by less, in its last bit
        for (std::size_t j = 0; j < count; ++j) {
            Word whole = 0;
            Word128 fraction = std::uint64_t{1} << 63;  // one half, for rounding
            for (std::size_t i = 0; i < k; ++i) {
                const std::uint64_t a = x[i * stride + j];
                const Word128 part = static_cast<Word128>(a) * limbs_[i].fraction +
                                     Prime::high(a, limbs_[i].fraction_low);
                whole += Word{a} * limbs_[i].whole + Word{static_cast<std::uint64_t>(part >> 64)};
                fraction += static_cast<std::uint64_t>(part);
            }
            whole += Word{static_cast<std::uint64_t>(fraction >> 64)};
            if (static_cast<std::uint64_t>(fraction) > ~doubt) [[unlikely]] {
                whole = low_word<Word>(scale_down_exactly(basis_, x + j, stride, bits_));
            }
            out[j] = whole & mask_;
        }
    }

private:
    struct Limb {
        Word whole;                            // theta before the point
        std::uint64_t fraction, fraction_low;  // and after it
    };
    RnsBasis basis_;
    unsigned bits_;
    Word mask_;
    std::array<Limb, k> limbs_;
};

}  // namespace vflnative
