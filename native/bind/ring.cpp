// Python face of the polynomial rings and their key switching.
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind.h"
#include "vflnative/keyswitch.h"
#include "vflnative/ring.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace vflnative::bind {
namespace {

using Array = nb::ndarray<const std::uint64_t, nb::c_contig, nb::device::cpu>;
using Signed = nb::ndarray<const std::int64_t, nb::c_contig, nb::device::cpu>;
using Factors = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<nb::numpy, std::uint64_t, nb::c_contig>;
using Shape = std::vector<std::size_t>;

Shape shape_of(const auto& x) { return Shape(x.shape_ptr(), x.shape_ptr() + x.ndim()); }

std::string text(const Shape& shape) {
    std::string out = "(";
    for (const std::size_t n : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(n);
    return out + ")";
}

std::size_t count(const Shape& shape, std::size_t axes) {
    std::size_t product = 1;
    for (std::size_t i = 0; i < axes; ++i) product *= shape[i];
    return product;
}

// Throws unless x has `leading` axes (any number when negative) and then those of `tail`.
void check(const char* name, const Shape& shape, const Shape& tail, int leading = -1) {
    const bool long_enough = leading < 0 ? shape.size() >= tail.size()
                                         : shape.size() == tail.size() + static_cast<unsigned>(leading);
    if (!long_enough || !std::equal(tail.rbegin(), tail.rend(), shape.rbegin())) {
        std::string wanted = leading < 0 ? "..., " : "";
        for (int i = 0; i < leading; ++i) wanted += "any, ";
        throw std::invalid_argument(std::string(name) + " must have shape (" + wanted +
                                    text(tail).substr(1) + ", not " + text(shape));
    }
}

// An output array, aligned for the kernels.
struct Output {
    Shape shape;
    Words words;

    explicit Output(Shape shape_)
        : shape(std::move(shape_)), words(make_words(count(shape, shape.size()))) {}

    Result array() {
        std::uint64_t* data = words.release();
        nb::capsule owner(data, [](void* p) noexcept { FreeWords{}(static_cast<std::uint64_t*>(p)); });
        return Result(data, shape.size(), shape.data(), owner);
    }
};

Shape tail_of(const Ring& ring) { return {ring.limbs(), ring.size()}; }

std::size_t polys_of(const Ring& ring, const char* name, const Array& x) {
    check(name, shape_of(x), tail_of(ring));
    return x.size() / ring.words();
}

// Runs work(out) on a new array of x's shape.
template <class Work>
Result like(const Array& x, const Work& work) {
    Output out(shape_of(x));
    {
        const nb::gil_scoped_release released;
        work(out.words.get());
    }
    return out.array();
}

using PairOperation = void (Ring::*)(const Ring::Pairs&, unsigned) const;

template <PairOperation operation>
Result pairs(const Ring& ring, const Array& a, const Array& b, unsigned threads) {
    const std::size_t polys = polys_of(ring, "a", a);
    const std::size_t b_polys = polys_of(ring, "b", b);
    if (b.ndim() > a.ndim()) throw std::invalid_argument("b has more axes than a");
    const Shape shape = shape_of(a);
    check("b", shape_of(b), Shape(shape.end() - static_cast<std::ptrdiff_t>(b.ndim()), shape.end()), 0);
    return like(a, [&](std::uint64_t* out) {
        (ring.*operation)({a.data(), b.data(), out, polys, b_polys}, threads);
    });
}

Result forward(const Ring& ring, const Array& x, unsigned threads) {
    const std::size_t polys = polys_of(ring, "x", x);
    return like(x, [&](std::uint64_t* out) { ring.forward(x.data(), out, polys, threads); });
}

Result inverse(const Ring& ring, const Array& x, unsigned threads) {
    const std::size_t polys = polys_of(ring, "x", x);
    return like(x, [&](std::uint64_t* out) { ring.inverse(x.data(), out, polys, threads); });
}

Result convolve(const Ring& ring, const Array& x, const Array& y, unsigned threads) {
    check("x", shape_of(x), tail_of(ring), 1);
    check("y", shape_of(y), tail_of(ring), 1);
    Output out({x.shape(0), y.shape(0), ring.limbs(), ring.size()});
    {
        const nb::gil_scoped_release released;
        ring.convolve(x.data(), y.data(), out.words.get(), x.shape(0), y.shape(0), threads);
    }
    return out.array();
}

Result scale(const Ring& ring, const Array& x, const Factors& factors, unsigned threads) {
    const std::size_t polys = polys_of(ring, "x", x);
    check("factors", shape_of(factors), {ring.limbs()}, 0);
    for (std::size_t i = 0; i < ring.limbs(); ++i) {
        if (factors.data()[i] >= ring.prime(i).value) {
            throw std::invalid_argument("factor " + std::to_string(i) + " is not below its prime");
        }
    }
    return like(x, [&](std::uint64_t* out) {
        ring.scale(x.data(), factors.data(), out, polys, threads);
    });
}

Result multiply_accumulate(const Ring& ring, const Array& w, const Array& c, unsigned threads) {
    check("w", shape_of(w), tail_of(ring), 2);
    check("c", shape_of(c), tail_of(ring), 2);
    const Ring::MacShape shape{w.shape(0), w.shape(1), c.shape(1)};
    if (c.shape(0) != shape.terms) {
        throw std::invalid_argument("w has " + std::to_string(shape.terms) + " terms a row, c " +
                                    std::to_string(c.shape(0)));
    }
    if (shape.terms == 0) throw std::invalid_argument("a sum needs at least one term");
    Output out({shape.rows, shape.polys, ring.limbs(), ring.size()});
    {
        const nb::gil_scoped_release released;
        ring.multiply_accumulate(w.data(), c.data(), out.words.get(), shape, threads);
    }
    return out.array();
}

Result gemm(const Ring& ring, const Weights& weights, const Array& c, unsigned threads) {
    check("c", shape_of(c), tail_of(ring), 2);
    const Ring::GemmShape shape{weights.shape(0), weights.shape(1), c.shape(1)};
    if (c.shape(0) != shape.depth) {
        throw std::invalid_argument("weights have " + std::to_string(shape.depth) +
                                    " columns for " + std::to_string(c.shape(0)) + " rows of c");
    }
    Output out({shape.outputs, shape.polys, ring.limbs(), ring.size()});
    {
        const nb::gil_scoped_release released;
        ring.gemm(weights.data(), c.data(), out.words.get(), shape, threads);
    }
    return out.array();
}

Result automorphism(const Ring& ring, const Array& x, std::size_t exponent, unsigned threads) {
    const std::size_t polys = polys_of(ring, "x", x);
    return like(x, [&](std::uint64_t* out) {
        ring.automorphism(x.data(), exponent, out, polys, threads);
    });
}

Result shift(const Ring& ring, const Array& x, std::size_t exponent, unsigned threads) {
    const std::size_t polys = polys_of(ring, "x", x);
    return like(x, [&](std::uint64_t* out) { ring.shift(x.data(), exponent, out, polys, threads); });
}

Result lift(const Ring& ring, const Signed& x, unsigned threads) {
    Shape shape = shape_of(x);
    check("x", shape, {ring.size()});
    shape.insert(shape.end() - 1, ring.limbs());
    Output out(shape);
    {
        const nb::gil_scoped_release released;
        ring.lift(x.data(), out.words.get(), x.size() / ring.size(), threads);
    }
    return out.array();
}

void check_key(const KeySwitch& keyswitch, const Array& key) {
    const std::size_t k = keyswitch.limbs();
    check("key", shape_of(key), {k, 2, k + 1, keyswitch.size()}, 0);
}

Result switch_(const KeySwitch& keyswitch, const Array& c, const Array& key, std::size_t exponent,
               unsigned threads) {
    check("c", shape_of(c), {2, keyswitch.limbs(), keyswitch.size()}, 1);
    check_key(keyswitch, key);
    return like(c, [&](std::uint64_t* out) {
        keyswitch.apply(c.data(), key.data(), exponent, out, c.shape(0), threads);
    });
}

Result images(const KeySwitch& keyswitch, const Array& c, const std::vector<Array>& keys,
              const std::vector<std::size_t>& exponents, unsigned threads) {
    check("c", shape_of(c), {2, keyswitch.limbs(), keyswitch.size()}, 2);
    if (keys.size() != exponents.size() || keys.size() > 16) {
        throw std::invalid_argument("images need a key for each of at most 16 exponents");
    }
    std::vector<KeySwitch::Image> steps;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        check_key(keyswitch, keys[i]);
        steps.push_back({keys[i].data(), exponents[i]});
    }
    Shape shape = shape_of(c);
    shape.insert(shape.begin() + 1, std::size_t{1} << steps.size());
    Output out(shape);
    {
        const nb::gil_scoped_release released;
        keyswitch.images(c.data(), steps, out.words.get(), c.shape(0), c.shape(1), threads);
    }
    return out.array();
}

Result pack(const KeySwitch& keyswitch, const Array& nodes, std::size_t shift, const Array& key,
            std::size_t exponent, unsigned threads) {
    check("nodes", shape_of(nodes), {2, keyswitch.limbs(), keyswitch.size()}, 1);
    check_key(keyswitch, key);
    Shape shape = shape_of(nodes);
    shape[0] = (shape[0] + 1) / 2;
    Output out(shape);
    {
        const nb::gil_scoped_release released;
        keyswitch.pack(nodes.data(), shift, key.data(), exponent, out.words.get(), nodes.shape(0),
                       threads);
    }
    return out.array();
}

}  // namespace

