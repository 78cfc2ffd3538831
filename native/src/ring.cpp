#include "vflnative/ring.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "simd/ring_kernels.h"
#include "vflnative/cpu.h"
#include "vflnative/parallel.h"

namespace vflnative {

const RingKernels& ring_kernels(unsigned bits) {
#if defined(__x86_64__)
    if (bits <= 50) {
        switch (active_level()) {
            case CpuLevel::ifma: return ring_ifma;
            case CpuLevel::avx512: return ring_avx512;
            case CpuLevel::avx2: return ring_avx2;
            default: break;
        }
    }
#endif
    static_cast<void>(bits);
    return ring_scalar;
}

std::uint64_t* scratch_words(std::size_t count) {
    thread_local Words words;
    thread_local std::size_t size = 0;
    if (count > size) {
        words.reset();
        size = 0;
        words = make_words(count);
        size = count;
    }
    return words.get();
}

void permute_limb(const Prime& p, const std::uint64_t* x, std::size_t exponent, std::uint64_t* out,
                  std::size_t n) {
    const std::size_t mask = 2 * n - 1;
    std::size_t to = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t minus = (p.value - x[i]) & (std::uint64_t{0} - (x[i] != 0));
        out[to & (n - 1)] = to < n ? x[i] : minus;
        to = (to + exponent) & mask;
    }
}

void shift_limb(const RingKernels& kernels, const Prime& p, const std::uint64_t* x,
                std::size_t exponent, std::uint64_t* out, std::size_t n) {
    const std::size_t by = exponent % n;
    const auto copy = [&](const std::uint64_t* from, std::uint64_t* to, std::size_t words) {
        if (words > 0) std::memcpy(to, from, words * sizeof *to);
    };
    const auto negate = [&](const std::uint64_t* from, std::uint64_t* to, std::size_t words) {
        kernels.negate(p, from, to, words);
    };
    if (exponent < n) {
        copy(x, out + by, n - by);
        negate(x + (n - by), out, by);
    } else {
        negate(x, out + by, n - by);
        copy(x + (n - by), out, by);
    }
}

Ring::Ring(std::size_t n, std::span<const std::uint64_t> primes) : n_(n) {
    if (primes.empty()) throw std::invalid_argument("a ring needs at least one prime");
    limbs_.reserve(primes.size());
    for (const std::uint64_t value : primes) {
        for (const Limb& limb : limbs_) {
            if (limb.ntt.prime().value == value) {
                throw std::invalid_argument("prime " + std::to_string(value) + " is given twice");
            }
        }
        const Prime p(value);
        const RingKernels& kernels = ring_kernels(p.bits);
        limbs_.push_back({&kernels, Ntt(p, n, kernels.layout)});
    }
}

template <class Work>
void Ring::each_limb(std::size_t polys, unsigned threads, const Work& work) const {
    const std::size_t k = limbs_.size();
    parallel_ranges(polys * k, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) work(limbs_[i % k], i * n_);
    });
}

void Ring::forward(const std::uint64_t* x, std::uint64_t* out, std::size_t polys,
                   unsigned threads) const {
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        limb.kernels->forward(limb.ntt, x + at, out + at);
    });
}

void Ring::inverse(const std::uint64_t* x, std::uint64_t* out, std::size_t polys,
                   unsigned threads) const {
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        limb.kernels->inverse(limb.ntt, x + at, out + at);
    });
}

void Ring::add(const Pairs& pairs, unsigned threads) const {
    const std::size_t period = pairs.b_polys * words();
    each_limb(pairs.polys, threads, [&](const Limb& limb, std::size_t at) {
        limb.kernels->add(limb.ntt.prime(), pairs.a + at, pairs.b + at % period, pairs.out + at, n_);
    });
}

void Ring::subtract(const Pairs& pairs, unsigned threads) const {
    const std::size_t period = pairs.b_polys * words();
    each_limb(pairs.polys, threads, [&](const Limb& limb, std::size_t at) {
        limb.kernels->subtract(limb.ntt.prime(), pairs.a + at, pairs.b + at % period,
                               pairs.out + at, n_);
    });
}

void Ring::multiply(const Pairs& pairs, unsigned threads) const {
    const std::size_t period = pairs.b_polys * words();
    each_limb(pairs.polys, threads, [&](const Limb& limb, std::size_t at) {
        limb.kernels->multiply(limb.ntt.prime(), pairs.a + at, pairs.b + at % period,
                               pairs.out + at, n_);
    });
}

void Ring::convolve(const std::uint64_t* x, const std::uint64_t* y, std::uint64_t* out,
                    std::size_t polys, std::size_t y_polys, unsigned threads) const {
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        std::uint64_t* transformed = scratch_words(2 * n_);
        std::uint64_t* product = transformed + n_;
        limb.kernels->forward(limb.ntt, x + at, transformed);
        for (std::size_t p = 0; p < y_polys; ++p) {
            const std::size_t place = p * words() + at % words();
            limb.kernels->multiply(limb.ntt.prime(), transformed, y + place, product, n_);
            limb.kernels->inverse(limb.ntt, product, out + at / words() * y_polys * words() + place);
        }
    });
}

