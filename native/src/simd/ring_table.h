// Key switching, sums of limbs, and the table of a level, over an arithmetic A.
#pragma once

#include "ring_products.h"

namespace vflnative {
namespace {

template <class A>
void forward_limb(const Ntt& ntt, const std::uint64_t* in, std::uint64_t* out) {
    Transform<A>(ntt).forward(in, out, Residues<A>{}, PutResidues{});
}

template <class A>
void inverse_limb(const Ntt& ntt, const std::uint64_t* in, std::uint64_t* out) {
    Transform<A>(ntt).template inverse<true>(out, TakeResidues{in});
}

inline void add_words(const Prime& p, const std::uint64_t* a, const std::uint64_t* b,
                      std::uint64_t* out, std::size_t words) {
    const std::uint64_t q = p.value;
    for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t s = a[i] + b[i];
        out[i] = static_cast<std::int64_t>(s) >= static_cast<std::int64_t>(q) ? s - q : s;
    }
}

inline void subtract_words(const Prime& p, const std::uint64_t* a, const std::uint64_t* b,
                           std::uint64_t* out, std::size_t words) {
    const std::uint64_t q = p.value;
    for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t d = a[i] - b[i];
        out[i] = static_cast<std::int64_t>(d) < 0 ? d + q : d;
    }
}

inline void negate_words(const Prime& p, const std::uint64_t* a, std::uint64_t* out,
                         std::size_t words) {
    const std::uint64_t q = p.value;
    for (std::size_t i = 0; i < words; ++i) out[i] = a[i] == 0 ? 0 : q - a[i];
}

// What the inverse transform of a key switch starts from. Eight products of doubles can be summed
// before a reduction.
struct KeySums {
    const SwitchSum& s;

    template <class A>
    VFL_INLINE typename A::Vec take(const A&, const std::uint64_t* x, std::size_t i) const {
        return A::load(x + i);
    }
    template <class A>
    VFL_INLINE void prepare(const A& a, std::uint64_t* x, std::size_t begin,
                            std::size_t end) const {
        const bool settle = s.ntt->settle_forward(), reduce = s.ntt->reduce_inverse();
        for (std::size_t i = begin; i < end; i += A::lanes) {
            const std::uint64_t* digit = s.transformed + i;
            const std::uint64_t* factor = s.key + i;
            typename A::Vec sum{};
            for (std::size_t d = 0; d < s.digits; ++d, digit += s.ntt->size(), factor += s.key_digit) {
                const auto y = A::load(digit);
                const auto product = a.product(settle ? a.settle(y) : y, a.residue(factor));
                sum = d == 0 ? product : a.plus(sum, product);
                if (d % 8 == 7) sum = a.reduce(sum);
            }
            A::store(x + i, reduce ? a.reduce(sum) : sum);
        }
    }
};

template <class A>
void switch_digit(const Ntt& ntt, const Prime& digit, const std::uint64_t* in, std::uint64_t* out) {
    const Transform<A> transform(ntt);
    transform.forward(in, out, typename A::Lift(transform.arithmetic, digit), Leave{});
}

template <class A>
void switch_sum(const SwitchSum& s) {
    Transform<A>(*s.ntt).template inverse<false>(s.out, KeySums{s});
}

template <class A>
void switch_finish(const SwitchFinish& s) {
    const A a(*s.prime);
    const typename A::Centre centre(a, *s.special);
    const auto inverse = A::spread(s.inverse);
    for (std::size_t i = 0; i < s.n; i += A::lanes) {
        const auto u = a.settle_product(a.times(centre(A::load(s.u + i)), inverse));
        auto y = a.minus(A::load(s.t + i), u);
        if (s.x != nullptr) y = a.plus(y, a.residue(s.x + i));
        a.put_sum(s.out + i, y);
    }
}

template <class A>
constexpr RingKernels ring_table(void (*gemm)(const Prime&, const GemmBlock&)) {
    return {
        .layout = A::layout,
        .forward = forward_limb<A>,
        .inverse = inverse_limb<A>,
        .add = add_words,
        .subtract = subtract_words,
        .negate = negate_words,
        .multiply = multiply_words<A>,
        .scale = scale_words<A>,
        .lift = lift_words<A>,
        .mac = mac_block<A>,
        .gemm = gemm,
        .switch_digit = switch_digit<A>,
        .switch_sum = switch_sum<A>,
        .switch_finish = switch_finish<A>,
    };
}

}  // namespace
}  // namespace vflnative
