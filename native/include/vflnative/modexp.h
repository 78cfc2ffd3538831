// Batched exponentiation modulo one odd modulus: arrays of canonical residues in and out.
//
// Residues are little-endian rows of modulus.limbs() limbs, each below the modulus; callers check.
// Results do not depend on the instruction level or on `threads`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vflnative/montgomery.h"

namespace vflnative {

struct BigintKernels;

// out[i] = a[i] b[i].
void modmul(const Modulus& modulus, const std::uint64_t* a, const std::uint64_t* b,
            std::uint64_t* out, std::size_t rows, unsigned threads);

// out[i] = bases[i]^exponents[i]. One exponent of `limbs` limbs a row, or one for all rows.
// For secret exponents: the sequence of operations and of addresses depends on `limbs` alone.
void modexp(const Modulus& modulus, const std::uint64_t* bases, const std::uint64_t* exponents,
            std::size_t limbs, bool shared, std::uint64_t* out, std::size_t rows,
            unsigned threads);

struct FixedBaseShape {
    std::size_t exponent_bits;
    unsigned window;  // bits
    std::size_t windows() const { return (exponent_bits + window - 1) / window; }
    std::size_t entries() const { return std::size_t{1} << window; }
};

// Powers base^(d 2^(w window)) for all digits d and windows w: one product a window and exponent.
// The products do not depend on the exponent; which table rows are read does.
class FixedBase {
public:
    FixedBase(Modulus modulus, const std::uint64_t* base, FixedBaseShape shape, unsigned threads);

    // out[i] = times[i] base^exponents[i]; `times` may be null. Exponents have `limbs` limbs a row
    // and are below 2^exponent_bits.
    void pow(const std::uint64_t* exponents, std::size_t limbs, const std::uint64_t* times,
             std::uint64_t* out, std::size_t rows, unsigned threads) const;

    const Modulus& modulus() const { return modulus_; }
    const FixedBaseShape& shape() const { return shape_; }
    std::size_t table_bytes() const { return table_.size() * sizeof(std::uint64_t); }

private:
    Modulus modulus_;
    FixedBaseShape shape_;
    const BigintKernels* kernels_;  // the level that laid the table out also reads it
    std::vector<std::uint64_t> table_;
};

// How the exponents of one product are cut: `positions` signed digits of `window` bits,
// -2^(window-1) < digit <= 2^(window-1). A function of the shape and of the longest exponent.
struct MultiexpPlan {
    std::size_t columns;
    unsigned window;
    unsigned positions;
    MultiexpPlan(std::size_t rows, std::size_t columns, unsigned exponent_bits);
};

// positive[j] / negative[j] = prod_i bases[i]^exponents[i, j] (Straus, American Mathematical
// Monthly 71(7), 1964): one table of powers a base, shared by all columns, and two accumulators a
// column so that no base is inverted. |exponents| < 2^62. The number of products depends on the
// shape and on the bit length of the largest exponent; zero digits cost as much as others.
void multiexp(const Modulus& modulus, const std::uint64_t* bases, const std::int64_t* exponents,
              std::size_t rows, std::size_t columns, std::uint64_t* positive,
              std::uint64_t* negative, unsigned threads);

}  // namespace vflnative
