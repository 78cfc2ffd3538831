// The batched algorithms over a ring of bigint_ring.h, row by row. Internal linkage, as there.
#pragma once

#include "bigint_kernels.h"
#include "bigint_ring.h"

namespace vflnative {
namespace {

// z = table[index], reading every entry so that no address depends on the index.
inline void select(Limb* z, const Limb* table, std::size_t entries, std::size_t words, Limb index) {
    clear(z, words);
    for (std::size_t d = 0; d < entries; ++d) {
        const Limb difference = d ^ index;
        const Limb mask = ((difference | (Limb{0} - difference)) >> 63) - 1;  // all ones when equal
        for (std::size_t i = 0; i < words; ++i) z[i] |= table[d * words + i] & mask;
    }
}

// table[d] = table[1]^d for d up to `last`; table[1] is set.
template <class Ring>
void fill_powers(Ring& ring, Limb* table, std::size_t last) {
    const std::size_t words = ring.words();
    copy(table, ring.one(), words);
    for (std::size_t d = 2; d <= last; ++d) {
        Limb* entry = table + d * words;
        if (d % 2 == 0) {
            ring.sqr(entry, table + d / 2 * words);
        } else {
            ring.mul(entry, table + (d - 1) * words, table + words);
        }
    }
}

template <class Ring>
void modmul_rows(const Modulus& modulus, const Limb* a, const Limb* b, Limb* out,
                 std::size_t rows) {
    Ring ring(modulus);
    const std::size_t limbs = modulus.limbs();
    for (std::size_t row = 0; row < rows; ++row) {
        ring.canonical_product(out + row * limbs, a + row * limbs, b + row * limbs);
    }
}

template <class Ring>
void modexp_rows(const Modulus& modulus, const Limb* bases, const Limb* exponents,
                 std::size_t limbs, std::size_t stride, Limb* out, std::size_t rows) {
    constexpr unsigned window = 5;
    constexpr std::size_t entries = 1u << window;
    Ring ring(modulus);
    const std::size_t words = ring.words();
    Scratch scratch((entries + 2) * words);
    Limb* table = scratch.at(0);
    Limb* power = scratch.at(entries * words);
    Limb* factor = scratch.at((entries + 1) * words);
    for (std::size_t row = 0; row < rows; ++row) {
        const Limb* exponent = exponents + row * stride;
        ring.load(table + words, bases + row * modulus.limbs());
        fill_powers(ring, table, entries - 1);
        std::size_t position = (64 * limbs - 1) / window * window;
        select(power, table, entries, words, bits_at(exponent, limbs, position, window));
        while (position > 0) {
            position -= window;
            for (unsigned i = 0; i < window; ++i) ring.sqr(power, power);
            select(factor, table, entries, words, bits_at(exponent, limbs, position, window));
            ring.mul(power, power, factor);
        }
        ring.store(out + row * modulus.limbs(), power);
    }
}

template <class Ring>
void window_bases(const Modulus& modulus, const FixedBaseShape& shape, const Limb* base,
                  Limb* table) {
    Ring ring(modulus);
    const std::size_t words = ring.words();
    const std::size_t stride = shape.entries() * words;
    ring.load(table + words, base);
    for (std::size_t w = 1; w < shape.windows(); ++w) {
        Limb* next = table + w * stride + words;
        ring.sqr(next, next - stride);
        for (unsigned i = 1; i < shape.window; ++i) ring.sqr(next, next);
    }
}

template <class Ring>
void window_powers(const Modulus& modulus, const FixedBaseShape& shape, Limb* table,
                   std::size_t begin, std::size_t end) {
    Ring ring(modulus);
    for (std::size_t w = begin; w < end; ++w) {
        fill_powers(ring, table + w * shape.entries() * ring.words(), shape.entries() - 1);
    }
}

template <class Ring>
void fixed_pow_rows(const Modulus& modulus, const FixedBaseShape& shape, const Limb* table,
                    const Limb* exponents, std::size_t limbs, const Limb* times, Limb* out,
                    std::size_t rows) {
    Ring ring(modulus);
    const std::size_t words = ring.words();
    Scratch scratch(words);
    Limb* power = scratch.at(0);
    for (std::size_t row = 0; row < rows; ++row) {
        if (times == nullptr) {
            copy(power, ring.one(), words);
        } else {
            ring.load(power, times + row * modulus.limbs());
        }
        for (std::size_t w = 0; w < shape.windows(); ++w) {
            const Limb digit =
                bits_at(exponents + row * limbs, limbs, w * shape.window, shape.window);
            ring.mul(power, power, table + (w * shape.entries() + digit) * words);
        }
        ring.store(out + row * modulus.limbs(), power);
    }
}

// Sums as elements: [column][position][sign].
template <class Ring>
std::size_t row_sum_words(const Modulus& modulus, const MultiexpPlan& plan) {
    return 2 * plan.columns * plan.positions * modulus.words();
}

template <class Ring>
void multiexp_start(const Modulus& modulus, const MultiexpPlan& plan, Limb* sums) {
    const std::size_t words = modulus.words();
    for (std::size_t i = 0; i < row_sum_words<Ring>(modulus, plan); i += words) {
        copy(sums + i, modulus.one(), words);
    }
}

template <class Ring>
void multiexp_gather(const Modulus& modulus, const MultiexpPlan& plan, const Limb* bases,
                     const std::int64_t* exponents, std::size_t rows, Limb* sums) {
    Ring ring(modulus);
    const std::size_t words = ring.words();
    const std::size_t largest = std::size_t{1} << (plan.window - 1);
    const std::size_t streams = plan.columns * plan.positions;
    Scratch scratch((largest + 1) * words + 2 * streams);
    Limb* table = scratch.at(0);
    Limb* digits = scratch.at((largest + 1) * words);
    Limb* signs = digits + streams;
    for (std::size_t row = 0; row < rows; ++row) {
        ring.load(table + words, bases + row * modulus.limbs());
        fill_powers(ring, table, largest);
        signed_digits(plan, exponents + row * plan.columns, digits, signs);
        for (std::size_t i = 0; i < streams; ++i) {
            Limb* sum = sums + (2 * i + (signs[i] & 1)) * words;
            ring.mul(sum, sum, table + digits[i] * words);
        }
    }
}

template <class Ring>
void multiexp_finish(const Modulus& modulus, const MultiexpPlan& plan, const Limb* sums,
                     std::size_t parts, std::size_t begin, std::size_t end, Limb* positive,
                     Limb* negative) {
    Ring ring(modulus);
    const std::size_t words = ring.words();
    Scratch scratch(words);
    Limb* power = scratch.at(0);
    const std::size_t part_words = row_sum_words<Ring>(modulus, plan);
    for (std::size_t column = begin; column < end; ++column) {
        for (std::size_t sign = 0; sign < 2; ++sign) {
            copy(power, ring.one(), words);
            for (unsigned position = plan.positions; position-- > 0;) {
                const std::size_t stream = column * plan.positions + position;
                for (unsigned i = 0; i < plan.window; ++i) ring.sqr(power, power);
                for (std::size_t part = 0; part < parts; ++part) {
                    ring.mul(power, power,
                             sums + part * part_words + (2 * stream + sign) * words);
                }
            }
            ring.store((sign ? negative : positive) + column * modulus.limbs(), power);
        }
    }
}

template <class Ring>
std::size_t row_words(const Modulus& modulus) {
    return modulus.words();
}

template <class Ring>
constexpr BigintKernels ring_kernels() {
    return {1,
            row_words<Ring>,
            row_sum_words<Ring>,
            modmul_rows<Ring>,
            modexp_rows<Ring>,
            window_bases<Ring>,
            window_powers<Ring>,
            fixed_pow_rows<Ring>,
            multiexp_start<Ring>,
            multiexp_gather<Ring>,
            multiexp_finish<Ring>};
}

// The two tables of a level whose rows are `Row`.
template <class Row>
constexpr BigintLevel row_kernels() {
    return {ring_kernels<PlainRing<Row>>(), ring_kernels<SquareRing<Row>>()};
}

}  // namespace
}  // namespace vflnative
