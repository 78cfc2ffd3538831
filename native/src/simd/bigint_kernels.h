// What one instruction level provides for big integers: a table of functions over ranges of rows.
//
// The functions know nothing of threads; src/modexp.cpp cuts a batch into ranges. A new level adds
// one source that fills one table. Canonical residues have modulus.limbs() limbs; elements, in the
// level's own Montgomery form, have words(modulus) words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vflnative/cpu.h"
#include "vflnative/modexp.h"

namespace vflnative {

struct BigintKernels {
    // Rows, windows or columns that are worked on at once: ranges are best cut at multiples.
    std::size_t lanes;

    std::size_t (*words)(const Modulus&);
    // Words of the accumulators of a multi-exponentiation.
    std::size_t (*sum_words)(const Modulus&, const MultiexpPlan&);

    // out[i] = a[i] b[i], canonical to canonical.
    void (*modmul)(const Modulus&, const std::uint64_t* a, const std::uint64_t* b,
                   std::uint64_t* out, std::size_t rows);

    // out[i] = bases[i]^exponent[i]; `stride` 0 shares one exponent of `limbs` limbs.
    void (*modexp)(const Modulus&, const std::uint64_t* bases, const std::uint64_t* exponents,
                   std::size_t limbs, std::size_t stride, std::uint64_t* out, std::size_t rows);

    // table[w][1] = base^(2^(w window)) for all windows, as elements.
    void (*window_bases)(const Modulus&, const FixedBaseShape&, const std::uint64_t* base,
                         std::uint64_t* table);
    // table[w][d] = table[w][1]^d for the windows [begin, end).
    void (*window_powers)(const Modulus&, const FixedBaseShape&, std::uint64_t* table,
                          std::size_t begin, std::size_t end);
    // out[i] = times[i] base^exponent[i]; `times` may be null.
    void (*fixed_pow)(const Modulus&, const FixedBaseShape&, const std::uint64_t* table,
                      const std::uint64_t* exponents, std::size_t limbs,
                      const std::uint64_t* times, std::uint64_t* out, std::size_t rows);

    // Sets accumulators to one, and multiplies rows [0, rows) of bases and exponents onto them.
    void (*multiexp_start)(const Modulus&, const MultiexpPlan&, std::uint64_t* sums);
    void (*multiexp_gather)(const Modulus&, const MultiexpPlan&, const std::uint64_t* bases,
                            const std::int64_t* exponents, std::size_t rows, std::uint64_t* sums);
    // Joins `parts` such sums for the columns [begin, end) into canonical residues.
    void (*multiexp_finish)(const Modulus&, const MultiexpPlan&, const std::uint64_t* sums,
                            std::size_t parts, std::size_t begin, std::size_t end,
                            std::uint64_t* positive, std::uint64_t* negative);
};

// A level: its kernels for each form of a modulus.
struct BigintLevel {
    BigintKernels plain;
    BigintKernels square;
};

extern const BigintLevel bigint_scalar;
#if defined(__x86_64__)
extern const BigintLevel bigint_adx;
extern const BigintLevel bigint_avx2;
#endif

// The active level's kernels for this modulus.
const BigintKernels& bigint_kernels(const Modulus& modulus);

namespace {

// The digits of a row of exponents (columns): absolute values, and all ones where negative; both
// (columns positions).
inline void signed_digits(const MultiexpPlan& plan, const std::int64_t* exponents,
                          std::uint64_t* digits, std::uint64_t* signs) {
    const std::uint64_t base = std::uint64_t{1} << plan.window;
    for (std::size_t column = 0; column < plan.columns; ++column) {
        const std::uint64_t sign = std::uint64_t{0} - (exponents[column] < 0);
        std::uint64_t rest = (static_cast<std::uint64_t>(exponents[column]) ^ sign) - sign;
        for (unsigned position = 0; position < plan.positions; ++position) {
            const std::uint64_t low = rest & (base - 1);
            const std::uint64_t flip = low > base / 2;  // digit = low - 2^window, carry one
            rest = (rest >> plan.window) + flip;
            *digits++ = flip ? base - low : low;
            *signs++ = sign ^ (std::uint64_t{0} - flip);
        }
    }
}

}  // namespace

}  // namespace vflnative