void Ring::scale(const std::uint64_t* x, const std::uint64_t* factors, std::uint64_t* out,
                 std::size_t polys, unsigned threads) const {
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        const Prime& p = limb.ntt.prime();
        limb.kernels->scale(p, x + at, p.reduce(factors[at / n_ % limbs_.size()]), out + at, n_);
    });
}

void Ring::multiply_accumulate(const std::uint64_t* w, const std::uint64_t* c, std::uint64_t* out,
                               const MacShape& shape, unsigned threads) const {
    // The block of c and its sums stay in the second-level cache while the rows of w go by.
    const std::size_t depth = shape.polys * (shape.terms + 2);
    std::size_t block = 256;
    while (block > 32 && block * depth > 24576) block /= 2;
    const std::size_t blocks = n_ / block;
    parallel_ranges(limbs_.size() * blocks, threads, [&](std::size_t begin,
                                                         std::size_t end) {
        std::uint64_t* scratch = scratch_words(block * depth);
        for (std::size_t i = begin; i < end; ++i) {
            const Limb& limb = limbs_[i / blocks];
            const std::size_t at = i / blocks * n_ + i % blocks * block;
            limb.kernels->mac(limb.ntt.prime(), {.w = w + at,
                                                 .w_row = shape.terms * words(),
                                                 .w_term = words(),
                                                 .c = c + at,
                                                 .c_term = shape.polys * words(),
                                                 .c_poly = words(),
                                                 .out = out + at,
                                                 .out_row = shape.polys * words(),
                                                 .out_poly = words(),
                                                 .rows = shape.rows,
                                                 .terms = shape.terms,
                                                 .polys = shape.polys,
                                                 .words = block,
                                                 .scratch = scratch});
        }
    });
}

void Ring::gemm(const std::int64_t* weights, const std::uint64_t* c, std::uint64_t* out,
                const GemmShape& shape, unsigned threads) const {
    const std::size_t count = shape.outputs * shape.depth;
    const std::size_t k = limbs_.size();
    std::uint64_t largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto w = static_cast<std::uint64_t>(weights[i]);
        const std::uint64_t magnitude = weights[i] < 0 ? std::uint64_t{0} - w : w;
        if (magnitude >> 62 != 0) throw std::invalid_argument("weights must be below 2^62 in magnitude");
        largest = std::max(largest, magnitude);
    }
    // As doubles, small weights need no reduction before `chunk` products have been summed.
    const Words encoded = make_words(k * count);
    std::vector<std::size_t> chunks(k, 0);
    for (std::size_t limb = 0; limb < k; ++limb) {
        const Prime& p = prime(limb);
        const FactorForm form = limbs_[limb].kernels->layout.form;
        const double term = static_cast<double>(std::max<std::uint64_t>(largest, 1)) *
                            static_cast<double>(p.value / 2 + 1);
        const double chunk = std::floor((0x1p53 - static_cast<double>(p.value)) / term);
        if (form == FactorForm::fma && chunk >= 2) chunks[limb] = static_cast<std::size_t>(chunk);
        for (std::size_t i = 0; i < count; ++i) {
            encoded[limb * count + i] =
                chunks[limb] > 0 ? std::bit_cast<std::uint64_t>(static_cast<double>(weights[i]))
                                 : factor_word(p, form, p.reduce_signed(weights[i]));
        }
    }
    std::size_t block = 512;
    while (block > 32 && block * shape.depth > 4096) block /= 2;
    const std::size_t blocks = n_ / block;
    parallel_ranges(shape.polys * k * blocks, threads, [&](std::size_t begin,
                                                           std::size_t end) {
        std::uint64_t* scratch = scratch_words(block * shape.depth);
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t limb = i / blocks % k;
            const std::size_t at = i / blocks * n_ + i % blocks * block;
            limbs_[limb].kernels->gemm(prime(limb), {.weights = encoded.get() + limb * count,
                                                     .chunk = chunks[limb],
                                                     .c = c + at,
                                                     .c_term = shape.polys * words(),
                                                     .out = out + at,
                                                     .out_row = shape.polys * words(),
                                                     .outputs = shape.outputs,
                                                     .depth = shape.depth,
                                                     .words = block,
                                                     .scratch = scratch});
        }
    });
}

void Ring::automorphism(const std::uint64_t* x, std::size_t exponent, std::uint64_t* out,
                        std::size_t polys, unsigned threads) const {
    if (exponent % 2 == 0 || exponent >= 2 * n_) {
        throw std::invalid_argument("an automorphism's exponent is odd and below 2 n");
    }
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        permute_limb(limb.ntt.prime(), x + at, exponent, out + at, n_);
    });
}

void Ring::shift(const std::uint64_t* x, std::size_t exponent, std::uint64_t* out,
                 std::size_t polys, unsigned threads) const {
    if (exponent >= 2 * n_) throw std::invalid_argument("a shift's exponent is below 2 n");
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        shift_limb(*limb.kernels, limb.ntt.prime(), x + at, exponent, out + at, n_);
    });
}

void Ring::lift(const std::int64_t* x, std::uint64_t* out, std::size_t polys,
                unsigned threads) const {
    each_limb(polys, threads, [&](const Limb& limb, std::size_t at) {
        limb.kernels->lift(limb.ntt.prime(), x + at / words() * n_, out + at, n_);
    });
}

}  // namespace vflnative
