// Polynomials of Z_Q[X]/(X^n + 1), Q a product of distinct primes, one limb of n residues a prime.
//
// Batches are polynomials one after the other, (polys, k, n) words. Transforms follow ntt.h. Results
// are fully reduced, so they do not depend on level or threads. Words that are not residues give
// words without meaning, nothing worse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vflnative/ntt.h"

namespace vflnative {

struct RingKernels;

class Ring {
public:
    // n is a power of two from 2^10 to 2^15, each prime q = 1 mod 2n and 2^17 < q < 2^61;
    // std::invalid_argument otherwise. Kernels are those of the level active now.
    Ring(std::size_t n, std::span<const std::uint64_t> primes);
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    std::size_t size() const { return n_; }
    std::size_t limbs() const { return limbs_.size(); }
    std::size_t words() const { return n_ * limbs_.size(); }  // of one polynomial
    const Prime& prime(std::size_t limb) const { return limbs_[limb].ntt.prime(); }
    std::uint64_t root(std::size_t limb) const { return limbs_[limb].ntt.root(); }

    void forward(const std::uint64_t* x, std::uint64_t* out, std::size_t polys,
                 unsigned threads) const;
    void inverse(const std::uint64_t* x, std::uint64_t* out, std::size_t polys,
                 unsigned threads) const;

    // out[i] = a[i] op b[i mod b_polys]
    struct Pairs {
        const std::uint64_t* a;
        const std::uint64_t* b;
        std::uint64_t* out;
        std::size_t polys, b_polys;
    };
    void add(const Pairs& pairs, unsigned threads) const;
    void subtract(const Pairs& pairs, unsigned threads) const;
    void multiply(const Pairs& pairs, unsigned threads) const;

    // out[i][p] = x[i] y[p] in the ring: x (polys) and out in coefficient form, y in NTT form.
    void convolve(const std::uint64_t* x, const std::uint64_t* y, std::uint64_t* out,
                  std::size_t polys, std::size_t y_polys, unsigned threads) const;

    // Limb i times factors[i], taken modulo its prime.
    void scale(const std::uint64_t* x, const std::uint64_t* factors, std::uint64_t* out,
               std::size_t polys, unsigned threads) const;

    // out[s][p] = sum_m w[s][m] c[m][p], word by word.
    struct MacShape {
        std::size_t rows, terms, polys;
    };
    void multiply_accumulate(const std::uint64_t* w, const std::uint64_t* c, std::uint64_t* out,
                             const MacShape& shape, unsigned threads) const;

    // out[o][p] = sum_d weights[o][d] c[d][p]; magnitudes of weights below 2^62.
    struct GemmShape {
        std::size_t outputs, depth, polys;
    };
    void gemm(const std::int64_t* weights, const std::uint64_t* c, std::uint64_t* out,
              const GemmShape& shape, unsigned threads) const;

    // Coefficient form: X -> X^exponent for odd exponents, and the product with X^exponent; both
    // below 2n.
    void automorphism(const std::uint64_t* x, std::size_t exponent, std::uint64_t* out,
                      std::size_t polys, unsigned threads) const;
    void shift(const std::uint64_t* x, std::size_t exponent, std::uint64_t* out, std::size_t polys,
               unsigned threads) const;

    // Residues of signed integers: (polys, n) to (polys, k, n).
    void lift(const std::int64_t* x, std::uint64_t* out, std::size_t polys, unsigned threads) const;

private:
    struct Limb {
        const RingKernels* kernels;
        Ntt ntt;
    };

    // work(limb, offset) for every limb of every polynomial, offset in words.
    template <class Work>
    void each_limb(std::size_t polys, unsigned threads, const Work& work) const;

    std::size_t n_;
    std::vector<Limb> limbs_;
};

// Single limbs of n residues, for who works on those.
void permute_limb(const Prime& p, const std::uint64_t* x, std::size_t exponent, std::uint64_t* out,
                  std::size_t n);
void shift_limb(const RingKernels& kernels, const Prime& p, const std::uint64_t* x,
                std::size_t exponent, std::uint64_t* out, std::size_t n);

// This thread's scratch memory of at least that many words, until its next call.
std::uint64_t* scratch_words(std::size_t count);

}  // namespace vflnative
