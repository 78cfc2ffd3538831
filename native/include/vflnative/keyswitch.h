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

    // out[i] = a[i] + X^shift b[i] + apply(a[i] - X^shift b[i]).
    void pack_step(const std::uint64_t* a, const std::uint64_t* b, std::size_t shift,
                   const std::uint64_t* key, std::size_t exponent, std::uint64_t* out,
                   std::size_t batch, unsigned threads) const;

private:
    // One ciphertext c, limbs over `threads`. `sum` (2, k, n) is added; null for none.
    void apply_one(const std::uint64_t* c, const std::uint64_t* key, std::size_t exponent,
                   const std::uint64_t* sum, std::uint64_t* out, std::uint64_t* scratch,
                   unsigned threads) const;
    std::size_t scratch_size() const;
    void check_exponent(std::size_t exponent) const;

    std::size_t n_;
    std::vector<Prime> primes_;  // the special one last
    const RingKernels* kernels_;
    std::vector<Ntt> ntts_;              // inverse times 1/P, but for the special prime
    std::vector<std::uint64_t> inverse_;  // 1/P as factors
};

}  // namespace vflnative
