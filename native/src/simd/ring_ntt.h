// The transforms of ntt.h over an arithmetic A (ring_integers.h, ring_doubles.h, ring_integers52.h).
//
// A level computes on vectors of A::lanes words, kept in the output array as working words. Passes go
// over blocks depth first, so that blocks which fit the first-level cache are finished there.
#pragma once

#include "ring_stages.h"

namespace vflnative {
namespace {

// What a forward transform reads.
template <class A>
struct Residues {
    VFL_INLINE typename A::Vec operator()(const A& a, const std::uint64_t* x) const {
        return a.residue(x);
    }
};

// What becomes of transformed words [begin, end) while they are in the cache: they are left, or made
// residues.
struct Leave {
    template <class A>
    VFL_INLINE void operator()(const A&, std::uint64_t*, std::size_t, std::size_t) const {}
};
struct PutResidues {
    template <class A>
    VFL_INLINE void operator()(const A& a, std::uint64_t* x, std::size_t begin,
                               std::size_t end) const {
        for (std::size_t i = begin; i < end; i += A::lanes) a.put(x + i, a.settle(A::load(x + i)));
    }
};

// What an inverse transform starts from: prepare() may fill the words [begin, end) of x, take() gives
// working words from i on. Here residues as they are loaded.
struct TakeResidues {
    const std::uint64_t* in;

    template <class A>
    VFL_INLINE void prepare(const A&, std::uint64_t*, std::size_t, std::size_t) const {}
    template <class A>
    VFL_INLINE typename A::Vec take(const A& a, const std::uint64_t*, std::size_t i) const {
        return a.residue(in + i);
    }
};

template <class A>
class Transform {
    using Vec = typename A::Vec;
    using Factor = typename A::Factor;
    static constexpr std::size_t lanes = A::lanes;

public:
    explicit Transform(const Ntt& ntt) : arithmetic(ntt.prime()), ntt_(ntt) {}

    const A arithmetic;

    // Hands `out` to the sink, block by block, as working words that need settle() before products.
    template <class Source, class Sink>
    void forward(const std::uint64_t* in, std::uint64_t* out, const Source& source,
                 const Sink& sink) const {
        const A a = arithmetic;
        const Ntt::Pass& top = ntt_.passes()[0];
        const std::size_t quarter = top.length / 4;
        const std::uint64_t* w = ntt_.forward_factors() + top.factors;
        const Factor w0 = A::spread(w), w1 = A::spread(w + 2), w2 = A::spread(w + 4);
        for (std::size_t j = 0; j < quarter; j += lanes) {
            Vec x0 = source(a, in + j), x1 = source(a, in + quarter + j);
            Vec x2 = source(a, in + 2 * quarter + j), x3 = source(a, in + 3 * quarter + j);
            if (top.forward != Ntt::none) {
                x0 = a.reduce(x0);
                x1 = a.reduce(x1);
            }
            forward4(a, x0, x1, x2, x3, w0, w1, w2);
            A::store(out + j, x0);
            A::store(out + quarter + j, x1);
            A::store(out + 2 * quarter + j, x2);
            A::store(out + 3 * quarter + j, x3);
        }
        for (std::size_t block = 0; block < 4; ++block) forward_from(1, block, out, sink);
    }

    // scale / n times the inverse of what the source puts into `out`, block by block, as residues or
    // settled working words.
    template <bool residues, class Source>
    void inverse(std::uint64_t* out, const Source& source) const {
        const A a = arithmetic;
        for (std::size_t block = 0; block < 4; ++block) inverse_from(1, block, out, source);
        const Ntt::Pass& top = ntt_.passes()[0];
        const std::size_t quarter = top.length / 4;
        const std::uint64_t* w = ntt_.inverse_factors() + top.factors;
        const Factor w1 = A::spread(w + 2), w2 = A::spread(w + 4);
        const Factor scale = A::spread(ntt_.last_factors());
        const Factor w0 = A::spread(ntt_.last_factors() + 2);
        for (std::size_t j = 0; j < quarter; j += lanes) {
            Vec x0 = A::load(out + j), x1 = A::load(out + quarter + j);
            Vec x2 = A::load(out + 2 * quarter + j), x3 = A::load(out + 3 * quarter + j);
            a.inverse(x0, x1, w1);
            a.inverse(x2, x3, w2);
            a.inverse(x0, x2, w0);
            a.inverse(x1, x3, w0);
            finish<residues>(a, out + j, a.times(x0, scale));
            finish<residues>(a, out + quarter + j, a.times(x1, scale));
            finish<residues>(a, out + 2 * quarter + j, x2);
            finish<residues>(a, out + 3 * quarter + j, x3);
        }
    }

private:
    const Ntt& ntt_;

