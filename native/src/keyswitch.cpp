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

// The image of c, the transformed digits and the sums, the last two in all limbs.
std::size_t KeySwitch::scratch_size() const {
    return n_ * (2 * limbs() + (limbs() + 2) * primes_.size());
}

void KeySwitch::run(const Job& job, unsigned threads) const {
    const std::size_t k = limbs(), wide = k + 1;
    // A thread alone goes limb by limb, in memory that stays in its cache.
    const std::size_t apart = threads > 1 ? 1 : 0;
    std::uint64_t* image = job.scratch;                           // (2, k, n)
    std::uint64_t* special = image + 2 * k * n_;                  // (2, n), sums modulo P
    std::uint64_t* sums = special + 2 * n_;                       // (k, 2, n) or (2, n)
    std::uint64_t* digits = sums + (apart * (k - 1) + 1) * 2 * n_;  // (k + 1, k, n) or (k, n)
    const auto transformed = [&](std::size_t limb) { return digits + apart * limb * k * n_; };
    const auto sum_of = [&](std::size_t limb, std::size_t poly) {
        return limb == k ? special + poly * n_ : sums + (apart * limb * 2 + poly) * n_;
    };
    const auto digit = [&](std::size_t limb, std::size_t d) {
        kernels_->switch_digit(ntts_[limb], primes_[d], image + (k + d) * n_,
                               transformed(limb) + d * n_);
    };
    const auto sum = [&](std::size_t limb, std::size_t poly) {
        kernels_->switch_sum({.ntt = &ntts_[limb],
                              .digits = k,
                              .transformed = transformed(limb),
                              .key = job.key + (poly * wide + limb) * n_,
                              .key_digit = 2 * wide * n_,
                              .out = sum_of(limb, poly)});
    };
    const auto finish = [&](std::size_t limb, std::size_t poly) {
        const std::size_t at = (poly * k + limb) * n_;
        std::uint64_t* out = job.out + at;
        kernels_->switch_finish({.prime = &primes_[limb],
                                 .special = &primes_[k],
                                 .inverse = &inverse_[2 * limb],
                                 .t = sum_of(limb, poly),
                                 .u = sum_of(k, poly),
                                 .x = poly == 0 ? image + at : nullptr,
                                 .out = out,
                                 .n = n_});
        if (job.sum != nullptr) kernels_->add(primes_[limb], out, job.sum + at, out, n_);
    };
    // Calls work(i, j) for i < rows and j < columns.
    const auto each = [&](std::size_t rows, std::size_t columns, const auto& work) {
        parallel_ranges(rows * columns, threads, [&](std::size_t i, std::size_t end) {
            for (; i < end; ++i) work(i / columns, i % columns);
        });
    };
    each(2, k, [&](std::size_t poly, std::size_t limb) {
        const std::size_t at = (poly * k + limb) * n_;
        permute_limb(primes_[limb], job.c + at, job.exponent, image + at, n_);
    });
    if (threads > 1) {
        each(wide, k, digit);
        each(wide, 2, sum);
        each(k, 2, finish);
        return;
    }
    for (std::size_t step = 0; step < wide; ++step) {
        const std::size_t limb = step == 0 ? k : step - 1;  // that of P first: all others need it
        for (std::size_t d = 0; d < k; ++d) digit(limb, d);
        for (std::size_t poly = 0; poly < 2; ++poly) sum(limb, poly);
        for (std::size_t poly = 0; poly < 2 && limb < k; ++poly) finish(limb, poly);
    }
}

// Calls work(i, threads) for each of the batch: whole ciphertexts side by side, and the few that are
// left with all threads on each.
template <class Work>
void KeySwitch::each(std::size_t batch, unsigned threads, const Work& work) const {
    const std::size_t odd = batch % std::max(1u, threads);
    const std::size_t rest = odd < std::min<std::size_t>(threads, 2 * primes_.size()) ? odd : 0;
    parallel_ranges(batch - rest, threads, [&](std::size_t i, std::size_t end) {
        for (; i < end; ++i) work(i, 1);
    });
    for (std::size_t i = batch - rest; i < batch; ++i) work(i, threads);
}

void KeySwitch::apply(const std::uint64_t* c, const std::uint64_t* key, std::size_t exponent,
                      std::uint64_t* out, std::size_t batch, unsigned threads) const {
    check_exponent(exponent);
    const std::size_t words = 2 * limbs() * n_;
    each(batch, threads, [&](std::size_t i, unsigned inner) {
        run({.c = c + i * words, .key = key, .exponent = exponent, .sum = nullptr,
             .out = out + i * words, .scratch = scratch_words(scratch_size())}, inner);
    });
}

void KeySwitch::images(const std::uint64_t* c, std::span<const Image> steps, std::uint64_t* out,
                       std::size_t blocks, std::size_t columns, unsigned threads) const {
    for (const Image& step : steps) check_exponent(step.exponent);
    const std::size_t words = 2 * limbs() * n_, row = columns * words, block = row << steps.size();
    for (std::size_t b = 0; b < blocks; ++b) std::copy_n(c + b * row, row, out + b * block);
    for (std::size_t level = 0; level < steps.size(); ++level) {
        const std::size_t have = columns << level;
        each(blocks * have, threads, [&](std::size_t i, unsigned inner) {
            std::uint64_t* from = out + i / have * block + i % have * words;
            run({.c = from, .key = steps[level].key, .exponent = steps[level].exponent,
                 .sum = nullptr, .out = from + have * words,
                 .scratch = scratch_words(scratch_size())}, inner);
        });
    }
}

void KeySwitch::pack(const std::uint64_t* nodes, std::size_t shift, const std::uint64_t* key,
                     std::size_t exponent, std::uint64_t* out, std::size_t count,
                     unsigned threads) const {
    check_exponent(exponent);
    if (shift >= 2 * n_) throw std::invalid_argument("a shift's exponent is below 2 n");
    const std::size_t k = limbs(), words = 2 * k * n_;
    each((count + 1) / 2, threads, [&](std::size_t i, unsigned inner) {
        const std::uint64_t* a = nodes + 2 * i * words;
        const std::uint64_t* b = 2 * i + 1 < count ? a + words : nullptr;
        std::uint64_t* sum = scratch_words(2 * words + scratch_size());
        std::uint64_t* difference = sum + words;
        if (b != nullptr) {
            parallel_ranges(2 * k, inner, [&](std::size_t limb, std::size_t end) {
                for (; limb < end; ++limb) {
                    const Prime& p = primes_[limb % k];
                    const std::size_t at = limb * n_;
                    shift_limb(*kernels_, p, b + at, shift, sum + at, n_);
                    kernels_->subtract(p, a + at, sum + at, difference + at, n_);
                    kernels_->add(p, a + at, sum + at, sum + at, n_);
                }
            });
        }
        run({.c = b != nullptr ? difference : a, .key = key, .exponent = exponent,
             .sum = b != nullptr ? sum : a, .out = out + i * words, .scratch = sum + 2 * words},
            inner);
    });
}

}  // namespace vflnative
