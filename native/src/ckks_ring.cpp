#include "vflnative/ckks_ring.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "simd/ring_kernels.h"
#include "vflnative/parallel.h"
#include "vflnative/ring.h"

namespace vflnative {
namespace {

// A residue as the signed number nearest to zero, without a branch on it.
std::int64_t centred(std::uint64_t x, std::uint64_t q) {
    const std::uint64_t above = std::uint64_t{0} - static_cast<std::uint64_t>(x > q / 2);
    return static_cast<std::int64_t>(x - (q & above));
}

std::int64_t* as_signed(std::uint64_t* words) { return reinterpret_cast<std::int64_t*>(words); }

}  // namespace

CkksRing::CkksRing(std::size_t n, std::span<const std::uint64_t> primes, std::uint64_t special)
    : n_(n) {
    std::vector<std::uint64_t> all(primes.begin(), primes.end());
    if (all.empty()) throw std::invalid_argument("a chain needs a prime besides the special one");
    all.push_back(special);
    limbs_.reserve(all.size());
    for (const std::uint64_t value : all) {
        const Prime p(value);
        for (const Limb& limb : limbs_) {
            if (limb.ntt.prime().value == value) {
                throw std::invalid_argument("prime " + std::to_string(value) + " is given twice");
            }
        }
        const RingKernels& kernels = ring_kernels(p.bits);
        const std::uint64_t inverse = value == special ? 0 : p.inverse(p.reduce(special));
        limbs_.push_back({&kernels, Ntt(p, n, kernels.layout), inverse});
    }
}

void CkksRing::encrypt(const std::uint64_t* key, std::size_t level, const std::int64_t* messages,
                       const std::int64_t* u, const std::int64_t* errors, std::uint64_t* out,
                       std::size_t batch, unsigned threads) const {
    const Limb& special = limbs_.back();
    const Prime& P = special.ntt.prime();
    parallel_ranges(batch, threads, [&](std::size_t begin, std::size_t end) {
        std::uint64_t* masks = scratch_words((level + 4) * n_);  // u, transformed
        std::uint64_t* x = masks + (level + 1) * n_;
        std::uint64_t* y = x + n_;
        std::int64_t* rest = as_signed(y + n_);
        const auto limb_at = [&](std::size_t i) -> const Limb& {
            return i == level ? special : limbs_[i];
        };
        for (std::size_t j = begin; j < end; ++j) {
            for (std::size_t i = 0; i <= level; ++i) {
                const Limb& limb = limb_at(i);
                limb.kernels->lift(limb.ntt.prime(), u + j * n_, x, n_);
                limb.kernels->forward(limb.ntt, x, masks + i * n_);
            }
            for (std::size_t side = 0; side < 2; ++side) {
                const std::uint64_t* factor = key + side * (level + 1) * n_;
                const std::int64_t* error = errors + (2 * j + side) * n_;
                // What is not divisible by P of u k + e: `rest` = e - [u k + e], a multiple of P less.
                // P divides u k + e - [u k + e]_P, so the others need e - [u k + e]_P of it.
                special.kernels->multiply(P, masks + level * n_, factor + level * n_, x, n_);
                special.kernels->inverse(special.ntt, x, y);
                special.kernels->lift(P, error, x, n_);
                special.kernels->add(P, x, y, y, n_);
                for (std::size_t c = 0; c < n_; ++c) rest[c] = error[c] - centred(y[c], P.value);
                for (std::size_t i = 0; i < level; ++i) {
                    const Limb& limb = limbs_[i];
                    const RingKernels& k = *limb.kernels;
                    const Prime& q = limb.ntt.prime();
                    std::uint64_t* to = out + ((2 * j + side) * level + i) * n_;
                    k.lift(q, rest, x, n_);
                    k.scale(q, x, limb.inverse_special, y, n_);
                    if (side == 0) {
                        k.lift(q, messages + j * n_, x, n_);
                        k.add(q, x, y, y, n_);
                    }
                    k.forward(limb.ntt, y, x);
                    k.multiply(q, masks + i * n_, factor + i * n_, y, n_);
                    k.add(q, x, y, to, n_);
                }
            }
        }
    });
}

void CkksRing::divide_last(const std::uint64_t* x, std::size_t level, std::uint64_t* out,
                           std::size_t polys, unsigned threads) const {
    const Limb& last = limbs_[level - 1];
    const std::uint64_t divisor = last.ntt.prime().value;
    std::vector<std::uint64_t> inverses;
    for (std::size_t i = 0; i + 1 < level; ++i) {
        const Prime& q = limbs_[i].ntt.prime();
        inverses.push_back(q.inverse(q.reduce(divisor)));
    }
    parallel_ranges(polys, threads, [&](std::size_t begin, std::size_t end) {
        std::uint64_t* y = scratch_words(3 * n_);
        std::uint64_t* z = y + n_;
        std::int64_t* rest = as_signed(z + n_);
        for (std::size_t j = begin; j < end; ++j) {
            const std::uint64_t* from = x + j * level * n_;
            last.kernels->inverse(last.ntt, from + (level - 1) * n_, y);
            for (std::size_t c = 0; c < n_; ++c) rest[c] = centred(y[c], divisor);
            for (std::size_t i = 0; i + 1 < level; ++i) {
                const Limb& limb = limbs_[i];
                const RingKernels& k = *limb.kernels;
                const Prime& q = limb.ntt.prime();
                k.lift(q, rest, y, n_);
                k.forward(limb.ntt, y, z);
                k.subtract(q, from + i * n_, z, y, n_);
                k.scale(q, y, inverses[i], out + (j * (level - 1) + i) * n_, n_);
            }
        }
    });
}

void CkksRing::compose(const std::uint64_t* x, std::size_t level, double* out, std::size_t polys,
                       unsigned threads) const {
    // inverses[i][j] = 1 / q_j mod q_i
    std::vector<std::uint64_t> inverses(level * level);
    for (std::size_t i = 0; i < level; ++i) {
        const Prime& q = limbs_[i].ntt.prime();
        for (std::size_t j = 0; j < i; ++j) {
            inverses[i * level + j] = q.inverse(q.reduce(limbs_[j].ntt.prime().value));
        }
    }
    parallel_ranges(polys, threads, [&](std::size_t begin, std::size_t end) {
        std::uint64_t* y = scratch_words((level + 2) * n_);
        std::uint64_t* z = y + n_;
        std::int64_t* digits = as_signed(z + n_);
        for (std::size_t p = begin; p < end; ++p) {
            for (std::size_t i = 0; i < level; ++i) {
                const Limb& limb = limbs_[i];
                const RingKernels& k = *limb.kernels;
                const Prime& q = limb.ntt.prime();
                const std::uint64_t* rest = x + (p * level + i) * n_;
                for (std::size_t j = 0; j < i; ++j) {
                    k.lift(q, digits + j * n_, z, n_);
                    k.subtract(q, rest, z, y, n_);
                    k.scale(q, y, inverses[i * level + j], z, n_);
                    std::swap(y, z);
                    rest = y;
                }
                for (std::size_t c = 0; c < n_; ++c) digits[i * n_ + c] = centred(rest[c], q.value);
            }
            double* value = out + p * n_;
            std::fill_n(value, n_, 0.0);
            for (std::size_t i = level; i-- > 0;) {
                const auto q = static_cast<double>(limbs_[i].ntt.prime().value);
                for (std::size_t c = 0; c < n_; ++c) {
                    value[c] = value[c] * q + static_cast<double>(digits[i * n_ + c]);
                }
            }
        }
    });
}

}  // namespace vflnative
