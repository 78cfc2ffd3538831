// The canonical embedding of CKKS (Cheon, Kim, Kim, Song, ASIACRYPT 2017): real polynomials of degree
// below n and their n/2 complex slots, slot j the value at zeta^(3^j), zeta = exp(i pi / n).
//
// A value at an exponent 3 mod 4 is the conjugate of one at 1 mod 4, so every slot is a value at some
// zeta^(4 k + 1). There X^(n/2) = i: with w_m = p_m + i p_(m + n/2) the slots are w modulo the linear
// factors of X^(n/2) - i, found by halving, as in ntt.h. Doubles; no level has kernels of its own.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vflnative {

class Embedding {
public:
    // n is a power of two from 2^10 to 2^15; std::invalid_argument otherwise.
    explicit Embedding(std::size_t n);

    std::size_t size() const { return n_; }

    // (polys, length) slots -> (polys, n) coefficients times `scale`, rounded to integers. Fewer than
    // n/2 slots repeat. std::overflow_error unless all are below 2^62 in magnitude.
    template <class Slot>  // double or std::complex<double>
    void coefficients(const Slot* slots, std::size_t length, double scale, std::int64_t* out,
                      std::size_t polys, unsigned threads) const;

    // (polys, n) coefficients times `factor` -> (polys, n/2) slots.
    void slots(const double* coefficients, double factor, std::complex<double>* out,
               std::size_t polys, unsigned threads) const;

private:
    std::size_t n_;
    std::vector<std::uint32_t> place_;  // of slot j among the values, which are in bit-reversed order
    std::vector<double> sign_;          // -1 where slot j is the conjugate of its value
    std::vector<double> cos_, sin_;     // of block b before it is halved, at (blocks + b)
};

}  // namespace vflnative
