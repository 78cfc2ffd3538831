#include "vflnative/image_sums.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <vector>

#include "vflnative/parallel.h"
#include "vflnative/ring.h"

namespace vflnative {
namespace {

using u64 = std::uint64_t;

// kappa^-1 modulo 2n, by Newton: each step doubles the correct low bits.
std::size_t inverse_exponent(std::size_t kappa, std::size_t n) {
    std::size_t inverse = kappa;
    for (int i = 0; i < 6; ++i) inverse *= 2 - kappa * inverse;
    return inverse & (2 * n - 1);
}

// out = X^exponent in, exponent below 2n.
void shifted(const u64* in, std::size_t n, std::size_t exponent, u64* out) {
    const std::size_t by = exponent & (n - 1);
    const u64 early = exponent < n ? ~u64{0} : 0, late = ~early;  // which part changes its sign
    for (std::size_t i = 0; i < by; ++i) out[i] = (in[n - by + i] ^ early) - early;
    for (std::size_t i = by; i < n; ++i) out[i] = (in[i - by] ^ late) - late;
}

// out = sigma_kappa(in): coefficient m comes from m / kappa modulo 2n, negated from n on.
void permuted(const u64* in, std::size_t n, std::size_t kappa_inverse, u64* out) {
    const auto log_n = static_cast<unsigned>(std::countr_zero(n));
    std::size_t from = 0;
    for (std::size_t m = 0; m < n; ++m, from += kappa_inverse) {
        const u64 sign = u64{0} - ((from >> log_n) & 1);
        out[m] = (in[from & (n - 1)] ^ sign) - sign;
    }
}

// G[t] = sum_b X^(2n b t / images) x[b], x[b] at the place of b's bits reversed, in place.
void transform(u64* x, std::size_t n, std::size_t images, u64* turned) {
    for (std::size_t half = 1; half < images; half *= 2) {
        for (std::size_t first = 0; first < images; first += 2 * half) {
            for (std::size_t i = 0; i < half; ++i) {
                u64* u = x + (first + i) * n;
                u64* v = u + half * n;
                shifted(v, n, n / half * i, turned);
                for (std::size_t m = 0; m < n; ++m) {
                    v[m] = u[m] - turned[m];
                    u[m] += turned[m];
                }
            }
        }
    }
}

}  // namespace

void image_sums(const std::int64_t* polys, std::size_t groups, std::size_t n,
                std::span<const std::size_t> exponents, std::size_t step, std::int64_t* out,
                unsigned threads) {
    const std::size_t images = exponents.size(), turn = 2 * n / images;
    std::vector<std::size_t> inverses, places;
    for (const std::size_t kappa : exponents) {
        const std::size_t inverse = inverse_exponent(kappa, n);
        const std::size_t turns = step * (inverse - 1);
        if (turns % turn != 0) {
            throw std::invalid_argument("the exponents do not turn the steps by 2n / images");
        }
        inverses.push_back(inverse);
        places.push_back(turns / turn % images);
    }
    const auto bits = static_cast<unsigned>(std::countr_zero(images));
    parallel_ranges(groups, threads, [&](std::size_t group, std::size_t end) {
        u64* work = scratch_words((images + 1) * n);
        for (; group < end; ++group) {
            const auto* in = reinterpret_cast<const u64*>(polys) + group * images * n;
            auto* sums = reinterpret_cast<u64*>(out) + group * images * n;
            for (std::size_t b = 0; b < images; ++b) {
                std::size_t reversed = 0;
                for (unsigned bit = 0; bit < bits; ++bit) reversed = 2 * reversed + (b >> bit & 1);
                shifted(in + b * n, n, step * b % (2 * n), work + reversed * n);
            }
            transform(work, n, images, work + images * n);
            for (std::size_t i = 0; i < images; ++i) {
                permuted(work + places[i] * n, n, inverses[i], sums + i * n);
            }
        }
    });
}

}  // namespace vflnative
