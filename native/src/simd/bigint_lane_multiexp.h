// Straus' multi-exponentiation over a ring of bigint_lanes.h. Internal linkage.
//
// Tables are made for a group of rows in lanes; the products of one row then run over streams in
// lanes, a stream being one digit position of one column. Every product loads and stores the sums of
// both signs, so that no address depends on a sign.
#pragma once

#include "bigint_lane_algorithms.h"

namespace vflnative {
namespace {

// Sums in lanes: [group of streams][sign][word][lane], stream = column positions + position.
template <class Ring>
std::size_t lane_sum_words(const Modulus& modulus, const MultiexpPlan& plan) {
    const std::size_t streams = plan.columns * plan.positions;
    return (streams + Ring::lanes - 1) / Ring::lanes * 2 * modulus.lane_words() * Ring::lanes;
}

template <class Ring>
void lane_multiexp_start(const Modulus& modulus, const MultiexpPlan& plan, Limb* sums) {
    Ring ring(modulus);
    const std::size_t words = ring.words() * Ring::lanes;
    const Limb* one = reinterpret_cast<const Limb*>(ring.one());
    for (std::size_t i = 0; i < lane_sum_words<Ring>(modulus, plan); i += words) {
        copy(sums + i, one, words);
    }
}

template <class Ring>
void lane_multiexp_gather(const Modulus& modulus, const MultiexpPlan& plan, const Limb* bases,
                          const std::int64_t* exponents, std::size_t rows, Limb* sums) {
    using Vec = typename Ring::Vec;
    using Bits = typename Ring::Bits;
    constexpr std::size_t lanes = Ring::lanes;
    Ring ring(modulus);
    const std::size_t words = ring.words();
    const std::size_t largest = std::size_t{1} << (plan.window - 1);
    const std::size_t groups = (plan.columns * plan.positions + lanes - 1) / lanes;
    LaneScratch<Ring> scratch((2 * (largest + 1) + 2) * words + 2 * groups);
    Vec* powers = scratch.at(0);
    Limb* table = reinterpret_cast<Limb*>(scratch.at((largest + 1) * words));  // [lane][d][word]
    Vec* factor = scratch.at(2 * (largest + 1) * words);
    Vec* chosen = factor + words;
    Limb* digits = reinterpret_cast<Limb*>(chosen + words);
    Limb* signs = digits + groups * lanes;  // all ones for the negative sum
    for (std::size_t row = 0; row < rows; row += lanes) {
        const std::size_t count = rows - row < lanes ? rows - row : lanes;
        ring.load(powers + words, bases + row * modulus.limbs(), count);
        fill_lane_powers(ring, powers, largest);
        for (std::size_t d = 0; d <= largest; ++d) {
            Limb* entries[lanes];
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                entries[lane] = table + (lane * (largest + 1) + d) * words;
            }
            ring.scatter(entries, powers + d * words);
        }
        for (std::size_t lane = 0; lane < count; ++lane) {
            signed_digits(plan, exponents + (row + lane) * plan.columns, digits, signs);
            const Limb* own = table + lane * (largest + 1) * words;
            for (std::size_t group = 0; group < groups; ++group) {
                Entries<Ring> entries;
                for (std::size_t i = 0; i < lanes; ++i) {
                    entries.at[i] = own + digits[group * lanes + i] * words;
                }
                ring.gather(factor, entries.at);
                Limb* positive = sums + group * 2 * words * lanes;
                Limb* negative = positive + words * lanes;
                const Bits sign = Ring::load_bits(signs + group * lanes);
                for (std::size_t i = 0; i < words; ++i) {
                    const Bits p = Ring::load_bits(positive + i * lanes);
                    const Bits n = Ring::load_bits(negative + i * lanes);
                    chosen[i] = reinterpret_cast<Vec>((p & ~sign) | (n & sign));
                }
                ring.mul(chosen, chosen, factor);
                for (std::size_t i = 0; i < words; ++i) {
                    const Bits z = reinterpret_cast<Bits>(chosen[i]);
                    const Bits p = Ring::load_bits(positive + i * lanes);
                    const Bits n = Ring::load_bits(negative + i * lanes);
                    Ring::store_bits(positive + i * lanes, (z & ~sign) | (p & sign));
                    Ring::store_bits(negative + i * lanes, (z & sign) | (n & ~sign));
                }
            }
        }
    }
}

template <class Ring>
void lane_multiexp_finish(const Modulus& modulus, const MultiexpPlan& plan, const Limb* sums,
                          std::size_t parts, std::size_t begin, std::size_t end, Limb* positive,
                          Limb* negative) {
    constexpr std::size_t lanes = Ring::lanes;
    Ring ring(modulus);
    const std::size_t words = ring.words();
    const std::size_t part_words = lane_sum_words<Ring>(modulus, plan);
    LaneScratch<Ring> scratch(2 * words);
    auto* power = scratch.at(0);
    auto* factor = scratch.at(words);
    for (std::size_t column = begin; column < end; column += lanes) {
        const std::size_t count = end - column < lanes ? end - column : lanes;
        for (std::size_t sign = 0; sign < 2; ++sign) {
            copy(power, ring.one(), words);
            copy(factor, ring.one(), words);
            for (unsigned position = plan.positions; position-- > 0;) {
                for (unsigned i = 0; i < plan.window; ++i) ring.sqr(power, power);
                for (std::size_t part = 0; part < parts; ++part) {
                    for (std::size_t lane = 0; lane < count; ++lane) {
                        const std::size_t stream = (column + lane) * plan.positions + position;
                        const Limb* sum = sums + part * part_words + stream % lanes +
                                          (stream / lanes * 2 + sign) * words * lanes;
                        Limb* place = reinterpret_cast<Limb*>(factor) + lane;
                        for (std::size_t i = 0; i < words; ++i) place[i * lanes] = sum[i * lanes];
                    }
                    ring.mul(power, power, factor);
                }
            }
            ring.store((sign ? negative : positive) + column * modulus.limbs(), power, count);
        }
    }
}

}  // namespace
}  // namespace vflnative
