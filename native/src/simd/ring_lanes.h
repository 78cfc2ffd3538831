// Transposes a square of vectors of `lanes` words. Internal linkage, as in ring_ntt.h.
#pragma once

#include <cstddef>
#include <utility>

namespace vflnative {
namespace {

template <std::size_t lanes, std::size_t d, class Vec, std::size_t... j>
inline void exchange_lanes(Vec& x, Vec& y, std::index_sequence<j...>) {
    const Vec low = __builtin_shufflevector(x, y, ((j & d) != 0 ? lanes + j - d : j)...);
    y = __builtin_shufflevector(x, y, ((j & d) != 0 ? lanes + j : j + d)...);
    x = low;
}

// Exchanges the off-diagonal blocks of `d` rows and lanes, then those of half the size.
template <std::size_t lanes, std::size_t d = lanes / 2, class Vec>
inline void transpose_lanes(Vec* v) {
    if constexpr (d > 0) {
        for (std::size_t i = 0; i < lanes; ++i) {
            if ((i & d) == 0) {
                exchange_lanes<lanes, d>(v[i], v[i + d], std::make_index_sequence<lanes>{});
            }
        }
        transpose_lanes<lanes, d / 2>(v);
    }
}

}  // namespace
}  // namespace vflnative
