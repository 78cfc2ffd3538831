// What CKKS does to residues beyond a ring's own operations: encryption under a public key, division
// by the last prime, and numbers out of residues.
//
// A chain has data primes q_0 ... q_(k-1) and a special prime P; level l stands for the first l data
// primes. Polynomials are limbs of n words as in ring.h, in NTT form where nothing else is said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vflnative/ntt.h"

namespace vflnative {

struct RingKernels;

class CkksRing {
public:
    // Primes as for Ring, all distinct; std::invalid_argument otherwise.
    CkksRing(std::size_t n, std::span<const std::uint64_t> primes, std::uint64_t special);
    CkksRing(const CkksRing&) = delete;
    CkksRing& operator=(const CkksRing&) = delete;

    std::size_t size() const { return n_; }
    std::size_t levels() const { return limbs_.size() - 1; }

    // out[i] = round((u[i] (b, a) + errors[i]) / P) + (messages[i], 0): (batch, 2, level, n) from
    // u (batch, n), errors (batch, 2, n), messages (batch, n), signed coefficients. `key` is (b, a)
    // (2, level + 1, n), the limb of P last, the others times 1/P.
    void encrypt(const std::uint64_t* key, std::size_t level, const std::int64_t* messages,
                 const std::int64_t* u, const std::int64_t* errors, std::uint64_t* out,
                 std::size_t batch, unsigned threads) const;

    // round(x / q_(level-1)): (polys, level, n) -> (polys, level - 1, n); level 2 or more.
    void divide_last(const std::uint64_t* x, std::size_t level, std::uint64_t* out,
                     std::size_t polys, unsigned threads) const;

    // The number in (-Q/2, Q/2) of each coefficient, as a double: (polys, level, n), coefficient
    // form -> (polys, n). Balanced mixed radix digits, so small numbers suffer no cancellation.
    void compose(const std::uint64_t* x, std::size_t level, double* out, std::size_t polys,
                 unsigned threads) const;

private:
    struct Limb {
        const RingKernels* kernels;
        Ntt ntt;
        std::uint64_t inverse_special;
    };

    std::size_t n_;
    std::vector<Limb> limbs_;  // that of P last
};

}  // namespace vflnative
