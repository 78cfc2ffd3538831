// Key switching of ring ciphertexts under automorphisms, with one special prime (Gentry, Halevi and
// Smart, "Homomorphic evaluation of the AES circuit", CRYPTO 2012, and its residue form).
//
// A ciphertext (c0, c1) has two polynomials of k limbs in coefficient form. Digit d is the limb q_d of
// c1 lifted centred; key[d] = (b_d, a_d) over q_0 ... q_(k-1), P in NTT form. The sums
// [digit_d] (b_d, a_d) are divided by P, rounded on the centred limb of P.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vflnative/ntt.h"
#include "vflnative/ring.h"

namespace vflnative {

class KeySwitch {
public:
    // The primes of the ciphertext and the special prime P, all as for Ring and distinct.
    KeySwitch(std::size_t n, std::span<const std::uint64_t> primes, std::uint64_t special);
    KeySwitch(const KeySwitch&) = delete;
    KeySwitch& operator=(const KeySwitch&) = delete;

    std::size_t size() const { return n_; }
    std::size_t limbs() const { return primes_.size() - 1; }

    // out[i] = (c0, 0) + sums / P, both polynomials under X -> X^exponent first. (batch, 2, k, n).
    void apply(const std::uint64_t* c, const std::uint64_t* key, std::size_t exponent,
               std::uint64_t* out, std::size_t batch, unsigned threads) const;

    // All images of c (blocks, columns, 2, k, n) under the products of subsets of the exponents, in
    // binary order, the first exponent the lowest: out (blocks, 2^h, columns, 2, k, n).
    struct Image {
        const std::uint64_t* key;
        std::size_t exponent;
    };
    void images(const std::uint64_t* c, std::span<const Image> steps, std::uint64_t* out,
                std::size_t blocks, std::size_t columns, unsigned threads) const;

    // Joins neighbours: out[i] = a + X^shift b + apply(a - X^shift b), a = nodes[2i],
    // b = nodes[2i + 1] or, past the end, zero.
    void pack(const std::uint64_t* nodes, std::size_t shift, const std::uint64_t* key,
              std::size_t exponent, std::uint64_t* out, std::size_t count, unsigned threads) const;

private:
    // The switch of one ciphertext.
    struct Job {
        const std::uint64_t* c;
        const std::uint64_t* key;
        std::size_t exponent;
        const std::uint64_t* sum;  // (2, k, n), or null for none
        std::uint64_t* out;
        std::uint64_t* scratch;
    };
    void run(const Job& job, unsigned threads) const;
    template <class Work>
    void each(std::size_t batch, unsigned threads, const Work& work) const;
    std::size_t scratch_size() const;
    void check_exponent(std::size_t exponent) const;

    std::size_t n_;
    std::vector<Prime> primes_;  // the special one last
    const RingKernels* kernels_;
    std::vector<Ntt> ntts_;              // inverse times 1/P, but for the special prime
    std::vector<std::uint64_t> inverse_;  // 1/P as factors
};

}  // namespace vflnative
