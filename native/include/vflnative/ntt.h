// Tables of one negacyclic number-theoretic transform: Z_p[X]/(X^n + 1), p = 1 mod 2n.
//
// Coefficients in natural order become values at psi^(2 bitrev(i) + 1), psi the smallest primitive
// 2n-th root (Longa and Naehrig, CANS 2016: psi merged into the twiddle factors). The transform is
// cut into radix-4 passes, one radix-2 pass where log2 n asks for it, and a tail whose blocks fit a
// register; src/simd/ring_ntt.h walks these tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "vflnative/modulus.h"

namespace vflnative {

// A 64-byte aligned array of words.
struct FreeWords {
    void operator()(std::uint64_t* words) const {
        ::operator delete[](words, std::align_val_t{64});
    }
};
using Words = std::unique_ptr<std::uint64_t[], FreeWords>;
Words make_words(std::size_t count);

// How a level writes a constant factor w: as two words, w and its quotient.
enum class FactorForm {
    shoup64,  // w, floor(2^64 w / p)
    shoup52,  // w, floor(2^52 w / p)
    fma,      // doubles: w centred in (-p/2, p/2), w / p
};

// A level's twiddle tables. The last stages, on blocks of `rows` words, run in registers on `lanes`
// blocks at once.
struct NttLayout {
    FactorForm form;
    unsigned rows;
    unsigned lanes;
};

// The first word of a factor below p, and both.
std::uint64_t factor_word(const Prime& p, FactorForm form, std::uint64_t w);
void write_factor(const Prime& p, FactorForm form, std::uint64_t w, std::uint64_t* pair);

class Ntt {
public:
    // What a pass must reduce so that doubles stay exact. Other forms reduce in every butterfly.
    enum Reduction : unsigned char { none, light, full };

    static constexpr std::size_t cached_words = 2048;  // half a first-level cache of 32 KB

    struct Pass {
        std::size_t radix;    // 4 or 2, of the tail 4 or 8
        std::size_t blocks;   // before the pass, in forward direction
        std::size_t length;   // of a block
        std::size_t factors;  // where its twiddle factors start
        Reduction forward, inverse;
    };

    // Magnitudes that go into the transforms; 0 stands for p.
    struct Bounds {
        double forward = 0, inverse = 0;
    };

    // `inverse` multiplies by `scale` / n. n is a power of two, 2^10 to 2^15; std::invalid_argument
    // unless p = 1 mod 2n.
    Ntt(const Prime& p, std::size_t n, const NttLayout& layout, const Bounds& bounds = {0, 0},
        std::uint64_t scale = 1);

    const Prime& prime() const { return prime_; }
    std::size_t size() const { return n_; }
    std::uint64_t root() const { return root_; }

    const std::vector<Pass>& passes() const { return passes_; }  // forward order, before the tail
    const Pass& tail() const { return tail_; }
    const std::uint64_t* forward_factors() const { return forward_.get(); }
    const std::uint64_t* inverse_factors() const { return inverse_.get(); }
    // Whether words must be settled before products, and sums of products reduced before `inverse`.
    bool settle_forward() const { return settle_forward_; }
    bool reduce_inverse() const { return reduce_inverse_; }
    // scale / n and, for the last stage, scale / n times its twiddle factor.
    const std::uint64_t* last_factors() const { return last_; }

private:
    void plan(const NttLayout& layout);
    void schedule(const NttLayout& layout, const Bounds& bounds);
    void fill(const NttLayout& layout, const std::vector<std::uint64_t>& powers,
              std::uint64_t* table) const;

    Prime prime_;
    std::size_t n_;
    std::uint64_t root_;
    std::vector<Pass> passes_;
    Pass tail_{};
    bool settle_forward_ = true, reduce_inverse_ = true;
    std::size_t factor_words_ = 0;
    Words forward_, inverse_;
    std::uint64_t last_[4] = {};
};

}  // namespace vflnative
