// The batched algorithms over a ring of bigint_lane_rings.h, a group of rows at a time. Internal
// linkage, as in bigint_ring.h.
//
// A single row left over is served by the mulx kernels where it would fill one lane alone; where a
// table is in this level's form, the lanes share the row instead.
#pragma once

#include "bigint_kernels.h"
#include "bigint_lanes.h"

namespace vflnative {
namespace {

inline const BigintKernels& single_row(const Modulus& modulus) {
    return modulus.is_square() ? bigint_adx.square : bigint_adx.plain;
}

// Vectors for one call, wiped at the end.
template <class Ring>
class LaneScratch {
public:
    using Vec = typename Ring::Vec;
    explicit LaneScratch(std::size_t vectors) : scratch_(vectors * Ring::lanes) {}
    Vec* at(std::size_t offset) {
        return reinterpret_cast<Vec*>(scratch_.at(offset * Ring::lanes));
    }

private:
    Scratch scratch_;
};

template <class Vec>
inline void copy(Vec* z, const Vec* x, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) z[i] = x[i];
}

template <class Ring>
std::size_t lane_words(const Modulus& modulus) {
    return modulus.lane_words();
}

template <class Ring>
void modmul_lanes(const Modulus& modulus, const Limb* a, const Limb* b, Limb* out,
                  std::size_t rows) {
    const std::size_t limbs = modulus.limbs();
    std::size_t row = 0;
    if (rows > 1) {
        Ring ring(modulus);
        for (; row + 1 < rows; row += Ring::lanes) {
            ring.canonical_product(out + row * limbs, a + row * limbs, b + row * limbs,
                                   rows - row < Ring::lanes ? rows - row : Ring::lanes);
        }
    }
    if (row < rows) {
        single_row(modulus).modmul(modulus, a + row * limbs, b + row * limbs, out + row * limbs, 1);
    }
}

// z = in each lane the entry of its index, reading every entry.
template <class Ring>
void select(typename Ring::Vec* z, const typename Ring::Vec* table, std::size_t entries,
            std::size_t words, typename Ring::Bits index) {
    using Bits = typename Ring::Bits;
    constexpr std::size_t block = 4;  // vectors summed in registers; divides words
    const Bits* entry = reinterpret_cast<const Bits*>(table);
    for (std::size_t i = 0; i < words; i += block) {
        Bits sum[block] = {};
        for (std::size_t d = 0; d < entries; ++d) {
            const Bits mask = reinterpret_cast<Bits>(index == (Bits{} + d));
#pragma GCC unroll 4
            for (std::size_t j = 0; j < block; ++j) sum[j] |= entry[d * words + i + j] & mask;
        }
        for (std::size_t j = 0; j < block; ++j) {
            z[i + j] = reinterpret_cast<typename Ring::Vec>(sum[j]);
        }
    }
}

// table[d] = table[1]^d for d up to `last`; table[1] is set.
template <class Ring>
void fill_lane_powers(Ring& ring, typename Ring::Vec* table, std::size_t last) {
    const std::size_t words = ring.words();
    copy(table, ring.one(), words);
    for (std::size_t d = 2; d <= last; ++d) {
        if (d % 2 == 0) {
            ring.sqr(table + d * words, table + d / 2 * words);
        } else {
            ring.mul(table + d * words, table + (d - 1) * words, table + words);
        }
    }
}

template <class Ring>
void modexp_lanes(const Modulus& modulus, const Limb* bases, const Limb* exponents,
                  std::size_t limbs, std::size_t stride, Limb* out, std::size_t rows) {
    constexpr unsigned window = 4;  // the table stays near, as it is read as a whole
    constexpr std::size_t entries = 1u << window;
    constexpr std::size_t lanes = Ring::lanes;
    const std::size_t width = modulus.limbs();
    std::size_t row = 0;
    if (rows > 1) {
        Ring ring(modulus);
        const std::size_t words = ring.words();
        LaneScratch<Ring> scratch((entries + 2) * words);
        auto* table = scratch.at(0);
        auto* power = scratch.at(entries * words);
        auto* factor = scratch.at((entries + 1) * words);
        for (; row + 1 < rows; row += lanes) {
            const std::size_t count = rows - row < lanes ? rows - row : lanes;
            const auto digits = [&](std::size_t position) {
                typename Ring::Bits index{};
                for (std::size_t lane = 0; lane < count; ++lane) {
                    index[lane] =
                        bits_at(exponents + (row + lane) * stride, limbs, position, window);
                }
                return index;
            };
            ring.load(table + words, bases + row * width, count);
            fill_lane_powers(ring, table, entries - 1);
            std::size_t position = 64 * limbs - window;  // a multiple of the window
            select<Ring>(power, table, entries, words, digits(position));
            while (position > 0) {
                position -= window;
                for (unsigned i = 0; i < window; ++i) ring.sqr(power, power);
                select<Ring>(factor, table, entries, words, digits(position));
                ring.mul(power, power, factor);
            }
            ring.store(out + row * width, power, count);
        }
    }
    if (row < rows) {
        single_row(modulus).modexp(modulus, bases + row * width, exponents + row * stride, limbs,
                                   stride, out + row * width, 1);
    }
}

// Entries of a table of powers as pointers, one a lane.
template <class Ring>
struct Entries {
    const Limb* at[Ring::lanes];
};

template <class Ring>
void lane_window_bases(const Modulus& modulus, const FixedBaseShape& shape, const Limb* base,
                       Limb* table) {
    Ring ring(modulus);
    const std::size_t words = ring.words();
    LaneScratch<Ring> scratch(2 * words);
    auto* power = scratch.at(0);
    Limb* unused = reinterpret_cast<Limb*>(scratch.at(words));
    ring.load(power, base, 1);
    for (std::size_t w = 0; w < shape.windows(); ++w) {
        Limb* entries[Ring::lanes];
        for (Limb*& entry : entries) entry = unused;
        entries[0] = table + (w * shape.entries() + 1) * words;
        ring.scatter(entries, power);
        for (unsigned i = 0; i < shape.window; ++i) ring.sqr(power, power);
    }
}

// A group of windows in lanes; spare lanes repeat the last window.
template <class Ring>
void lane_window_powers(const Modulus& modulus, const FixedBaseShape& shape, Limb* table,
                        std::size_t begin, std::size_t end) {
    Ring ring(modulus);
    const std::size_t words = ring.words();
    LaneScratch<Ring> scratch(3 * words);
    auto* base = scratch.at(0);
    auto* power = scratch.at(words);
    auto* half = scratch.at(2 * words);
    for (; begin < end; begin += Ring::lanes) {
        Limb* entries[Ring::lanes];
        const auto at = [&](std::size_t d) {
            for (std::size_t lane = 0; lane < Ring::lanes; ++lane) {
                const std::size_t w = begin + lane < end ? begin + lane : end - 1;
                entries[lane] = table + (w * shape.entries() + d) * words;
            }
            return entries;
        };
        ring.scatter(at(0), ring.one());
        ring.gather(base, at(1));
        copy(power, base, words);
        for (std::size_t d = 2; d < shape.entries(); ++d) {
            if (d % 2 == 0) {
                ring.gather(half, at(d / 2));
                ring.sqr(power, half);
            } else {
                ring.mul(power, power, base);
            }
            ring.scatter(at(d), power);
        }
    }
}

// With fewer rows than lanes, `share` lanes take every share-th window of a row each.
template <class Ring>
void lane_fixed_pow(const Modulus& modulus, const FixedBaseShape& shape, const Limb* table,
                    const Limb* exponents, std::size_t limbs, const Limb* times, Limb* out,
                    std::size_t rows) {
    constexpr std::size_t lanes = Ring::lanes;
    Ring ring(modulus);
    const std::size_t words = ring.words(), width = modulus.limbs();
    LaneScratch<Ring> scratch(3 * words);
    auto* power = scratch.at(0);
    auto* factor = scratch.at(words);
    Limb* split = reinterpret_cast<Limb*>(scratch.at(2 * words));
    for (std::size_t row = 0; row < rows; row += lanes) {
        const std::size_t count = rows - row < lanes ? rows - row : lanes;
        std::size_t share = lanes / count;
        const auto entries = [&](std::size_t step) {
            Entries<Ring> found;
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const std::size_t r = lane / share, w = step * share + lane % share;
                std::size_t entry = 0;  // one
                if (r < count && w < shape.windows()) {
                    entry = w * shape.entries() +
                            bits_at(exponents + (row + r) * limbs, limbs, w * shape.window,
                                    shape.window);
                }
                found.at[lane] = table + entry * words;
                for (std::size_t i = 0; i < words; i += 8) {
                    __builtin_prefetch(found.at[lane] + i);
                }
            }
            return found;
        };
        const std::size_t steps = (shape.windows() + share - 1) / share;
        Entries<Ring> next = entries(0);
        for (std::size_t step = 0; step < steps; ++step) {
            const Entries<Ring> now = next;
            if (step + 1 < steps) next = entries(step + 1);
            ring.gather(step == 0 ? power : factor, now.at);
            if (step > 0) ring.mul(power, power, factor);
        }
        for (; share > 1; share /= 2) {  // neighbouring lanes join
            Limb* parts[lanes];
            for (std::size_t lane = 0; lane < lanes; ++lane) parts[lane] = split + lane * words;
            ring.scatter(parts, power);
            Entries<Ring> left, right;
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                left.at[lane] = parts[2 * lane % lanes];
                right.at[lane] = parts[(2 * lane + 1) % lanes];
            }
            ring.gather(power, left.at);
            ring.gather(factor, right.at);
            ring.mul(power, power, factor);
        }
        if (times != nullptr) {
            ring.load(factor, times + row * width, count);
            ring.mul(power, power, factor);
        }
        ring.store(out + row * width, power, count);
    }
}

}  // namespace
}  // namespace vflnative
