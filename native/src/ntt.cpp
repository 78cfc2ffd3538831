#include "vflnative/ntt.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace vflnative {
namespace {

std::size_t reversed(std::size_t i, unsigned bits) {
    std::size_t r = 0;
    for (unsigned b = 0; b < bits; ++b) r |= (i >> b & 1) << (bits - 1 - b);
    return r;
}

// Bounds on the magnitude of doubles in a transform, in absolute terms. The product of b by a centred
// constant w has quotient q = round(b (w/p)); w/p < 1/2 carries an error of 2^-55, so what remains is
// at most p/2 + b p 2^-55. b (w/p) must stay below 2^51 to round to an integer, sums below 2^53 to be
// exact. A bound that breaks a rule becomes infinite.
struct Growth {
    double p;

    static double sum(double x) { return x <= 0x1p53 ? x : std::numeric_limits<double>::infinity(); }
    double product(double b) const {
        if (b > 0x1p52) return std::numeric_limits<double>::infinity();
        return p / 2 + b * p * 0x1p-55 + 1;
    }
    double reduced() const { return p / 2 + 1; }

    // Cooley-Tukey: x + w y and x - w y; `light` reduces the x of the first stage.
    double forward(double a, unsigned stages, Ntt::Reduction mode) const {
        for (unsigned s = 0; s < stages; ++s) {
            a = sum((s == 0 && mode == Ntt::light ? reduced() : a) + product(a));
        }
        return a;
    }

    // Gentleman-Sande: x + y and (x - y) w. `light` reduces sums of sums after the second stage,
    // `full` every sum of the last one as well.
    double inverse(double a, std::size_t radix, Ntt::Reduction mode) const {
        double sums = sum(2 * a);
        double products = product(2 * a);
        if (radix >= 4) {
            const double mixed = sum(2 * products);
            const double twice = sum(2 * sums);
            products = std::max(product(twice), product(mixed));
            sums = std::max(mixed, mode == Ntt::none ? twice : reduced());
        }
        if (radix == 8) {
            const double most = sum(2 * std::max(sums, products));
            sums = most;
            products = product(most);
        }
        if (mode == Ntt::full) sums = reduced();
        return std::max(sums, products);
    }
};

}  // namespace

Words make_words(std::size_t count) {
    return Words(static_cast<std::uint64_t*>(
        ::operator new[](count * sizeof(std::uint64_t), std::align_val_t{64})));
}

std::uint64_t factor_word(const Prime& p, FactorForm form, std::uint64_t w) {
    if (form != FactorForm::fma) return w;
    const auto above = static_cast<double>(w > p.value / 2);
    return std::bit_cast<std::uint64_t>(static_cast<double>(w) -
                                        above * static_cast<double>(p.value));
}

void write_factor(const Prime& p, FactorForm form, std::uint64_t w, std::uint64_t* pair) {
    pair[0] = factor_word(p, form, w);
    if (form == FactorForm::fma) {
        const auto quotient = std::bit_cast<double>(pair[0]) / static_cast<double>(p.value);
        pair[1] = std::bit_cast<std::uint64_t>(quotient);
    } else {
        const unsigned bits = form == FactorForm::shoup64 ? 64 : 52;
        pair[1] = static_cast<std::uint64_t>((static_cast<unsigned __int128>(w) << bits) / p.value);
    }
}

Ntt::Ntt(const Prime& p, std::size_t n, const NttLayout& layout, const Bounds& bounds,
         std::uint64_t scale)
    : prime_(p), n_(n) {
    if (!std::has_single_bit(n) || n < 1024 || n > 32768) {
        throw std::invalid_argument("n must be a power of two from 1024 to 32768");
    }
    if ((p.value - 1) % (2 * n) != 0) {
        throw std::invalid_argument(std::to_string(p.value) + " is not 1 modulo 2 n = " +
                                    std::to_string(2 * n));
    }
    root_ = p.minimal_root(2 * n);
    plan(layout);
    schedule(layout, bounds);

    // Stage with m blocks, block i: psi^bitrev(m + i), over the bits of n.
    const unsigned bits = static_cast<unsigned>(std::bit_width(n)) - 1;
    std::vector<std::uint64_t> powers(n), inverses(n);
    const std::uint64_t inverse_root = p.inverse(root_);
    std::uint64_t power = 1, inverse_power = 1;
    for (std::size_t i = 0; i < n; ++i) {
        powers[reversed(i, bits)] = power;
        inverses[reversed(i, bits)] = inverse_power;
        power = p.multiply(power, root_);
        inverse_power = p.multiply(inverse_power, inverse_root);
    }
    forward_ = make_words(factor_words_);
    inverse_ = make_words(factor_words_);
    fill(layout, powers, forward_.get());
    fill(layout, inverses, inverse_.get());
    const std::uint64_t last = p.multiply(p.inverse(n), p.reduce(scale));
    write_factor(p, layout.form, last, last_);
    write_factor(p, layout.form, p.multiply(last, inverses[1]), last_ + 2);
}

