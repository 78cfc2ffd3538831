// Sums of products of limbs, over an arithmetic A (ring_integers.h, ring_doubles.h).
#pragma once

#include "ring_ntt.h"

namespace vflnative {
namespace {

template <class A>
void multiply_words(const Prime& p, const std::uint64_t* x, const std::uint64_t* y,
                    std::uint64_t* out, std::size_t words) {
    const A a(p);
    for (std::size_t i = 0; i < words; i += A::lanes) {
        a.put(out + i, a.product(a.residue(x + i), a.residue(y + i)));
    }
}

template <class A>
void scale_words(const Prime& p, const std::uint64_t* x, std::uint64_t factor, std::uint64_t* out,
                 std::size_t words) {
    const A a(p);
    std::uint64_t pair[2];
    write_factor(p, A::layout.form, factor, pair);
    const auto w = A::spread(pair);
    for (std::size_t i = 0; i < words; i += A::lanes) {
        a.put(out + i, a.settle_product(a.times(a.residue(x + i), w)));
    }
}

template <class A>
void lift_words(const Prime& p, const std::int64_t* x, std::uint64_t* out, std::size_t words) {
    const A a(p);
    const typename A::Signed lifted(a);
    for (std::size_t i = 0; i < words; i += A::lanes) a.put(out + i, lifted(a, x + i));
}

// Adds `terms` products to the sums of `polys` polynomials; sums stay in registers over the terms.
template <class A, std::size_t terms, std::size_t polys>
void mac_terms(const A& arithmetic, const MacBlock& block, const std::uint64_t* w,
               const std::uint64_t* c, std::uint64_t* sums, bool first, bool fold) {
    const A a = arithmetic;
    const std::size_t words = block.words, w_term = block.w_term, c_term = block.polys * words;
    for (std::size_t i = 0; i < words; i += A::lanes) {
        typename A::Sum sum[polys] = {};
        for (std::size_t p = 0; p < polys && !first; ++p) {
            A::load_sum(sum[p], sums + A::sum_words * (p * words + i));
        }
        const std::uint64_t* wm = w + i;
        const std::uint64_t* cm = c + i;
        // Unrolled, it would spill.
#pragma GCC unroll 1
        for (std::size_t m = 0; m < terms; ++m, wm += w_term, cm += c_term) {
            __builtin_prefetch(wm + terms * w_term);
            const auto factor = a.residue(wm);
            for (std::size_t p = 0; p < polys; ++p) a.mac(sum[p], factor, A::load(cm + p * words));
        }
        for (std::size_t p = 0; p < polys; ++p) {
            if (fold) a.fold(sum[p]);
            A::store_sum(sums + A::sum_words * (p * words + i), sum[p]);
        }
    }
}

template <class A, std::size_t polys>
void mac_polys(const A& a, const MacBlock& block, std::size_t row, std::size_t poly) {
    constexpr std::size_t group = 4;
    const std::uint64_t* c = block.scratch + poly * block.words;
    std::uint64_t* sums = block.scratch + block.terms * block.polys * block.words;
    const std::uint64_t* w = block.w + row * block.w_row;
    std::size_t since = 0;
    for (std::size_t m = 0; m < block.terms;) {
        const bool whole = m + group <= block.terms;
        since += whole ? group : 1;
        const bool fold = since + group > a.chunk();
        const std::uint64_t* terms = c + m * block.polys * block.words;
        if (whole) {
            mac_terms<A, group, polys>(a, block, w + m * block.w_term, terms, sums, m == 0, fold);
        } else {
            mac_terms<A, 1, polys>(a, block, w + m * block.w_term, terms, sums, m == 0, fold);
        }
        m += whole ? group : 1;
        if (fold) since = 0;
    }
    for (std::size_t p = 0; p < polys; ++p) {
        std::uint64_t* out = block.out + row * block.out_row + (poly + p) * block.out_poly;
        for (std::size_t i = 0; i < block.words; i += A::lanes) {
            typename A::Sum sum;
            A::load_sum(sum, sums + A::sum_words * (p * block.words + i));
            a.put(out + i, a.total(sum));
        }
    }
}

template <class A>
void mac_block(const Prime& p, const MacBlock& block) {
    const A a(p);
    std::uint64_t* c = block.scratch;
    for (std::size_t m = 0; m < block.terms; ++m) {
        for (std::size_t poly = 0; poly < block.polys; ++poly, c += block.words) {
            const std::uint64_t* in = block.c + m * block.c_term + poly * block.c_poly;
            for (std::size_t i = 0; i < block.words; i += A::lanes) {
                A::store(c + i, a.residue(in + i));
            }
        }
    }
    for (std::size_t row = 0; row < block.rows; ++row) {
        std::size_t poly = 0;
        for (; poly + 2 <= block.polys; poly += 2) mac_polys<A, 2>(a, block, row, poly);
        if (poly < block.polys) mac_polys<A, 1>(a, block, row, poly);
    }
}

// `outputs` sums over `vectors` vectors, in registers over a whole chunk.
template <class A, std::size_t outputs, std::size_t vectors>
VFL_INLINE void gemm_tile(const A& a, const GemmBlock& block, std::size_t output, std::size_t word,
                          std::size_t chunk) {
    typename A::Sum sum[outputs][vectors] = {};
    const std::uint64_t* w = block.weights + output * block.depth;
    const std::uint64_t* c = block.scratch + word;
    for (std::size_t from = 0; from < block.depth; from += chunk) {
        const std::size_t to = block.depth - from < chunk ? block.depth : from + chunk;
        for (std::size_t d = from; d < to; ++d) {
            typename A::Vec x[vectors];
            for (std::size_t v = 0; v < vectors; ++v) {
                x[v] = A::load(c + d * block.words + v * A::lanes);
            }
            for (std::size_t o = 0; o < outputs; ++o) {
                const auto weight = A::spread_weight(w + o * block.depth + d);
                for (std::size_t v = 0; v < vectors; ++v) a.mac(sum[o][v], weight, x[v]);
            }
        }
        if (to == block.depth) break;
        for (std::size_t o = 0; o < outputs; ++o) {
            for (std::size_t v = 0; v < vectors; ++v) a.fold(sum[o][v]);
        }
    }
    for (std::size_t o = 0; o < outputs; ++o) {
        for (std::size_t v = 0; v < vectors; ++v) {
            a.put(block.out + (output + o) * block.out_row + word + v * A::lanes, a.total(sum[o][v]));
        }
    }
}

// block.words is a multiple of 16.
template <class A>
void gemm_block(const A& a, const GemmBlock& block, std::size_t chunk) {
    constexpr std::size_t outputs = A::lanes > 1 ? 4 : 2, vectors = A::lanes > 1 ? 2 : 1;
    std::uint64_t* c = block.scratch;
    for (std::size_t d = 0; d < block.depth; ++d, c += block.words) {
        for (std::size_t i = 0; i < block.words; i += A::lanes) {
            A::store(c + i, a.weighted(block.c + d * block.c_term + i));
        }
    }
    std::size_t output = 0;
    for (; output + outputs <= block.outputs; output += outputs) {
        for (std::size_t i = 0; i < block.words; i += vectors * A::lanes) {
            gemm_tile<A, outputs, vectors>(a, block, output, i, chunk);
        }
    }
    for (; output < block.outputs; ++output) {
        for (std::size_t i = 0; i < block.words; i += vectors * A::lanes) {
            gemm_tile<A, 1, vectors>(a, block, output, i, chunk);
        }
    }
}

}  // namespace
}  // namespace vflnative
