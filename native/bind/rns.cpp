// Python face of the residue number system.
#include "vflnative/rns.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind.h"

namespace nb = nanobind;

namespace vflnative::bind {
namespace {

using Words = nb::ndarray<const std::uint64_t, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using Places = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Shape = std::vector<std::size_t>;

// A new array of this shape, owned by Python once `array` has been called.
template <typename T>
struct Output {
    Shape shape;
    std::unique_ptr<T[]> data;

    explicit Output(Shape shape_) : shape(std::move(shape_)), data(new T[size(shape)]) {}

    static std::size_t size(const Shape& shape) {
        std::size_t items = 1;
        for (const std::size_t length : shape) {
            if (__builtin_mul_overflow(items, length, &items)) items = ~std::size_t{0};
        }
        if (items > (std::size_t{1} << 48) / sizeof(T)) {
            throw std::invalid_argument("the result would have more than 2^48 bytes");
        }
        return items;
    }

    nb::ndarray<nb::numpy, T> array() {
        T* items = data.release();
        nb::capsule owner(items, [](void* p) noexcept { delete[] static_cast<T*>(p); });
        return nb::ndarray<nb::numpy, T>(items, shape.size(), shape.data(), owner);
    }
};

template <typename Array>
Shape shape_of(const Array& array) {
    return Shape(array.shape_ptr(), array.shape_ptr() + array.ndim());
}

std::size_t count_of(const Shape& leading) {
    std::size_t count = 1;
    for (const std::size_t length : leading) count *= length;
    return count;
}

std::string text(const Shape& shape) {
    std::string words = "(";
    for (const std::size_t length : shape) words += std::to_string(length) + ", ";
    if (shape.size() > 1) words.resize(words.size() - 2);
    return words + ")";
}

// The leading axes of residues (..., k, m), and m.
std::pair<Shape, std::size_t> split_residues(const Rns& rns, const Words& x) {
    Shape shape = shape_of(x);
    if (shape.size() < 2 || shape[shape.size() - 2] != rns.limbs()) {
        throw std::invalid_argument("residues must have shape (..., " +
                                    std::to_string(rns.limbs()) + ", m), not " + text(shape));
    }
    const std::size_t m = shape.back();
    shape.resize(shape.size() - 2);
    return {std::move(shape), m};
}

// The leading axes of an array (..., last).
template <typename Array>
Shape split_last(const Array& array, const char* what, std::size_t last) {
    Shape shape = shape_of(array);
    if (shape.empty() || shape.back() != last) {
        throw std::invalid_argument(std::string(what) + " must have shape (..., " +
                                    std::to_string(last) + "), not " + text(shape));
    }
    shape.pop_back();
    return shape;
}

Shape joined(Shape leading, std::initializer_list<std::size_t> last) {
    leading.insert(leading.end(), last);
    return leading;
}

auto scale_up(const Rns& rns, const Words& values, unsigned bits, unsigned threads) {
    if (values.ndim() == 0) throw std::invalid_argument("values must have an axis");
    const std::size_t m = values.shape(values.ndim() - 1);
    const Shape leading = split_last(values, "values", m);
    Output<std::uint64_t> out(joined(leading, {rns.limbs(), m}));
    {
        const nb::gil_scoped_release released;
        rns.scale_up(values.data(), out.data.get(), {count_of(leading), m}, bits, threads);
    }
    return out.array();
}

auto scale_down(const Rns& rns, const Words& x, unsigned bits, unsigned threads) {
    const auto [leading, m] = split_residues(rns, x);
    Output<std::uint64_t> out(joined(leading, {m}));
    {
        const nb::gil_scoped_release released;
        rns.scale_down(x.data(), out.data.get(), {count_of(leading), m}, bits, threads);
    }
    return out.array();
}

auto compress(const Rns& rns, const Words& x, unsigned bits, unsigned threads) {
    const auto [leading, m] = split_residues(rns, x);
    Output<std::uint8_t> out(joined(leading, {Rns::compressed_bytes(m, bits)}));
    {
        const nb::gil_scoped_release released;
        rns.compress(x.data(), out.data.get(), {count_of(leading), m}, bits, threads);
    }
    return out.array();
}

auto decompress(const Rns& rns, const Bytes& packed, unsigned bits, std::size_t m,
                unsigned threads) {
    const Shape leading = split_last(packed, "packed", Rns::compressed_bytes(m, bits));
    Output<std::uint64_t> out(joined(leading, {rns.limbs(), m}));
    {
        const nb::gil_scoped_release released;
        rns.decompress(packed.data(), out.data.get(), {count_of(leading), m}, bits, threads);
    }
    return out.array();
}

auto pack(const Rns& rns, const Words& x, unsigned threads) {
    const auto [leading, m] = split_residues(rns, x);
    Output<std::uint8_t> out(joined(leading, {rns.packed_bytes(m)}));
    {
        const nb::gil_scoped_release released;
        rns.pack(x.data(), out.data.get(), {count_of(leading), m}, threads);
    }
    return out.array();
}

auto unpack(const Rns& rns, const Bytes& packed, std::size_t m, unsigned threads) {
    const Shape leading = split_last(packed, "packed", rns.packed_bytes(m));
    Output<std::uint64_t> out(joined(leading, {rns.limbs(), m}));
    {
        const nb::gil_scoped_release released;
        rns.unpack(packed.data(), out.data.get(), {count_of(leading), m}, threads);
    }
    return out.array();
}

auto gather_add(const Rns& rns, const Words& x, const Places& places, const Words& plus,
                unsigned threads) {
    const auto [leading, n] = split_residues(rns, x);
    const std::size_t m = places.shape(0), k = rns.limbs();
    if (shape_of(plus) != Shape{k, m}) {
        throw std::invalid_argument("plus must have shape " + text({k, m}) + ", not " +
                                    text(shape_of(plus)));
    }
    std::size_t farthest = 0;  // a negative place is a far one
    for (const std::int64_t* place = places.data(); place != places.data() + m; ++place) {
        farthest = std::max(farthest, static_cast<std::size_t>(*place));
    }
    if (m > 0 && farthest >= (x.size() == 0 ? 0 : x.size() - (k - 1) * n)) {
        throw std::invalid_argument("a place is outside the polynomials");
    }
    Output<std::uint64_t> out({k, m});
    {
        const nb::gil_scoped_release released;
        rns.gather_add(x.data(), places.data(), n, plus.data(), out.data.get(), m, threads);
    }
    return out.array();
}

}  // namespace

void bind_rns(nb::module_& module) {
    nb::class_<Rns>(module, "Rns",
                    "Numbers modulo Q = q_0 ... q_(k-1) by residues: uint64 (..., k, m), any m.")
        .def("__init__",
             [](Rns* place, const std::vector<std::uint64_t>& primes) { new (place) Rns(primes); },
             nb::arg("primes"),
             "primes: 1 to 4 distinct ones between 2^17 and 2^61, Q < 2^200; ValueError otherwise.")
        .def_prop_ro("primes", [](const Rns& rns) {
            std::vector<std::uint64_t> values;
            for (const Prime& p : rns.primes()) values.push_back(p.value);
            return values;
        })
        .def("packed_bytes", &Rns::packed_bytes, nb::arg("m"),
             "Bytes of one packed polynomial of m coefficients.")
        .def("scale_up", scale_up, nb::arg("values").noconvert(), nb::arg("bits"),
             nb::arg("threads") = 1,
             "round(Q v / 2^bits) mod q_i, halves up: uint64 (..., m) -> (..., k, m). bits 1 to 64; "
             "v counts modulo 2^bits.")
        .def("scale_down", scale_down, nb::arg("x").noconvert(), nb::arg("bits"),
             nb::arg("threads") = 1,
             "round(2^bits x / Q) mod 2^bits: (..., k, m) -> uint64 (..., m). bits 1 to 64.")
        .def("compress", compress, nb::arg("x").noconvert(), nb::arg("bits"),
             nb::arg("threads") = 1,
             "scale_down to 1 to 160 bits, as a bit stream: (..., k, m) -> uint8 (..., "
             "ceil(m bits / 8)).")
        .def("decompress", decompress, nb::arg("packed").noconvert(), nb::arg("bits"),
             nb::arg("m"), nb::arg("threads") = 1,
             "scale_up of the m numbers of a bit stream: uint8 (..., nbytes) -> (..., k, m). "
             "ValueError for another length and for padding bits that are not zero.")
        .def("pack", pack, nb::arg("x").noconvert(), nb::arg("threads") = 1,
             "Residues as a bit stream, bit_length(q_i) bits each, limb after limb: (..., k, m) -> "
             "uint8 (..., packed_bytes(m)).")
        .def("unpack", unpack, nb::arg("packed").noconvert(), nb::arg("m"),
             nb::arg("threads") = 1,
             "The residues back: uint8 (..., packed_bytes(m)) -> (..., k, m). ValueError for another "
             "length, a residue not below its prime, padding bits that are not zero.")
        .def("gather_add", gather_add, nb::arg("x").noconvert(), nb::arg("places").noconvert(),
             nb::arg("plus").noconvert(), nb::arg("threads") = 1,
             "Word places[j] of x (..., k, n) and those n, 2n ... after it, plus (k, m), modulo q_i: "
             "(k, m). places int64 (m,); ValueError for one outside x.");
}

}  // namespace vflnative::bind
