#include "vflnative/ckks_embedding.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "vflnative/parallel.h"

namespace vflnative {
namespace {

std::size_t reversed(std::size_t i, unsigned bits) {
    std::size_t r = 0;
    for (unsigned b = 0; b < bits; ++b) r |= (i >> b & 1) << (bits - 1 - b);
    return r;
}

// Halves of a block: (u + v w, u - v w).
void halve(double* __restrict re, double* __restrict im, double* __restrict re2,
           double* __restrict im2, double c, double s, std::size_t half) {
    for (std::size_t j = 0; j < half; ++j) {
        const double x = re2[j] * c - im2[j] * s, y = re2[j] * s + im2[j] * c;
        re2[j] = re[j] - x;
        im2[j] = im[j] - y;
        re[j] += x;
        im[j] += y;
    }
}

// Back, up to a factor of two: (u + v, (u - v) / w).
void join(double* __restrict re, double* __restrict im, double* __restrict re2,
          double* __restrict im2, double c, double s, std::size_t half) {
    for (std::size_t j = 0; j < half; ++j) {
        const double x = re[j] - re2[j], y = im[j] - im2[j];
        re[j] += re2[j];
        im[j] += im2[j];
        re2[j] = x * c + y * s;
        im2[j] = y * c - x * s;
    }
}

// This thread's scratch memory, until its next call.
double* thread_scratch(std::size_t count) {
    thread_local std::vector<double> scratch;
    if (scratch.size() < count) scratch.resize(count);
    return scratch.data();
}

}  // namespace

Embedding::Embedding(std::size_t n) : n_(n) {
    if (!std::has_single_bit(n) || n < 1024 || n > 32768) {
        throw std::invalid_argument("n must be a power of two from 1024 to 32768");
    }
    const std::size_t slots = n / 2;
    const auto bits = static_cast<unsigned>(std::countr_zero(slots));
    place_.resize(slots);
    sign_.resize(slots);
    std::size_t exponent = 1;
    for (std::size_t j = 0; j < slots; ++j) {
        const bool conjugate = exponent % 4 == 3;
        const std::size_t value = conjugate ? 2 * n - exponent : exponent;
        place_[j] = static_cast<std::uint32_t>(reversed((value - 1) / 4, bits));
        sign_[j] = conjugate ? -1.0 : 1.0;
        exponent = exponent * 3 % (2 * n);
    }
    cos_.resize(slots);
    sin_.resize(slots);
    for (std::size_t blocks = 1; blocks < slots; blocks *= 2) {
        const auto depth = static_cast<unsigned>(std::countr_zero(blocks));
        for (std::size_t b = 0; b < blocks; ++b) {
            const double turn = static_cast<double>(1 + 4 * reversed(b, depth)) /
                                static_cast<double>(4 * blocks);
            cos_[blocks + b] = std::cos(std::numbers::pi * turn);
            sin_[blocks + b] = std::sin(std::numbers::pi * turn);
        }
    }
}

template <class Slot>
void Embedding::coefficients(const Slot* slots, std::size_t length, double scale,
                             std::int64_t* out, std::size_t polys, unsigned threads) const {
    const std::size_t count = n_ / 2;
    const double factor = scale / static_cast<double>(count);
    std::atomic<bool> fits{true};
    parallel_ranges(polys, threads, [&](std::size_t begin, std::size_t end) {
        double* re = thread_scratch(n_);
        double* im = re + count;
        for (std::size_t i = begin; i < end; ++i) {
            const Slot* z = slots + i * length;
            for (std::size_t j = 0, from = 0; j < count; ++j) {
                re[place_[j]] = std::real(z[from]);
                im[place_[j]] = sign_[j] * std::imag(z[from]);
                from = from + 1 == length ? 0 : from + 1;
            }
            for (std::size_t blocks = count / 2, half = 1; blocks > 0; blocks /= 2, half *= 2) {
                for (std::size_t b = 0, at = 0; b < blocks; ++b, at += 2 * half) {
                    join(re + at, im + at, re + at + half, im + at + half, cos_[blocks + b],
                         sin_[blocks + b], half);
                }
            }
            std::int64_t* to = out + i * n_;
            bool good = true;
            for (std::size_t m = 0; m < n_; ++m) {
                const double x = re[m] * factor;  // im follows re
                const bool small = std::fabs(x) < 0x1p62;
                good = good && small;
                to[m] = std::llrint(small ? x : 0.0);
            }
            if (!good) fits = false;
        }
    });
    if (!fits) throw std::overflow_error("a coefficient is not below 2^62");
}

template void Embedding::coefficients(const double*, std::size_t, double, std::int64_t*,
                                      std::size_t, unsigned) const;
template void Embedding::coefficients(const std::complex<double>*, std::size_t, double,
                                      std::int64_t*, std::size_t, unsigned) const;

void Embedding::slots(const double* coefficients, double factor, std::complex<double>* out,
                      std::size_t polys, unsigned threads) const {
    const std::size_t count = n_ / 2;
    parallel_ranges(polys, threads, [&](std::size_t begin, std::size_t end) {
        double* re = thread_scratch(n_);
        double* im = re + count;
        for (std::size_t i = begin; i < end; ++i) {
            for (std::size_t m = 0; m < n_; ++m) re[m] = coefficients[i * n_ + m] * factor;
            for (std::size_t blocks = 1, half = count / 2; half > 0; blocks *= 2, half /= 2) {
                for (std::size_t b = 0, at = 0; b < blocks; ++b, at += 2 * half) {
                    halve(re + at, im + at, re + at + half, im + at + half, cos_[blocks + b],
                          sin_[blocks + b], half);
                }
            }
            std::complex<double>* z = out + i * count;
            for (std::size_t j = 0; j < count; ++j) {
                z[j] = {re[place_[j]], sign_[j] * im[place_[j]]};
            }
        }
    });
}

}  // namespace vflnative