void Ntt::plan(const NttLayout& layout) {
    // The pass of radix 2, if any, is the first one below the top to work in the cache.
    bool odd = std::bit_width(n_ / layout.rows) % 2 == 0;
    std::size_t blocks = 1;
    while (n_ / blocks > layout.rows) {
        const std::size_t length = n_ / blocks;
        const bool two = odd && blocks > 1 && length <= cached_words;
        const std::size_t radix = two ? 2 : 4;
        odd = odd && !two;
        passes_.push_back({radix, blocks, length, factor_words_, none, none});
        factor_words_ += 2 * (radix - 1) * blocks;
        blocks *= radix;
    }
    tail_ = {layout.rows, blocks, layout.rows, factor_words_, none, none};
    factor_words_ += 2 * (layout.rows - 1) * blocks;
}

// Picks for every pass the least reduction with which all bounds hold.
void Ntt::schedule(const NttLayout& layout, const Bounds& bounds) {
    if (layout.form != FactorForm::fma) return;
    const Growth growth{static_cast<double>(prime_.value)};
    const auto stages = [](const Pass& pass) {
        return static_cast<unsigned>(std::bit_width(pass.radix)) - 1;
    };
    const auto p = static_cast<double>(prime_.value);
    double a = bounds.forward > 0 ? bounds.forward : p;
    for (Pass& pass : passes_) {
        pass.forward = growth.forward(a, stages(pass), none) <= 0x1p52 ? none : light;
        a = growth.forward(a, stages(pass), pass.forward);
    }
    tail_.forward = std::isinf(growth.forward(a, stages(tail_), none)) ? light : none;
    a = growth.forward(a, stages(tail_), tail_.forward);
    settle_forward_ = a > 0x1p50;  // where a product by a residue still is below 3/4 p

    // What a pass leaves must survive two stages of sums.
    const auto choose = [&](double in, std::size_t radix, Reduction& mode) {
        double out = std::numeric_limits<double>::infinity();
        for (const Reduction candidate : {none, light, full}) {
            if (out <= 0x1p50) break;
            mode = candidate;
            out = growth.inverse(in, radix, mode);
        }
        return out;
    };
    double b = bounds.inverse > 0 ? bounds.inverse : p;
    reduce_inverse_ = std::isinf(growth.inverse(b, layout.rows, full));
    b = choose(reduce_inverse_ ? p : b, layout.rows, tail_.inverse);
    for (std::size_t i = passes_.size(); i-- > 1;) {
        b = choose(b, passes_[i].radix, passes_[i].inverse);
    }
    if (std::isinf(a) || b > 0x1p50) throw std::logic_error("no exact schedule of reductions");
}

void Ntt::fill(const NttLayout& layout, const std::vector<std::uint64_t>& powers,
               std::uint64_t* table) const {
    const auto factor = [&](std::size_t index, std::uint64_t* pair) {
        write_factor(prime_, layout.form, powers[index], pair);
    };
    for (const Pass& pass : passes_) {
        std::uint64_t* next = table + pass.factors;
        for (std::size_t block = 0; block < pass.blocks; ++block) {
            for (std::size_t m = 1; m < pass.radix; m *= 2) {
                for (std::size_t i = 0; i < m; ++i, next += 2) {
                    factor(m * (pass.blocks + block) + i, next);
                }
            }
        }
    }
    // The tail: the words of `lanes` factors, then their quotients, for every `lanes` blocks.
    std::uint64_t* next = table + tail_.factors;
    for (std::size_t block = 0; block < tail_.blocks; block += layout.lanes) {
        for (std::size_t m = 1; m < layout.rows; m *= 2) {
            for (std::size_t i = 0; i < m; ++i, next += 2 * layout.lanes) {
                for (std::size_t lane = 0; lane < layout.lanes; ++lane) {
                    std::uint64_t pair[2];
                    factor(m * (tail_.blocks + block + lane) + i, pair);
                    next[lane] = pair[0];
                    next[layout.lanes + lane] = pair[1];
                }
            }
        }
    }
}

}  // namespace vflnative
