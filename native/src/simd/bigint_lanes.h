// Montgomery reductions of W::lanes rows at once, R = 2^(52 limbs), and what both rings of
// bigint_lane_rings.h share: constants, rows of words to limbs and back. The products are those of
// bigint_columns.h.
//
// An element of a group of rows is words() vectors; an element by itself, as tables hold it, is
// words() doubles. Internal linkage, as in bigint_ring.h.
#pragma once

#include "bigint_columns.h"
#include "bigint_ring.h"

namespace vflnative {
namespace {

// One Montgomery reduction z = (t + q n) / R, block by block; every block of t is a source.
template <class W>
class Reduction {
public:
    using Vec = typename W::Vec;
    using Bits = typename W::Bits;

    Reduction(const Vec* n, Vec negative_inverse, const Limb* surpluses, Vec* quotient,
              std::size_t limbs)
        : n_(n), inverse_(negative_inverse), surpluses_(surpluses), q_(quotient), limbs_(limbs) {}

    // Digits k .. k + B - 1 of the quotient. `carried` (B) joins t where not null, as doubles.
    template <std::size_t B, class Source>
    [[gnu::always_inline]] void low(const Source& source, std::size_t k, const Vec* carried) {
        Bits sums[B + 1] = {};
        source.template low<B>(sums, k);
        sums[0] += spill_;
#pragma GCC unroll 4
        for (std::size_t c = 0; c < B; ++c) {
            sums[c] -= Bits{} + (Source::weight + 1) * surpluses_[k + c];
            if (carried != nullptr) sums[c] += Limbs<W>::integer(carried[c]);
        }
        Limbs<W>::template strip<B>(sums, q_, n_ + k, k);
#pragma GCC unroll 4
        for (std::size_t c = 0; c < B; ++c) {
            const Vec t = Limbs<W>::number(sums[c] & lane_limb_mask);
            const Vec h = W::fma(t, inverse_, W::all(0x1p104));
            const Vec digit = W::fma(t, inverse_, W::all(0x1p104) - h);  // t inverse mod 2^52
            q_[k + c] = digit;
#pragma GCC unroll 4
            for (std::size_t s = c; s < B; ++s) {
                Limbs<W>::multiply_add(sums[s], sums[s + 1], digit, n_[s - c]);
            }
            sums[c + 1] += sums[c] >> lane_limb_bits;
        }
        spill_ = sums[B];
    }

    // Limbs k .. k + B - 1 of z.
    template <std::size_t B, class Source>
    [[gnu::always_inline]] void high(const Source& source, std::size_t k, Vec* z) {
        Bits sums[B + 1] = {};
        source.template high<B>(sums, k);
        Product<W>{q_, n_, limbs_}.template high<B>(sums, k);
        sums[0] += spill_;
#pragma GCC unroll 4
        for (std::size_t c = 0; c < B; ++c) {
            sums[c] -= Bits{} + (Source::weight + 1) * surpluses_[limbs_ + k + c];
            z[k + c] = Limbs<W>::number(sums[c] & lane_limb_mask);
            sums[c + 1] += sums[c] >> lane_limb_bits;
        }
        spill_ = sums[B];
    }

private:
    const Vec* n_;
    Vec inverse_;
    const Limb* surpluses_;
    Vec* q_;
    std::size_t limbs_;
    Bits spill_{};
};

// What both rings share: the constants as vectors, and rows of words to limbs and back.
template <class W>
class LaneRing {
public:
    using Vec = typename W::Vec;
    using Bits = typename W::Bits;
    static constexpr std::size_t lanes = W::lanes;

    static Bits load_bits(const Limb* x) { return reinterpret_cast<Bits>(W::load(x)); }
    static void store_bits(Limb* x, Bits b) { W::store(x, reinterpret_cast<Vec>(b)); }

    std::size_t words() const { return words_; }
    const Vec* one() const { return one_; }