void bind_ring(nb::module_& module) {
    nb::class_<Ring>(module, "Ring",
                     "Z_Q[X]/(X^n + 1): uint64 arrays (..., k, n), limb i below primes[i].\n\n"
                     "n is a power of two from 2^10 to 2^15, each prime 1 mod 2n and between 2^17 "
                     "and 2^61. Results are fully reduced.")
        .def("__init__",
             [](Ring* place, std::size_t n, const std::vector<std::uint64_t>& primes) {
                 new (place) Ring(n, primes);
             }, "n"_a, "primes"_a)
        .def_prop_ro("n", &Ring::size)
        .def_prop_ro("primes", [](const Ring& ring) {
            std::vector<std::uint64_t> primes;
            for (std::size_t i = 0; i < ring.limbs(); ++i) primes.push_back(ring.prime(i).value);
            return primes;
        })
        .def_prop_ro("roots", [](const Ring& ring) {
            std::vector<std::uint64_t> roots;
            for (std::size_t i = 0; i < ring.limbs(); ++i) roots.push_back(ring.root(i));
            return roots;
        }, "The smallest primitive 2n-th root psi of each prime.")
        .def("forward", forward, "x"_a.noconvert(), "threads"_a = 1,
             "Coefficients to NTT form: word i is the value at psi^(2 bitrev(i) + 1).")
        .def("inverse", inverse, "x"_a.noconvert(), "threads"_a = 1,
             "NTT form to coefficients.")
        .def("add", pairs<&Ring::add>, "a"_a.noconvert(), "b"_a.noconvert(), "threads"_a = 1,
             "a + b; b may lack leading axes of a.")
        .def("subtract", pairs<&Ring::subtract>, "a"_a.noconvert(), "b"_a.noconvert(),
             "threads"_a = 1, "a - b; b may lack leading axes of a.")
        .def("multiply", pairs<&Ring::multiply>, "a"_a.noconvert(), "b"_a.noconvert(),
             "threads"_a = 1, "a b word by word (NTT form); b may lack leading axes of a.")
        .def("convolve", convolve, "x"_a.noconvert(), "y"_a.noconvert(), "threads"_a = 1,
             "Products in the ring, coefficients out, of x (r, k, n) in coefficients and y (p, k, n) in "
             "NTT form: (r, p, k, n).")
        .def("scale", scale, "x"_a.noconvert(), "factors"_a.noconvert(), "threads"_a = 1,
             "Limb i times factors[i], uint64 (k,) below the primes.")
        .def("multiply_accumulate", multiply_accumulate, "w"_a.noconvert(), "c"_a.noconvert(),
             "threads"_a = 1,
             "sum_m w[s, m] c[m, p] word by word: (s, m, k, n), (m, p, k, n) to (s, p, k, n).")
        .def("gemm", gemm, "weights"_a.noconvert(), "c"_a.noconvert(), "threads"_a = 1,
             "sum_d weights[o, d] c[d, p]: int64 (o, d) below 2^62, (d, p, k, n) to (o, p, k, n).")
        .def("automorphism", automorphism, "x"_a.noconvert(), "exponent"_a, "threads"_a = 1,
             "X -> X^exponent, odd and below 2n, of coefficients.")
        .def("shift", shift, "x"_a.noconvert(), "exponent"_a, "threads"_a = 1,
             "X^exponent x of coefficients, exponent below 2n.")
        .def("lift", lift, "x"_a.noconvert(), "threads"_a = 1,
             "Residues (..., k, n) of signed integers int64 (..., n).");

    nb::class_<KeySwitch>(module, "KeySwitch",
                          "Key switching modulo primes with one special prime P (Gentry, Halevi, "
                          "Smart 2012); digits are limbs.")
        .def("__init__",
             [](KeySwitch* place, std::size_t n, const std::vector<std::uint64_t>& primes,
                std::uint64_t special) { new (place) KeySwitch(n, primes, special); },
             "n"_a, "primes"_a, "special"_a)
        .def("switch", switch_, "c"_a.noconvert(), "key"_a.noconvert(), "exponent"_a,
             "threads"_a = 1,
             "c (batch, 2, k, n) in coefficient form, under X -> X^exponent and then switched by "
             "key (k, 2, k + 1, n) in NTT form: key[d] = (b_d, a_d), the limb of P last.")
        .def("images", images, "c"_a.noconvert(), "keys"_a.noconvert(), "exponents"_a, "threads"_a = 1,
             "All images of c (blocks, columns, 2, k, n) under products of subsets of the exponents, "
             "in binary order, each switched: (blocks, 2^h, columns, 2, k, n).")
        .def("pack", pack, "nodes"_a.noconvert(), "shift"_a, "key"_a.noconvert(), "exponent"_a,
             "threads"_a = 1,
             "Neighbours a, b of nodes (count, 2, k, n) joined to a + X^shift b + "
             "switch(a - X^shift b, key, exponent); a last one alone counts with b = 0.");
}

}  // namespace vflnative::bind
