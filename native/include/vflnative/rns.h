// Numbers modulo Q = q_0 ... q_(k-1) by their residues, and what leaves and enters of them: rounded to
// fewer bits, or packed into bytes.
//
// A polynomial is k limbs of m residues, one limb after the other; several follow each other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vflnative/modulus.h"

namespace vflnative {

struct RnsBasis;

// How many polynomials, of how many coefficients.
struct Polynomials {
    std::size_t count, m;
};

class Rns {
public:
    static constexpr std::size_t max_limbs = 4;
    static constexpr unsigned max_bits = 160;  // of a rounded number

    // 1 to 4 distinct primes between 2^17 and 2^61, Q < 2^200; std::invalid_argument otherwise.
    explicit Rns(std::span<const std::uint64_t> primes);

    std::size_t limbs() const { return primes_.size(); }
    std::span<const Prime> primes() const { return primes_; }

    // Bytes of one packed polynomial of m coefficients, residues (`pack`) or numbers of `bits`.
    // std::invalid_argument for m above 2^40.
    std::size_t packed_bytes(std::size_t m) const;
    static std::size_t compressed_bytes(std::size_t m, unsigned bits);

    // round(Q v / 2^bits) mod Q for v mod 2^bits, halves up; bits 1 to 64.
    void scale_up(const std::uint64_t* values, std::uint64_t* out, Polynomials shape, unsigned bits,
                  unsigned threads) const;
    // round(2^bits x / Q) mod 2^bits; bits 1 to 64. Exact: Q is odd, so there are no halves.
    void scale_down(const std::uint64_t* x, std::uint64_t* out, Polynomials shape, unsigned bits,
                    unsigned threads) const;

    // The same into and from a bit stream; bits 1 to 160. decompress throws std::invalid_argument
    // where padding bits are not zero.
    void compress(const std::uint64_t* x, std::uint8_t* out, Polynomials shape, unsigned bits,
                  unsigned threads) const;
    void decompress(const std::uint8_t* packed, std::uint64_t* out, Polynomials shape, unsigned bits,
                    unsigned threads) const;

    // Residues of limb i as bit_length(q_i) bits each. unpack throws std::invalid_argument for a
    // residue that is not below its prime and for padding that is not zero.
    void pack(const std::uint64_t* x, std::uint8_t* out, Polynomials shape, unsigned threads) const;
    void unpack(const std::uint8_t* packed, std::uint64_t* out, Polynomials shape,
                unsigned threads) const;

    // out[i][j] = x[places[j] + i stride] + plus[i][j] mod q_i, all of them residues; out and plus are
    // one polynomial of m coefficients.
    void gather_add(const std::uint64_t* x, const std::int64_t* places, std::size_t stride,
                    const std::uint64_t* plus, std::uint64_t* out, std::size_t m,
                    unsigned threads) const;

private:
    std::vector<Prime> primes_;
    std::vector<std::uint64_t> idempotents_;  // (Q / q_i)^-1 mod q_i
    std::array<std::uint64_t, 4> product_{1};  // Q

    RnsBasis basis() const;
};

}  // namespace vflnative
