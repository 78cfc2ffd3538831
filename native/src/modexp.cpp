#include "vflnative/modexp.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "simd/bigint_kernels.h"
#include "vflnative/parallel.h"

namespace vflnative {

namespace {

constexpr std::size_t most_lane_limbs = 512;  // the column sums of bigint_columns.h hold so many

const BigintLevel& active_bigint_level(const Modulus& modulus) {
#if defined(__x86_64__)
    if (active_level() >= CpuLevel::avx2 && modulus.lane_limbs() <= most_lane_limbs) {
        return bigint_avx2;
    }
    if (active_level() >= CpuLevel::adx) return bigint_adx;
#endif
    (void)modulus;
    return bigint_scalar;
}

// Ranges of [0, count) cut at multiples of `lanes`.
template <class Work>
void lane_ranges(std::size_t count, std::size_t lanes, unsigned threads, const Work& work) {
    parallel_ranges((count + lanes - 1) / lanes, threads,
                    [&](std::size_t begin, std::size_t end) {
                        work(begin * lanes, std::min(end * lanes, count));
                    });
}

}  // namespace

const BigintKernels& bigint_kernels(const Modulus& modulus) {
    const BigintLevel& level = active_bigint_level(modulus);
    return modulus.is_square() ? level.square : level.plain;
}

void modmul(const Modulus& modulus, const std::uint64_t* a, const std::uint64_t* b,
            std::uint64_t* out, std::size_t rows, unsigned threads) {
    const BigintKernels& kernels = bigint_kernels(modulus);
    const std::size_t limbs = modulus.limbs();
    lane_ranges(rows, kernels.lanes, threads, [&](std::size_t begin, std::size_t end) {
        kernels.modmul(modulus, a + begin * limbs, b + begin * limbs, out + begin * limbs,
                       end - begin);
    });
}

void modexp(const Modulus& modulus, const std::uint64_t* bases, const std::uint64_t* exponents,
            std::size_t limbs, bool shared, std::uint64_t* out, std::size_t rows,
            unsigned threads) {
    const BigintKernels& kernels = bigint_kernels(modulus);
    const std::size_t width = modulus.limbs();
    const std::size_t stride = shared ? 0 : limbs;
    lane_ranges(rows, kernels.lanes, threads, [&](std::size_t begin, std::size_t end) {
        kernels.modexp(modulus, bases + begin * width, exponents + begin * stride, limbs, stride,
                       out + begin * width, end - begin);
    });
}

FixedBase::FixedBase(Modulus modulus, const std::uint64_t* base, FixedBaseShape shape,
                     unsigned threads)
    : modulus_(std::move(modulus)), shape_(shape), kernels_(&bigint_kernels(modulus_)),
      table_(shape.windows() * shape.entries() * kernels_->words(modulus_)) {
    kernels_->window_bases(modulus_, shape_, base, table_.data());
    lane_ranges(shape_.windows(), kernels_->lanes, threads, [&](std::size_t begin, std::size_t end) {
        kernels_->window_powers(modulus_, shape_, table_.data(), begin, end);
    });
}

void FixedBase::pow(const std::uint64_t* exponents, std::size_t limbs, const std::uint64_t* times,
                    std::uint64_t* out, std::size_t rows, unsigned threads) const {
    const std::size_t width = modulus_.limbs();
    lane_ranges(rows, kernels_->lanes, threads, [&](std::size_t begin, std::size_t end) {
        kernels_->fixed_pow(modulus_, shape_, table_.data(), exponents + begin * limbs, limbs,
                            times == nullptr ? nullptr : times + begin * width,
                            out + begin * width, end - begin);
    });
}

// Signed digits of w bits hold 2^(w-1) (2^(w positions) - 1) / (2^w - 1) >= 2^bits - 1 as soon as
// positions > bits / w. Products: the table of each row, one a row, column and digit, and the
// squarings at the end.
MultiexpPlan::MultiexpPlan(std::size_t rows, std::size_t columns_, unsigned exponent_bits)
    : columns(columns_), window(0), positions(0) {
    double cheapest = 0.0;
    for (unsigned w = 2; w <= 12; ++w) {
        const unsigned digits = exponent_bits / w + 1;
        const double table = static_cast<double>(rows) * static_cast<double>((1u << (w - 1)) - 1);
        const double cost = table + static_cast<double>(columns) * digits *
                                        (static_cast<double>(rows) + 2.0 * w);
        if (window == 0 || cost < cheapest) {
            cheapest = cost;
            window = w;
            positions = digits;
        }
    }
}

void multiexp(const Modulus& modulus, const std::uint64_t* bases, const std::int64_t* exponents,
              std::size_t rows, std::size_t columns, std::uint64_t* positive,
              std::uint64_t* negative, unsigned threads) {
    const BigintKernels& kernels = bigint_kernels(modulus);
    std::uint64_t magnitudes = 0;
    for (std::size_t i = 0; i < rows * columns; ++i) {
        const auto x = static_cast<std::uint64_t>(exponents[i]);
        magnitudes |= exponents[i] < 0 ? std::uint64_t{0} - x : x;
    }
    const MultiexpPlan plan(rows, columns, static_cast<unsigned>(std::bit_width(magnitudes)));
    const std::size_t part_words = kernels.sum_words(modulus, plan);
    const std::size_t parts = std::max<std::size_t>(1, std::min<std::size_t>(threads, rows));
    std::vector<std::uint64_t> sums(parts * part_words);
    const std::size_t groups = (rows + kernels.lanes - 1) / kernels.lanes;
    parallel_ranges(parts, threads, [&](std::size_t part, std::size_t end) {
        for (; part < end; ++part) {
            const std::size_t from = groups * part / parts * kernels.lanes;
            const std::size_t to = std::min(groups * (part + 1) / parts * kernels.lanes, rows);
            std::uint64_t* own = sums.data() + part * part_words;
            kernels.multiexp_start(modulus, plan, own);
            if (from < to) {
                kernels.multiexp_gather(modulus, plan, bases + from * modulus.limbs(),
                                        exponents + from * columns, to - from, own);
            }
        }
    });
    lane_ranges(columns, kernels.lanes, threads,
                [&](std::size_t begin, std::size_t end) {
                    kernels.multiexp_finish(modulus, plan, sums.data(), parts, begin, end,
                                            positive, negative);
                });
}

}  // namespace vflnative
