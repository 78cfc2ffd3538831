// Residues as integers, one 64-bit word at a time: Shoup's products by constants with Harvey's lazy
// bounds ("Faster arithmetic for number-theoretic transforms", 2014). A forward butterfly takes and
// gives words below 4p, an inverse one below 2p.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vflnative/ntt.h"

namespace vflnative {
namespace {

class ScalarIntegers {
public:
    static constexpr std::size_t lanes = 1, rows = 4, sum_words = 2;
    static constexpr NttLayout layout{FactorForm::shoup64, 4, 1};
    using Vec = std::uint64_t;
    struct Factor {
        std::uint64_t w, quotient;
    };

    explicit ScalarIntegers(const Prime& p) : p_(p) {}

    static Vec load(const std::uint64_t* x) { return *x; }
    static void store(std::uint64_t* x, Vec v) { *x = v; }
    static Factor spread(const std::uint64_t* pair) { return {pair[0], pair[1]}; }
    static Factor each(const std::uint64_t* pair) { return spread(pair); }
    static void transpose(Vec*) {}
    static Vec spread_weight(const std::uint64_t* w) { return *w; }
    Vec residue(const std::uint64_t* x) const { return *x; }
    Vec weighted(const std::uint64_t* x) const { return *x; }
    void put(std::uint64_t* x, Vec settled) const { *x = settled; }
    void put_sum(std::uint64_t* x, Vec sum) const { *x = sum; }

    // b w mod p, below 2p, for any word b.
    Vec times(Vec b, const Factor& f) const {
        return b * f.w - Prime::high(b, f.quotient) * p_.value;
    }
    void forward(Vec& x, Vec& y, const Factor& w) const {
        const Vec u = Prime::subtract_once(x, 2 * p_.value), t = times(y, w);
        x = u + t;
        y = u - t + 2 * p_.value;
    }
    void inverse(Vec& x, Vec& y, const Factor& w) const {
        const Vec difference = x - y + 2 * p_.value;
        x = Prime::subtract_once(x + y, 2 * p_.value);
        y = times(difference, w);
    }
    Vec reduce(Vec x) const { return x; }
    Vec settle(Vec x) const {
        return Prime::subtract_once(Prime::subtract_once(x, 2 * p_.value), p_.value);
    }
    Vec settle_product(Vec x) const { return Prime::subtract_once(x, p_.value); }

    // Sums of products of settled words.
    using Sum = unsigned __int128;
    std::size_t chunk() const { return 63; }  // products of 122 bits, and what fold leaves
    static void load_sum(Sum& s, const std::uint64_t* x) { s = Sum{x[1]} << 64 | x[0]; }
    static void store_sum(std::uint64_t* x, const Sum& s) {
        x[0] = static_cast<std::uint64_t>(s);
        x[1] = static_cast<std::uint64_t>(s >> 64);
    }
    void mac(Sum& s, Vec w, Vec c) const { s += static_cast<Sum>(w) * c; }
    void fold(Sum& s) const { s = p_.reduce_wide(s); }
    Vec total(const Sum& s) const { return p_.reduce_wide(s); }
    Vec product(Vec a, Vec b) const { return p_.multiply(a, b); }

    Vec plus(Vec a, Vec b) const { return p_.add(a, b); }
    Vec minus(Vec a, Vec b) const { return p_.subtract(a, b); }

    // Residues modulo another prime q, taken to integers in (-q/2, q/2), and those to residues here.
    class Lift {
    public:
        Lift(const ScalarIntegers& a, const Prime& q)
            : p_(a.p_), half_(q.value / 2), q_residue_(p_.reduce(q.value)) {}
        Vec operator()(const ScalarIntegers&, const std::uint64_t* x) const { return centred(*x); }

    protected:
        Vec centred(Vec x) const {
            const std::uint64_t above = std::uint64_t{0} - static_cast<std::uint64_t>(x > half_);
            return p_.subtract(p_.reduce(x), q_residue_ & above);
        }

    private:
        const Prime& p_;
        std::uint64_t half_, q_residue_;
    };
    struct Centre : Lift {
        using Lift::Lift;
        Vec operator()(Vec u) const { return centred(u); }
    };
    // Residues of signed words.
    struct Signed {
        explicit Signed(const ScalarIntegers&) {}
        Vec operator()(const ScalarIntegers& a, const std::int64_t* x) const {
            return a.p_.reduce_signed(*x);
        }
    };

private:
    const Prime& p_;
};

}  // namespace
}  // namespace vflnative
