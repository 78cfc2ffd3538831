// Residues of primes up to 50 bits as integers in the vectors of a traits class W, which multiplies 52
// bits by 52 and adds the low or the high 52 bits of the product. Bounds as in ring_integers.h; 4p
// fits 52 bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ring_lanes.h"
#include "ring_table.h"

namespace vflnative {
namespace {

template <class W>
class Integers52 {
public:
    static constexpr std::size_t lanes = W::lanes, rows = lanes, sum_words = 2;
    static constexpr NttLayout layout{FactorForm::shoup52, lanes, lanes};
    using Vec = typename W::Vec;
    struct Factor {
        Vec w, quotient;
    };

    explicit Integers52(const Prime& p)
        : p_(p.value), one_(factor(1)), r_(factor((std::uint64_t{1} << 52) % p.value)),
          r2_(factor(static_cast<std::uint64_t>((static_cast<unsigned __int128>(1) << 104) %
                                                p.value))) {}

    static Vec load(const std::uint64_t* x) { return *reinterpret_cast<const Loose*>(x); }
    static void store(std::uint64_t* x, Vec v) { *reinterpret_cast<Loose*>(x) = v; }
    static Vec spread_weight(const std::uint64_t* w) { return all(*w); }
    static Factor spread(const std::uint64_t* pair) { return {all(pair[0]), all(pair[1])}; }
    static Factor each(const std::uint64_t* words) { return {load(words), load(words + lanes)}; }
    static void transpose(Vec* v) { transpose_lanes<lanes>(v); }

    Vec residue(const std::uint64_t* x) const { return load(x); }
    Vec weighted(const std::uint64_t* x) const { return load(x); }
    void put(std::uint64_t* x, Vec settled) const { store(x, settled); }
    void put_sum(std::uint64_t* x, Vec sum) const { store(x, sum); }

    // b w mod p, below 2p, for b below 2^52.
    Vec times(Vec b, const Factor& f) const {
        const Vec q = W::high(Vec{}, b, f.quotient);
        return (W::low(Vec{}, b, f.w) - W::low(Vec{}, q, all(p_))) & mask;
    }
    void forward(Vec& x, Vec& y, const Factor& w) const {
        const Vec u = subtract_once(x, 2 * p_), t = times(y, w);
        x = u + t;
        y = u - t + 2 * p_;
    }
    void inverse(Vec& x, Vec& y, const Factor& w) const {
        const Vec difference = x - y + 2 * p_;
        x = subtract_once(x + y, 2 * p_);
        y = times(difference, w);
    }
    Vec reduce(Vec x) const { return x; }
    Vec settle(Vec x) const { return subtract_once(subtract_once(x, 2 * p_), p_); }
    Vec settle_product(Vec x) const { return subtract_once(x, p_); }

    // Low and high halves of products add up on their own.
    struct Sum {
        Vec low, high;
    };
    std::size_t chunk() const { return 4000; }
    static void load_sum(Sum& s, const std::uint64_t* x) { s = {load(x), load(x + lanes)}; }
    static void store_sum(std::uint64_t* x, const Sum& s) {
        store(x, s.low);
        store(x + lanes, s.high);
    }
    void mac(Sum& s, Vec w, Vec c) const {
        s.low = W::low(s.low, w, c);
        s.high = W::high(s.high, w, c);
    }
    void fold(Sum& s) const { s = {total(s), Vec{}}; }
    Vec total(const Sum& s) const {
        const Vec high = s.high + (s.low >> 52);
        const Vec sum = times(s.low & mask, one_) + times(high & mask, r_) + times(high >> 52, r2_);
        return settle(subtract_once(sum, 4 * p_));
    }
    Vec product(Vec a, Vec b) const {
        return settle(times(W::low(Vec{}, a, b), one_) + times(W::high(Vec{}, a, b), r_));
    }

    Vec plus(Vec a, Vec b) const { return subtract_once(a + b, p_); }
    Vec minus(Vec a, Vec b) const { return subtract_once(a + p_ - b, p_); }

    // Takes residues modulo another prime q to integers in (-q/2, q/2), and those to words below 2p.
    class Lift {
    public:
        Lift(const Integers52& a, const Prime& q)
            : half_(q.value / 2), shift_(a.p_ * (half_ / a.p_ + 1)), q_(q.value) {}
        Vec operator()(const Integers52& a, const std::uint64_t* x) const {
            return a.times(centred(load(x)), a.one_);
        }

    protected:
        // Plus a multiple of p that keeps it positive.
        Vec centred(Vec x) const {
            return x + shift_ - (reinterpret_cast<Vec>(x > half_) & q_);
        }

    private:
        std::uint64_t half_, shift_, q_;
    };
    struct Centre : Lift {
        using Lift::Lift;
        Vec operator()(Vec u) const { return Lift::centred(u); }
    };
    // Residues of signed words, through words 2^63 above them.
    class Signed {
    public:
        explicit Signed(const Integers52& a) : offset_(a.p_ - (std::uint64_t{1} << 63) % a.p_) {}
        Vec operator()(const Integers52& a, const std::int64_t* x) const {
            const Vec u = load(reinterpret_cast<const std::uint64_t*>(x)) ^ (std::uint64_t{1} << 63);
            const Vec sum = a.times(u & mask, a.one_) + a.times(u >> 52, a.r_) + offset_;
            return a.settle(subtract_once(sum, 4 * a.p_));
        }

    private:
        std::uint64_t offset_;
    };

private:
    using Loose = typename W::Loose;
    static constexpr std::uint64_t mask = (std::uint64_t{1} << 52) - 1;

    std::uint64_t p_;
    Factor one_, r_, r2_;  // 1, 2^52 and 2^104

    static Vec all(std::uint64_t x) { return Vec{} + x; }
    Factor factor(std::uint64_t w) const {
        return {all(w), all(static_cast<std::uint64_t>((static_cast<unsigned __int128>(w) << 52) / p_))};
    }
    static Vec subtract_once(Vec x, std::uint64_t m) {
        const Vec difference = x - m;
        return difference < x ? difference : x;  // it wraps when x < m
    }
};

}  // namespace
}  // namespace vflnative
