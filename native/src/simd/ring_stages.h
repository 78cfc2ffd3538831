// Two or three stages of a transform on values in registers, over an arithmetic A. Internal linkage:
// every level compiles its own copy with its own flags.
#pragma once

#include "ring_kernels.h"

namespace vflnative {
namespace {

#define VFL_INLINE inline __attribute__((always_inline))

template <class A>
VFL_INLINE void forward4(const A& a, typename A::Vec& x0, typename A::Vec& x1, typename A::Vec& x2,
                         typename A::Vec& x3, const typename A::Factor& w0,
                         const typename A::Factor& w1, const typename A::Factor& w2) {
    a.forward(x0, x2, w0);
    a.forward(x1, x3, w0);
    a.forward(x0, x1, w1);
    a.forward(x2, x3, w2);
}

template <class A>
VFL_INLINE void inverse4(const A& a, typename A::Vec& x0, typename A::Vec& x1, typename A::Vec& x2,
                         typename A::Vec& x3, const typename A::Factor& w0,
                         const typename A::Factor& w1, const typename A::Factor& w2) {
    a.inverse(x0, x1, w1);
    a.inverse(x2, x3, w2);
    a.inverse(x0, x2, w0);
    a.inverse(x1, x3, w0);
}

// The stages of the tail across the rows of a tile; factor(i) is the i-th in table order.
template <class A, class Factors>
VFL_INLINE void forward_network(const A& a, typename A::Vec* v, const Factors& factor) {
    if constexpr (A::rows == 8) {
        const auto w0 = factor(0);
        a.forward(v[0], v[4], w0);
        a.forward(v[1], v[5], w0);
        a.forward(v[2], v[6], w0);
        a.forward(v[3], v[7], w0);
        forward4(a, v[0], v[1], v[2], v[3], factor(1), factor(3), factor(4));
        forward4(a, v[4], v[5], v[6], v[7], factor(2), factor(5), factor(6));
    } else {
        forward4(a, v[0], v[1], v[2], v[3], factor(0), factor(1), factor(2));
    }
}

template <class A, class Factors>
VFL_INLINE void inverse_network(const A& a, typename A::Vec* v, Ntt::Reduction mode,
                                const Factors& factor) {
    if constexpr (A::rows == 8) {
        inverse4(a, v[0], v[1], v[2], v[3], factor(1), factor(3), factor(4));
        inverse4(a, v[4], v[5], v[6], v[7], factor(2), factor(5), factor(6));
        if (mode != Ntt::none) {
            v[0] = a.reduce(v[0]);
            v[4] = a.reduce(v[4]);
        }
        const auto w0 = factor(0);
        a.inverse(v[0], v[4], w0);
        a.inverse(v[1], v[5], w0);
        a.inverse(v[2], v[6], w0);
        a.inverse(v[3], v[7], w0);
        if (mode == Ntt::full) {
            for (unsigned i = 0; i < 4; ++i) v[i] = a.reduce(v[i]);
        }
    } else {
        inverse4(a, v[0], v[1], v[2], v[3], factor(0), factor(1), factor(2));
        if (mode != Ntt::none) v[0] = a.reduce(v[0]);
        if (mode == Ntt::full) v[1] = a.reduce(v[1]);
    }
}

}  // namespace
}  // namespace vflnative
