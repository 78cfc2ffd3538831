// Residues of primes up to 50 bits as doubles, in the vectors of a traits class W: products by fused
// multiply-add, exact.
//
// a b mod p: h = round(a b), l = a b - h exactly, q an integer near a b / p; then h - q p and its sum
// with l are exact, because the result is small. Values are signed and grow lazily; ntt.cpp (Growth)
// bounds them. Rounding to an integer adds and subtracts 1.5 2^52. Needs round-to-nearest, and a
// compiler that contracts nothing by itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ring_lanes.h"
#include "ring_table.h"

namespace vflnative {
namespace {

template <class W>
class Doubles {
public:
    static constexpr std::size_t lanes = W::lanes, rows = lanes, sum_words = 1;
    static constexpr NttLayout layout{FactorForm::fma, lanes, lanes};
    using Vec = typename W::Vec;
    using Bits = typename W::Bits;
    struct Factor {
        Vec w, quotient;
    };

    explicit Doubles(const Prime& p)
        : p_(static_cast<double>(p.value)), inverse_(1.0 / p_),
          half_(static_cast<double>(p.value / 2)) {}

    static Vec load(const std::uint64_t* x) { return *reinterpret_cast<const Loose*>(x); }
    static void store(std::uint64_t* x, Vec v) { *reinterpret_cast<Loose*>(x) = v; }
    static Vec spread_weight(const std::uint64_t* w) {
        return reinterpret_cast<Vec>(Bits{} + static_cast<std::int64_t>(*w));
    }
    static Factor spread(const std::uint64_t* pair) {
        return {spread_weight(pair), spread_weight(pair + 1)};
    }
    static Factor each(const std::uint64_t* words) { return {load(words), load(words + lanes)}; }
    static void transpose(Vec* v) { transpose_lanes<lanes>(v); }

    // Words below 2^52 into the mantissa of 2^52, and back.
    Vec residue(const std::uint64_t* x) const {
        return number(reinterpret_cast<Bits>(load(x))) - 0x1p52;
    }
    Vec weighted(const std::uint64_t* x) const { return centred(residue(x), half_, p_); }
    // Takes -p < r < p. No zero is negative here: sums of which not both are -0 are +0.
    void put(std::uint64_t* x, Vec r) const {
        const Vec here = r + 0x1p52, above = r + (0x1p52 + p_);
        const Vec positive = reinterpret_cast<Bits>(r) < 0 ? above : here;
        store(x, reinterpret_cast<Vec>(reinterpret_cast<Bits>(positive) ^
                                       reinterpret_cast<Bits>(all(0x1p52))));
    }
    void put_sum(std::uint64_t* x, Vec sum) const { put(x, reduce(sum)); }

    Vec times(Vec b, const Factor& f) const {
        const Vec h = b * f.w, q = rounded(b, f.quotient);
        return fma(-q, all(p_), h) + fma(b, f.w, -h);
    }
    void forward(Vec& x, Vec& y, const Factor& w) const {
        const Vec t = times(y, w);
        y = x - t;
        x = x + t;
    }
    void inverse(Vec& x, Vec& y, const Factor& w) const {
        const Vec difference = x - y;
        x = x + y;
        y = times(difference, w);
    }
    // To magnitudes of at most p / 2 + 1.
    Vec reduce(Vec x) const { return fma(-rounded(x, all(inverse_)), all(p_), x); }
    Vec settle(Vec x) const { return reduce(x); }
    Vec settle_product(Vec x) const { return x; }

    // Below 3/4 p: the quotient of a 100-bit product is off by up to 1/4 before it is rounded.
    Vec product(Vec a, Vec b) const {
        const Vec h = a * b, q = rounded(h, all(inverse_));
        return fma(-q, all(p_), h) + fma(a, b, -h);
    }
    using Sum = Vec;
    std::size_t chunk() const { return static_cast<std::size_t>((0x1p53 / p_ - 1) / 0.75); }
    static void load_sum(Sum& s, const std::uint64_t* x) { s = load(x); }
    static void store_sum(std::uint64_t* x, const Sum& s) { store(x, s); }
    void mac(Sum& s, Vec w, Vec c) const { s += product(w, c); }
    void fold(Sum& s) const { s = reduce(s); }
    Vec total(const Sum& s) const { return reduce(s); }

    Vec plus(Vec a, Vec b) const { return a + b; }
    Vec minus(Vec a, Vec b) const { return a - b; }

    // Residues modulo another prime, lifted to (-q/2, q/2).
    class Lift {
    public:
        Lift(const Doubles&, const Prime& q)
            : half_(static_cast<double>(q.value / 2)), q_(static_cast<double>(q.value)) {}
        Vec operator()(const Doubles& a, const std::uint64_t* x) const {
            return centred(a.residue(x), half_, q_);
        }

    private:
        double half_, q_;
    };
    // The same of words in (-q, q). x/q is never nearer to a half than 1/(2q), so it rounds rightly.
    class Centre {
    public:
        Centre(const Doubles&, const Prime& q)
            : q_(static_cast<double>(q.value)), inverse_(1.0 / q_) {}
        Vec operator()(Vec u) const { return fma(-rounded(u, all(inverse_)), all(q_), u); }

    private:
        double q_, inverse_;
    };
    // Signed words, to magnitudes below p: the high half times 2^32, and the low half.
    class Signed {
    public:
        explicit Signed(const Doubles& a) {
            const std::uint64_t p = static_cast<std::uint64_t>(a.p_);
            const auto w = static_cast<double>((std::uint64_t{1} << 32) % p);
            factor_ = {all(w), all(w / a.p_)};
        }
        Vec operator()(const Doubles& a, const std::int64_t* x) const {
            const Bits bits = reinterpret_cast<Bits>(load(reinterpret_cast<const std::uint64_t*>(x)));
            const Bits half = Bits{} + 0xffffffff, sign = Bits{} + 0x80000000;
            const Vec low = number(bits & half) - 0x1p52;
            const Vec high = number((bits >> 32 & half) ^ sign) - (0x1p52 + 0x1p31);
            return a.reduce(a.times(high, factor_) + low);
        }

    private:
        Factor factor_;
    };

protected:
    using Loose = typename W::Loose;

    double p_, inverse_, half_;

    static Vec all(double x) { return x - Vec{}; }
    static Vec number(Bits x) {  // 2^52 + x
        return reinterpret_cast<Vec>(x | reinterpret_cast<Bits>(all(0x1p52)));
    }
    static Vec fma(Vec a, Vec b, Vec c) { return W::fma(a, b, c); }
    static Vec rounded(Vec a, Vec b) { return fma(a, b, all(0x1.8p52)) - 0x1.8p52; }
    static Vec masked(Bits where, double x) {
        return reinterpret_cast<Vec>(where & reinterpret_cast<Bits>(all(x)));
    }
    static Vec centred(Vec x, double half, double q) { return x - masked(x > half, q); }
};

// Sums of small integers times centred residues: no product is reduced.
template <class W>
class ExactDoubles : public Doubles<W> {
public:
    using Doubles<W>::Doubles;
    using typename Doubles<W>::Vec;
    void mac(Vec& s, Vec w, Vec c) const { s = Doubles<W>::fma(w, c, s); }
};

template <class W>
void gemm_doubles(const Prime& p, const GemmBlock& block) {
    if (block.chunk > 0) {
        gemm_block(ExactDoubles<W>(p), block, block.chunk);
    } else {
        const Doubles<W> a(p);
        gemm_block(a, block, a.chunk());
    }
}

}  // namespace
}  // namespace vflnative
