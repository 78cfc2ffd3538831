// What one instruction level provides for polynomials modulo word-size primes: a table of functions
// on single limbs, one row of n residues each. They know nothing of threads.
//
// "Working words" are what a level computes with (integers or doubles, possibly not fully reduced);
// residues are integers below the prime.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vflnative/ntt.h"

namespace vflnative {

// out[s][p] = sum_m w[s][m] c[m][p] over `words` consecutive words.
struct MacBlock {
    const std::uint64_t* w;
    std::size_t w_row, w_term;  // strides in words
    const std::uint64_t* c;
    std::size_t c_term, c_poly;
    std::uint64_t* out;
    std::size_t out_row, out_poly;
    std::size_t rows, terms, polys, words;
    std::uint64_t* scratch;  // words * polys * (terms + 2)
};

// out[o] = sum_d weights[o][d] c[d] over `words` consecutive words. A weight is the first word of its
// factor; with `chunk` > 0 it is the integer itself as a double, and sums of `chunk` products with
// centred residues are exact.
struct GemmBlock {
    const std::uint64_t* weights;
    std::size_t chunk;
    const std::uint64_t* c;
    std::size_t c_term;
    std::uint64_t* out;
    std::size_t out_row;
    std::size_t outputs, depth, words;
    std::uint64_t* scratch;  // words * depth
};

// One polynomial and one limb of a key switch: sum_d digit_d key[d] modulo `ntt`'s prime.
struct SwitchSum {
    const Ntt* ntt;
    std::size_t digits;
    const std::uint64_t* transformed;  // (digits, n), of switch_digit
    const std::uint64_t* key;          // this polynomial and limb of key[0]
    std::size_t key_digit;             // stride of the key's digits in words
    std::uint64_t* out;                // working words, coefficient form
};

// out = x + (t - [u]) / P for one limb: t, times 1/P already, and u, the limb of P, in working words.
struct SwitchFinish {
    const Prime* prime;
    const Prime* special;
    const std::uint64_t* inverse;  // factor 1/P mod prime
    const std::uint64_t* t;
    const std::uint64_t* u;
    const std::uint64_t* x;        // residues, or null for none
    std::uint64_t* out;
    std::size_t n;
};

struct RingKernels {
    NttLayout layout;
    void (*forward)(const Ntt&, const std::uint64_t* in, std::uint64_t* out);
    void (*inverse)(const Ntt&, const std::uint64_t* in, std::uint64_t* out);
    void (*add)(const Prime&, const std::uint64_t* a, const std::uint64_t* b, std::uint64_t* out,
                std::size_t words);
    void (*subtract)(const Prime&, const std::uint64_t* a, const std::uint64_t* b,
                     std::uint64_t* out, std::size_t words);
    void (*negate)(const Prime&, const std::uint64_t* a, std::uint64_t* out, std::size_t words);
    void (*multiply)(const Prime&, const std::uint64_t* a, const std::uint64_t* b,
                     std::uint64_t* out, std::size_t words);
    void (*scale)(const Prime&, const std::uint64_t* a, std::uint64_t factor, std::uint64_t* out,
                  std::size_t words);
    void (*lift)(const Prime&, const std::int64_t* x, std::uint64_t* out, std::size_t words);
    void (*mac)(const Prime&, const MacBlock&);
    void (*gemm)(const Prime&, const GemmBlock&);
    // The digit of residues modulo `digit`, centred, transformed into working words modulo ntt's prime.
    void (*switch_digit)(const Ntt&, const Prime& digit, const std::uint64_t* in,
                         std::uint64_t* out);
    void (*switch_sum)(const SwitchSum&);
    void (*switch_finish)(const SwitchFinish&);
};

extern const RingKernels ring_scalar;
#if defined(__x86_64__)
extern const RingKernels ring_avx2;
extern const RingKernels ring_avx512;
extern const RingKernels ring_ifma;
#endif

// The active level's kernels for primes of up to `bits` bits: above 50, the scalar ones.
const RingKernels& ring_kernels(unsigned bits);

}  // namespace vflnative