    template <bool residues>
    static VFL_INLINE void finish(const A& a, std::uint64_t* out, Vec product) {
        product = a.settle_product(product);
        if constexpr (residues) {
            a.put(out, product);
        } else {
            A::store(out, product);
        }
    }

    // Everything from that pass on, for one of its blocks.
    template <class Sink>
    void forward_from(std::size_t pass, std::size_t block, std::uint64_t* x,
                      const Sink& sink) const {
        const auto& passes = ntt_.passes();
        if (pass < passes.size() && passes[pass].length > Ntt::cached_words) {
            forward_pass(passes[pass], block, 1, x);
            const std::size_t radix = passes[pass].radix;
            for (std::size_t i = 0; i < radix; ++i) {
                forward_from(pass + 1, radix * block + i, x, sink);
            }
            return;
        }
        std::size_t count = 1;
        for (; pass < passes.size(); ++pass) {
            forward_pass(passes[pass], block, count, x);
            block *= passes[pass].radix;
            count *= passes[pass].radix;
        }
        forward_tiles(block / lanes, count / lanes, x);
        sink(A(arithmetic), x, block * A::rows, (block + count) * A::rows);
    }

    template <class Source>
    void inverse_from(std::size_t pass, std::size_t block, std::uint64_t* x,
                      const Source& source) const {
        const auto& passes = ntt_.passes();
        if (pass < passes.size() && passes[pass].length > Ntt::cached_words) {
            const std::size_t radix = passes[pass].radix;
            for (std::size_t i = 0; i < radix; ++i) {
                inverse_from(pass + 1, radix * block + i, x, source);
            }
            inverse_pass(passes[pass], block, 1, x);
            return;
        }
        std::size_t count = 1;
        for (std::size_t i = pass; i < passes.size(); ++i) count *= passes[i].radix;
        source.prepare(A(arithmetic), x, block * count * A::rows, (block + 1) * count * A::rows);
        inverse_tiles(block * count / lanes, count / lanes, x, source);
        for (std::size_t i = passes.size(); i-- > pass;) {
            count /= passes[i].radix;
            inverse_pass(passes[i], block * count, count, x);
        }
    }

    void forward_pass(const Ntt::Pass& pass, std::size_t first, std::size_t count,
                      std::uint64_t* x) const {
        x += first * pass.length;
        const std::uint64_t* w = ntt_.forward_factors() + pass.factors + 2 * (pass.radix - 1) * first;
        if (pass.radix == 2) {
            forward_pass2(pass, count, w, x);
        } else if (pass.forward == Ntt::none) {
            forward_pass4<false>(pass, count, w, x);
        } else {
            forward_pass4<true>(pass, count, w, x);
        }
    }

    template <bool reduced>
    void forward_pass4(const Ntt::Pass& pass, std::size_t count, const std::uint64_t* w,
                       std::uint64_t* x) const {
        const A a = arithmetic;
        const std::size_t quarter = pass.length / 4;
        for (; count-- > 0; w += 6, x += pass.length) {
            const Factor w0 = A::spread(w), w1 = A::spread(w + 2), w2 = A::spread(w + 4);
            for (std::uint64_t* y = x; y != x + quarter; y += lanes) {
                Vec x0 = A::load(y), x1 = A::load(y + quarter);
                Vec x2 = A::load(y + 2 * quarter), x3 = A::load(y + 3 * quarter);
                if constexpr (reduced) {
                    x0 = a.reduce(x0);
                    x1 = a.reduce(x1);
                }
                forward4(a, x0, x1, x2, x3, w0, w1, w2);
                A::store(y, x0);
                A::store(y + quarter, x1);
                A::store(y + 2 * quarter, x2);
                A::store(y + 3 * quarter, x3);
            }
        }
    }

    void forward_pass2(const Ntt::Pass& pass, std::size_t count, const std::uint64_t* w,
                       std::uint64_t* x) const {
        const A a = arithmetic;
        const std::size_t half = pass.length / 2;
        for (; count-- > 0; w += 2, x += pass.length) {
            const Factor w0 = A::spread(w);
            for (std::uint64_t* y = x; y != x + half; y += lanes) {
                Vec x0 = A::load(y), x1 = A::load(y + half);
                if (pass.forward != Ntt::none) x0 = a.reduce(x0);
                a.forward(x0, x1, w0);
                A::store(y, x0);
                A::store(y + half, x1);
            }
        }
    }

