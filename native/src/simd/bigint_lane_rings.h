// The two forms of a modulus on LaneRing; the n-adic product and the bounds that make a final
// comparison superfluous are those of vflnative/montgomery.h. Internal linkage, as in bigint_ring.h.
#pragma once

#include "bigint_lanes.h"

namespace vflnative {
namespace {

// Residues modulo m, each one Montgomery residue below 2 m.
template <class W>
class PlainLanes : public LaneRing<W> {
    using Base = LaneRing<W>;
    using Base::limbs_, Base::q_, Base::lift_, Base::spare_, Base::m_;

public:
    using typename Base::Vec;

    explicit PlainLanes(const Modulus& modulus)
        : Base(modulus, 3), x_(spare_ + limbs_), y_(x_ + limbs_) {}

    void mul(Vec* z, const Vec* x, const Vec* y) { reduce(z, Product<W>{x, y, limbs_}); }
    void sqr(Vec* z, const Vec* x) { reduce(z, Square<W>{x, limbs_}); }

    // z = x R from the first `rows` rows of canonical residues.
    void load(Vec* z, const Limb* x, std::size_t rows) {
        Base::unpack(z, limbs_, x, m_.limbs(), rows);
        mul(z, z, lift_);
    }
    // The canonical residues of z / R.
    void store(Limb* out, const Vec* z, std::size_t rows) {
        reduce(x_, Given<W>{z, nullptr});
        join(out, rows);
    }
    // out = a b, canonical to canonical.
    void canonical_product(Limb* out, const Limb* a, const Limb* b, std::size_t rows) {
        load(x_, a, rows);
        Base::unpack(y_, limbs_, b, m_.limbs(), rows);
        mul(x_, x_, y_);
        join(out, rows);
    }

private:
    template <class Source>
    [[gnu::noinline]] void reduce(Vec* z, const Source& source) {
        Reduction<W> reduction = Base::reduction(q_);
        Base::low_blocks([&]<std::size_t B>(std::size_t k) [[gnu::always_inline]] {
            reduction.template low<B>(source, k, nullptr);
        });
        Base::high_blocks([&]<std::size_t B>(std::size_t k) [[gnu::always_inline]] {
            reduction.template high<B>(source, k, z);
        });
    }

    // x_ is below 2 m.
    void join(Limb* out, std::size_t rows) {
        for (std::size_t row = 0; row < rows; ++row) {
            Base::store_below(out + row * m_.limbs(), x_, limbs_, row, 1, spare_);
        }
    }

    Vec *x_, *y_;
};

// Residues modulo n^2 as pairs (x0, x1) for x0 - x1 n, both below 2 n.
template <class W>
class SquareLanes : public LaneRing<W> {
    using Base = LaneRing<W>;
    using Base::limbs_, Base::n_, Base::q_, Base::r_, Base::lift_, Base::spare_, Base::m_,
        Base::words_;

public:
    using typename Base::Bits;
    using typename Base::Vec;

    explicit SquareLanes(const Modulus& modulus)
        : Base(modulus, 8), x_(spare_ + 2 * limbs_), y_(x_ + 2 * limbs_), rejoin_(y_ + 2 * limbs_) {
        Base::spread(rejoin_, modulus.lane_rejoin(), words_);
    }

    void mul(Vec* z, const Vec* x, const Vec* y) {
        const Vec *x1 = x + limbs_, *y1 = y + limbs_;
        reduce(z, Product<W>{x, y, limbs_},
               TwoProducts<W>{{x, y1, limbs_}, {x1, y, limbs_}});
    }
    void sqr(Vec* z, const Vec* x) {
        reduce(z, Square<W>{x, limbs_}, TwiceProduct<W>{{x, x + limbs_, limbs_}});
    }

