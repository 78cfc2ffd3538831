// Rounding between residues and numbers of a few bits, k limbs at a time. Integers throughout.
//
// Word is the type of the rounded numbers: 64 bits, or 128 for those of more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vflnative/bitstream.h"
#include "vflnative/modulus.h"

namespace vflnative {

// Q = q_0 ... q_(k-1), as rounding needs to know it.
struct RnsBasis {
    std::span<const Prime> primes;
    std::span<const std::uint64_t> idempotents;  // (Q / q_i)^-1 mod q_i
    std::array<std::uint64_t, 4> product;        // Q
};

// round(2^bits x / Q) mod 2^128 by long division; for the cases the fast way cannot tell apart.
// Residue i is x[i * stride].
Word128 scale_down_exactly(const RnsBasis& basis, const std::uint64_t* x, std::size_t stride,
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
        : product_(static_cast<Word>(basis.product[0] |
                                     (static_cast<Word128>(basis.product[1]) << 64))),
          half_(static_cast<Word>(1) << (bits - 1)),
          mask_((half_ - 1) | half_) {
        for (std::size_t i = 0; i < k; ++i) {
            const Prime& p = basis.primes[i];
            const std::uint64_t half = (p.value + 1) / 2, low = p.value - p.power(half, bits);
            limbs_[i] = {p.value, half, {low, p.value}, {p.multiply(low, p.word), p.value}};
        }
    }

    // Limb i of the result goes to out + i * stride.
    void operator()(const Word* values, std::uint64_t* out, std::size_t stride,
                    std::size_t count) const {
        for (std::size_t j = 0; j < count; ++j) {
            const Word u = (product_ * values[j] + half_) & mask_;
            for (std::size_t i = 0; i < k; ++i) {
                const auto& [q, half, low, high] = limbs_[i];
                std::uint64_t r = low.times(static_cast<std::uint64_t>(u), q) + half;
                if constexpr (sizeof(Word) > sizeof(r)) {  // u >> 64 is short: adds 1.1 q at most
                    r += high.times(static_cast<std::uint64_t>(u >> 64), q);
                }
                r = Prime::subtract_once(r, 2 * q);  // from below 2.5 q or 3.6 q
                out[i * stride + j] = Prime::subtract_once(r, q);
            }
        }
    }

private:
    struct Limb {
        std::uint64_t q, half;  // half = 1/2 mod q
        ShoupFactor low, high;  // -2^-b and -2^(64-b) mod q
    };
    Word product_, half_, mask_;
    std::array<Limb, k> limbs_;
};

// round(2^b x / Q) mod 2^b = round(sum x_i theta_i), theta_i = 2^b t_i / q_i with the idempotents t_i:
// x / Q and sum x_i t_i / q_i differ by an integer. theta_i is held to 128 bits after the point.
template <std::size_t k, class Word>
class ScaleDown {
public:
    ScaleDown(const RnsBasis& basis, unsigned bits)
        : basis_(basis), bits_(bits), mask_(static_cast<Word>(~Word{0}) >> (8 * sizeof(Word) - bits)) {
        for (std::size_t i = 0; i < k; ++i) {
            const std::uint64_t q = basis.primes[i].value;
            const unsigned first = bits / 2, second = bits - first;  // both below 64
            const Word128 top = static_cast<Word128>(basis.idempotents[i]) << first;
            const Word128 next = (top % q) << second;
            const Word128 one = (next % q) << 64;
            const Word128 two = (one % q) << 64;
            limbs_[i] = {static_cast<Word>(((top / q) << second) + next / q),
                         static_cast<std::uint64_t>(one / q), static_cast<std::uint64_t>(two / q)};
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
                whole += a * limbs_[i].whole + static_cast<std::uint64_t>(part >> 64);
                fraction += static_cast<std::uint64_t>(part);
            }
            whole += static_cast<std::uint64_t>(fraction >> 64);
            if (static_cast<std::uint64_t>(fraction) > ~doubt) [[unlikely]] {
                whole = static_cast<Word>(scale_down_exactly(basis_, x + j, stride, bits_));
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
