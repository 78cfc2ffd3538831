#include "vflnative/keyswitch.h"

#include <algorithm>
#include <stdexcept>

#include "simd/ring_kernels.h"
#include "vflnative/parallel.h"

namespace vflnative {

KeySwitch::KeySwitch(std::size_t n, std::span<const std::uint64_t> primes, std::uint64_t special)
    : n_(n) {
    if (primes.empty()) throw std::invalid_argument("a ring needs at least one prime");
    for (const std::uint64_t value : primes) primes_.emplace_back(value);
    primes_.emplace_back(special);
    unsigned bits = 0;
    std::uint64_t digit = 0;
    for (std::size_t i = 0; i < primes_.size(); ++i) {
        bits = std::max(bits, primes_[i].bits);
        digit = std::max(digit, primes_[i].value / 2 + 1);
        for (std::size_t j = 0; j < i; ++j) {
            if (primes_[i].value == primes_[j].value) {
                throw std::invalid_argument("prime " + std::to_string(primes_[i].value) +
                                            " is given twice");
            }
        }
    }
    kernels_ = &ring_kernels(bits);
    inverse_.resize(2 * limbs());
    for (std::size_t i = 0; i < primes_.size(); ++i) {
        const Prime& p = primes_[i];
        std::uint64_t scale = 1;
        if (i < limbs()) {
            scale = p.inverse(p.reduce(special));
            write_factor(p, kernels_->layout.form, scale, &inverse_[2 * i]);
        }
        // Digits are centred, and at most eight products of 3/4 p are summed.
        const double sums = 0.75 * static_cast<double>(std::min<std::size_t>(limbs(), 8)) + 0.5;
        const Ntt::Bounds bounds{static_cast<double>(std::max(digit, p.value)),
                                 sums * static_cast<double>(p.value)};
        ntts_.emplace_back(p, n, kernels_->layout, bounds, scale);
    }
}

void KeySwitch::check_exponent(std::size_t exponent) const {
    if (exponent % 2 == 0 || exponent >= 2 * n_) {
        throw std::invalid_argument("an automorphism's exponent is odd and below 2 n");
    }
}

// The image of c, sums in all limbs, and the transformed digits in all limbs.
std::size_t KeySwitch::scratch_size() const {
    return n_ * (2 * limbs() + (2 + limbs()) * primes_.size());
}

void KeySwitch::apply_one(const std::uint64_t* c, const std::uint64_t* key, std::size_t exponent,
                          const std::uint64_t* sum, std::uint64_t* out, std::uint64_t* scratch,
                          unsigned threads) const {
    const std::size_t k = limbs();
    std::uint64_t* image = scratch;               // (2, k, n)
    std::uint64_t* sums = image + 2 * k * n_;     // (2, k + 1, n)
    std::uint64_t* work = sums + 2 * (k + 1) * n_;  // (k + 1, k, n)
    parallel_ranges(2 * k, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            permute_limb(primes_[i % k], c + i * n_, exponent, image + i * n_, n_);
        }
    });
    parallel_ranges(k + 1, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            kernels_->switch_limb({.ntt = &ntts_[i],
                                   .primes = primes_.data(),
                                   .digits = k,
                                   .c = image + k * n_,
                                   .key = key + i * n_,
                                   .key_digit = 2 * (k + 1) * n_,
                                   .key_poly = (k + 1) * n_,
                                   .scratch = work + i * k * n_,
                                   .out = {sums + i * n_, sums + (k + 1 + i) * n_}});
        }
    });
    parallel_ranges(2 * k, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t poly = i / k, limb = i % k;
            const std::uint64_t* divided = sums + poly * (k + 1) * n_;
            kernels_->switch_finish({.prime = &primes_[limb],
                                     .special = &primes_[k],
                                     .inverse = &inverse_[2 * limb],
                                     .t = divided + limb * n_,
                                     .u = divided + k * n_,
                                     .x = poly == 0 ? image + limb * n_ : nullptr,
                                     .out = out + i * n_,
                                     .n = n_});
            if (sum != nullptr) {
                kernels_->add(primes_[limb], out + i * n_, sum + i * n_, out + i * n_, n_);
            }
        }
    });
}

void KeySwitch::apply(const std::uint64_t* c, const std::uint64_t* key, std::size_t exponent,
                      std::uint64_t* out, std::size_t batch, unsigned threads) const {
    check_exponent(exponent);
    const std::size_t words = 2 * limbs() * n_;
    // A small batch shares out the limbs of a ciphertext, a large one its ciphertexts.
    const unsigned inner = batch < threads ? threads : 1;
    parallel_ranges(batch, inner > 1 ? 1 : threads, [&](std::size_t, std::size_t begin,
                                                        std::size_t end) {
        std::uint64_t* scratch = scratch_words(scratch_size());
        for (std::size_t i = begin; i < end; ++i) {
            apply_one(c + i * words, key, exponent, nullptr, out + i * words, scratch, inner);
        }
    });
}

void KeySwitch::pack_step(const std::uint64_t* a, const std::uint64_t* b, std::size_t shift,
                          const std::uint64_t* key, std::size_t exponent, std::uint64_t* out,
                          std::size_t batch, unsigned threads) const {
    check_exponent(exponent);
    if (shift >= 2 * n_) throw std::invalid_argument("a shift's exponent is below 2 n");
    const std::size_t k = limbs(), words = 2 * k * n_;
    const unsigned inner = batch < threads ? threads : 1;
    parallel_ranges(batch, inner > 1 ? 1 : threads, [&](std::size_t, std::size_t begin,
                                                        std::size_t end) {
        std::uint64_t* sum = scratch_words(2 * words + scratch_size());
        std::uint64_t* difference = sum + words;
        for (std::size_t i = begin; i < end; ++i) {
            for (std::size_t limb = 0; limb < 2 * k; ++limb) {
                const Prime& p = primes_[limb % k];
                const std::size_t at = limb * n_;
                shift_limb(*kernels_, p, b + i * words + at, shift, sum + at, n_);
                kernels_->subtract(p, a + i * words + at, sum + at, difference + at, n_);
                kernels_->add(p, a + i * words + at, sum + at, sum + at, n_);
            }
            apply_one(difference, key, exponent, sum, out + i * words, difference + words, inner);
        }
    });
}

}  // namespace vflnative