    // z = the elements entries[0], entries[1], ..., each words() doubles; and back.
    void gather(Vec* z, const Limb* const* entries) const {
        for (std::size_t i = 0; i < words_; i += lanes) {
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                z[i + lane] = W::load(entries[lane] + i);
            }
            W::transpose(z + i);
        }
    }
    void scatter(Limb* const* entries, const Vec* z) const {
        for (std::size_t i = 0; i < words_; i += lanes) {
            Vec block[lanes];
            for (std::size_t lane = 0; lane < lanes; ++lane) block[lane] = z[i + lane];
            W::transpose(block);
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                W::store(entries[lane] + i, block[lane]);
            }
        }
    }

protected:
    LaneRing(const Modulus& modulus, std::size_t scratch_vectors)
        : m_(modulus), limbs_(modulus.lane_limbs()), words_(modulus.lane_words()),
          scratch_((3 * limbs_ + 2 * words_ + scratch_vectors * limbs_) * lanes),
          surpluses_(new Limb[2 * limbs_]), n_(vectors(0)), q_(vectors(limbs_)),
          r_(vectors(2 * limbs_)), one_(vectors(3 * limbs_)), lift_(vectors(3 * limbs_ + words_)),
          spare_(vectors(3 * limbs_ + 2 * words_)) {
        for (std::size_t i = 0; i < 2 * limbs_; ++i) surpluses_[i] = surplus(i, limbs_);
        spread(n_, modulus.lane_n(), limbs_);
        spread(one_, modulus.lane_one(), words_);
        spread(lift_, modulus.lane_lift(), words_);
        inverse_ = Limbs<W>::number(Bits{} + (modulus.negative_inverse() & lane_limb_mask));
    }
    ~LaneRing() { delete[] surpluses_; }
    LaneRing(const LaneRing&) = delete;
    LaneRing& operator=(const LaneRing&) = delete;

    Reduction<W> reduction(Vec* quotient) const {
        return {n_, inverse_, surpluses_, quotient, limbs_};
    }

    // Calls block.template operator()<B>(k) for the blocks of the low or of the high columns.
    template <class Block>
    [[gnu::always_inline]] void low_blocks(const Block& block) const {
        std::size_t k = 0;
        for (; k + 4 <= limbs_; k += 4) block.template operator()<4>(k);
        if (k < limbs_) block.template operator()<2>(k);
    }
    template <class Block>
    [[gnu::always_inline]] void high_blocks(const Block& block) const {
        std::size_t k = limbs_ % 4;
        if (k > 0) block.template operator()<2>(std::size_t{0});
        for (; k < limbs_; k += 4) block.template operator()<4>(k);
    }

    void spread(Vec* z, const Limb* x, std::size_t count) const {
        for (std::size_t i = 0; i < count; ++i) z[i] = Limbs<W>::number(Bits{} + x[i]);
    }

    // z (count) = limbs of the first `rows` of `lanes` rows of `words` words; zero in other lanes.
    static void unpack(Vec* z, std::size_t count, const Limb* x, std::size_t words,
                       std::size_t rows) {
        for (std::size_t i = 0; i < count; ++i) {
            Bits limbs{};
            for (std::size_t lane = 0; lane < rows; ++lane) {
                limbs[lane] = bits_at(x + lane * words, words, i * lane_limb_bits, lane_limb_bits);
            }
            z[i] = Limbs<W>::number(limbs);
        }
    }
    // One lane as words; the number fits.
    static void pack(Limb* x, std::size_t words, const Vec* z, std::size_t count,
                     std::size_t lane) {
        clear(x, words);
        for (std::size_t i = 0; i < count; ++i) {
            const Limb limb = static_cast<Limb>(static_cast<std::int64_t>(z[i][lane]));
            const std::size_t word = i * lane_limb_bits / 64, shift = i * lane_limb_bits % 64;
            if (word < words) x[word] |= limb << shift;
            if (shift + lane_limb_bits > 64 && word + 1 < words) {
                x[word + 1] |= limb >> (64 - shift);
            }
        }
    }

    // out = one lane of z less the modulus up to `times` times, which brings it below the modulus.
    void store_below(Limb* out, const Vec* z, std::size_t count, std::size_t lane, int times,
                     Vec* spare) const {
        const std::size_t words = m_.limbs();
        Limb* wide = reinterpret_cast<Limb*>(spare);
        Limb* less = wide + words + 1;
        pack(wide, words + 1, z, count, lane);
        for (; times > 0; --times) {
            const Limb borrow = subtract(less, wide, m_.canonical(), words);
            const Limb keep = Limb{0} - (wide[words] < borrow);
            for (std::size_t i = 0; i < words; ++i) wide[i] = (wide[i] & keep) | (less[i] & ~keep);
            wide[words] -= borrow & ~keep;
        }
        copy(out, wide, words);
    }

    Vec* vectors(std::size_t at) { return reinterpret_cast<Vec*>(scratch_.at(at * lanes)); }

    [[no_unique_address]] typename W::Rounding rounding_;  // down, for as long as the ring lives
    const Modulus& m_;
    std::size_t limbs_, words_;
    Scratch scratch_;
    Limb* surpluses_;
    Vec *n_, *q_, *r_, *one_, *lift_, *spare_;
    Vec inverse_;
};

}  // namespace
}  // namespace vflnative