    // z = x R from the first `rows` rows of canonical residues.
    void load(Vec* z, const Limb* x, std::size_t rows) {
        split(z, x, rows);
        mul(z, z, lift_);
    }
    // The canonical residues of z / R.
    void store(Limb* out, const Vec* z, std::size_t rows) {
        reduce(x_, Given<W>{z, nullptr}, Given<W>{z + limbs_, nullptr});
        join(out, rows);
    }
    // out = a b, canonical to canonical.
    void canonical_product(Limb* out, const Limb* a, const Limb* b, std::size_t rows) {
        split(x_, a, rows);
        split(y_, b, rows);
        mul(x_, x_, y_);      // a b / R^3
        mul(x_, x_, rejoin_);  // a b
        join(out, rows);
    }

private:
    // Both reductions of a product, block by block in turn: while one waits for its digits, the
    // other multiplies. z may be a factor: no block reads below what has been written.
    template <class First, class Second>
    [[gnu::noinline]] void reduce(Vec* z, const First& first, const Second& second) {
        Reduction<W> lower = Base::reduction(q_), upper = Base::reduction(r_);
        Base::low_blocks([&]<std::size_t B>(std::size_t k) [[gnu::always_inline]] {
            lower.template low<B>(first, k, nullptr);
            upper.template low<B>(second, k, q_ + k);
        });
        Base::high_blocks([&]<std::size_t B>(std::size_t k) [[gnu::always_inline]] {
            upper.template high<B>(second, k, z + limbs_);
            lower.template high<B>(first, k, z);
        });
    }

    // z = x / R from canonical rows: x = z0 R - q n, so x / R = z0 - n (q / R).
    void split(Vec* z, const Limb* x, std::size_t rows) {
        Base::unpack(spare_, 2 * limbs_, x, m_.limbs(), rows);
        reduce(z, Given<W>{spare_, spare_ + limbs_}, Given<W>{nullptr, nullptr});
    }

    // The canonical values of x_: x0 + (2 n - x1) n, at most 2 n^2 + 2 n < 3 n^2 for x0, x1 < 2 n,
    // less n^2 once or twice.
    void join(Limb* out, std::size_t rows) {
        Bits borrow{};
        for (std::size_t i = 0; i < limbs_; ++i) {
            const Bits n = Limbs<W>::integer(n_[i]);
            const Bits limb = n + n - Limbs<W>::integer(x_[limbs_ + i]) + borrow;
            y_[i] = Limbs<W>::number(limb & lane_limb_mask);
            borrow = ((limb + (Limb{1} << 60)) >> lane_limb_bits) - 256;  // signed
        }
        multiply();
        for (std::size_t row = 0; row < rows; ++row) {
            Base::store_below(out + row * m_.limbs(), spare_, 2 * limbs_, row, 2, y_);
        }
    }

    // spare_ (2 limbs) = y_ n + x_.
    void multiply() {
        const Product<W> product{y_, n_, limbs_};
        Bits spill{};
        const auto carry = [&]<std::size_t B>(Bits* sums, std::size_t column) {
            sums[0] += spill;
            for (std::size_t c = 0; c < B; ++c) {
                sums[c] -= Bits{} + Base::surpluses_[column + c];
                if (column < limbs_) sums[c] += Limbs<W>::integer(x_[column + c]);
                spare_[column + c] = Limbs<W>::number(sums[c] & lane_limb_mask);
                sums[c + 1] += sums[c] >> lane_limb_bits;
            }
            spill = sums[B];
        };
        Base::low_blocks([&]<std::size_t B>(std::size_t k) {
            Bits sums[B + 1] = {};
            product.template low<B>(sums, k);
            carry.template operator()<B>(sums, k);
        });
        Base::high_blocks([&]<std::size_t B>(std::size_t k) {
            Bits sums[B + 1] = {};
            product.template high<B>(sums, k);
            carry.template operator()<B>(sums, limbs_ + k);
        });
    }

    Vec *x_, *y_, *rejoin_;
};

}  // namespace
}  // namespace vflnative
