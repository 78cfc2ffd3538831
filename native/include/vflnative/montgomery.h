// An odd modulus and its constants for Montgomery arithmetic on 64-bit limbs.
//
// Two forms. `plain`: residues modulo m. `square`: residues modulo n^2, held n-adically as a pair
// (x0, x1) that stands for x0 - x1 n. With x0 y0 = z0 R - q n (Montgomery reduction modulo n,
// q its quotient) the product divided by R is
//
//     z0 - n (x0 y1 + x1 y0 + q) / R   (mod n^2)
//
// so a product modulo n^2 costs three products and two reductions of half size: five units of work
// instead of eight. The minus sign keeps every quantity non-negative.
//
// No product ends in a comparison. `half` limbs leave at least four spare bits, R >= 16 n, and
// every half of an element stays below 2 n: (4 n^2 + R n) / R < 2 n for z0, and
// (8 n^2 + R + R n) / R < 2 n for z1. (Plain residues obey the first bound.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vflnative {

class Modulus {
public:
    // `value` is little-endian: m for the plain form, n for the square form. Throws
    // std::invalid_argument for an even value or one below 3.
    Modulus(const std::uint64_t* value, std::size_t limbs, bool square);

    bool is_square() const { return square_; }
    // Limbs of a canonical residue, as callers see it.
    std::size_t limbs() const { return canonical_.size(); }
    // Limbs of one half of an element (all of it in the plain form).
    std::size_t half() const { return n_.size(); }
    // Words of an element in Montgomery form.
    std::size_t words() const { return square_ ? 2 * half() : half(); }

    const std::uint64_t* n() const { return n_.data(); }                  // (half)
    const std::uint64_t* canonical() const { return canonical_.data(); }  // m or n^2 (limbs)
    std::uint64_t negative_inverse() const { return negative_inverse_; }  // -1/n mod 2^64
    const std::uint64_t* one() const { return one_.data(); }              // R (words)
    // Multiplying what Ring::split makes of a canonical x by `lift` gives x R: R^2, or R^3 in the
    // square form, where split divides by R.
    const std::uint64_t* lift() const { return lift_.data(); }            // (words)
    // R^4 (words), in the square form only: undoes the R^3 of a product of two split factors.
    const std::uint64_t* rejoin() const { return rejoin_.data(); }

    // The same for R = 2^(52 lane_limbs), in limbs of 52 bits: for rows worked on side by side.
    // As many limbs as give four spare bits, rounded up to what the kernels' blocks divide.
    std::size_t lane_limbs() const { return lane_n_.size(); }
    std::size_t lane_words() const { return lane_one_.size(); }
    const std::uint64_t* lane_n() const { return lane_n_.data(); }
    const std::uint64_t* lane_one() const { return lane_one_.data(); }
    const std::uint64_t* lane_lift() const { return lane_lift_.data(); }
    const std::uint64_t* lane_rejoin() const { return lane_rejoin_.data(); }

    // True when the canonical residue x (limbs) is below the modulus.
    bool contains(const std::uint64_t* x) const;

private:
    bool square_;
    std::vector<std::uint64_t> n_, canonical_, one_, lift_, rejoin_;
    std::vector<std::uint64_t> lane_n_, lane_one_, lane_lift_, lane_rejoin_;
    std::uint64_t negative_inverse_;
};

}  // namespace vflnative