    void inverse_pass(const Ntt::Pass& pass, std::size_t first, std::size_t count,
                      std::uint64_t* x) const {
        x += first * pass.length;
        const std::uint64_t* w = ntt_.inverse_factors() + pass.factors + 2 * (pass.radix - 1) * first;
        if (pass.radix == 2) {
            inverse_pass2(pass, count, w, x);
        } else if (pass.inverse == Ntt::none) {
            inverse_pass4<Ntt::none>(pass, count, w, x);
        } else if (pass.inverse == Ntt::light) {
            inverse_pass4<Ntt::light>(pass, count, w, x);
        } else {
            inverse_pass4<Ntt::full>(pass, count, w, x);
        }
    }

    template <Ntt::Reduction mode>
    void inverse_pass4(const Ntt::Pass& pass, std::size_t count, const std::uint64_t* w,
                       std::uint64_t* x) const {
        const A a = arithmetic;
        const std::size_t quarter = pass.length / 4;
        for (; count-- > 0; w += 6, x += pass.length) {
            const Factor w0 = A::spread(w), w1 = A::spread(w + 2), w2 = A::spread(w + 4);
            for (std::uint64_t* y = x; y != x + quarter; y += lanes) {
                Vec x0 = A::load(y), x1 = A::load(y + quarter);
                Vec x2 = A::load(y + 2 * quarter), x3 = A::load(y + 3 * quarter);
                inverse4(a, x0, x1, x2, x3, w0, w1, w2);
                if constexpr (mode != Ntt::none) x0 = a.reduce(x0);
                if constexpr (mode == Ntt::full) x1 = a.reduce(x1);
                A::store(y, x0);
                A::store(y + quarter, x1);
                A::store(y + 2 * quarter, x2);
                A::store(y + 3 * quarter, x3);
            }
        }
    }

    void inverse_pass2(const Ntt::Pass& pass, std::size_t count, const std::uint64_t* w,
                       std::uint64_t* x) const {
        const A a = arithmetic;
        const std::size_t half = pass.length / 2;
        for (; count-- > 0; w += 2, x += pass.length) {
            const Factor w0 = A::spread(w);
            for (std::uint64_t* y = x; y != x + half; y += lanes) {
                Vec x0 = A::load(y), x1 = A::load(y + half);
                a.inverse(x0, x1, w0);
                if (pass.inverse == Ntt::full) x0 = a.reduce(x0);
                A::store(y, x0);
                A::store(y + half, x1);
            }
        }
    }

    // A tile: `lanes` blocks of the tail, one a lane once transposed.
    static constexpr std::size_t tile_words = A::rows * lanes;
    static constexpr std::size_t factor_words = 2 * (A::rows - 1) * lanes;

    void forward_tiles(std::size_t first, std::size_t count, std::uint64_t* x) const {
        const A a = arithmetic;
        const Ntt::Reduction mode = ntt_.tail().forward;
        const std::uint64_t* w = ntt_.forward_factors() + ntt_.tail().factors + factor_words * first;
        x += first * tile_words;
        for (; count-- > 0; w += factor_words, x += tile_words) {
            Vec v[A::rows];
            for (std::size_t i = 0; i < A::rows; ++i) v[i] = A::load(x + i * lanes);
            A::transpose(v);
            if (mode != Ntt::none) {
                for (std::size_t i = 0; i < A::rows / 2; ++i) v[i] = a.reduce(v[i]);
            }
            forward_network(a, v, [w](std::size_t i) { return A::each(w + 2 * lanes * i); });
            A::transpose(v);
            for (std::size_t i = 0; i < A::rows; ++i) A::store(x + i * lanes, v[i]);
        }
    }

    template <class Source>
    void inverse_tiles(std::size_t first, std::size_t count, std::uint64_t* x,
                       const Source& source) const {
        const A a = arithmetic;
        const Ntt::Reduction mode = ntt_.tail().inverse;
        const std::uint64_t* w = ntt_.inverse_factors() + ntt_.tail().factors + factor_words * first;
        for (std::size_t at = first * tile_words; count-- > 0; w += factor_words, at += tile_words) {
            Vec v[A::rows];
            for (std::size_t i = 0; i < A::rows; ++i) v[i] = source.take(a, x, at + i * lanes);
            A::transpose(v);
            inverse_network(a, v, mode, [w](std::size_t i) { return A::each(w + 2 * lanes * i); });
            A::transpose(v);
            for (std::size_t i = 0; i < A::rows; ++i) A::store(x + at + i * lanes, v[i]);
        }
    }
};

}  // namespace
}  // namespace vflnative
