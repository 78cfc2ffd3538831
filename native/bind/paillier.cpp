// Python face of the big-integer kernels.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "bind.h"
#include "vflnative/crt.h"
#include "vflnative/modexp.h"
#include "vflnative/montgomery.h"

namespace nb = nanobind;

namespace vflnative::bind {
namespace {

using Vector = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<nb::numpy, std::uint64_t, nb::ndim<2>>;

// Output rows; becomes a numpy array that owns them.
struct Output {
    std::size_t rows, limbs;
    std::unique_ptr<std::uint64_t[]> data;

    Output(std::size_t rows_, std::size_t limbs_)
        : rows(rows_), limbs(limbs_), data(new std::uint64_t[rows_ * limbs_]) {}

    Result array() {
        std::uint64_t* words = data.release();
        nb::capsule owner(words, [](void* p) noexcept { delete[] static_cast<std::uint64_t*>(p); });
        return Result(words, {rows, limbs}, owner);
    }
};

void check_residues(const Modulus& modulus, const Rows& rows, const char* name) {
    if (rows.shape(1) != modulus.limbs()) {
        throw std::invalid_argument(std::string(name) + " needs " +
                                    std::to_string(modulus.limbs()) + " limbs a row, not " +
                                    std::to_string(rows.shape(1)));
    }
    for (std::size_t row = 0; row < rows.shape(0); ++row) {
        if (!modulus.contains(rows.data() + row * modulus.limbs())) {
            throw std::invalid_argument(std::string(name) + ": row " + std::to_string(row) +
                                        " is not below the modulus");
        }
    }
}

void check_lengths(std::size_t left, std::size_t right) {
    if (left != right) {
        throw std::invalid_argument("batches of " + std::to_string(left) + " and " +
                                    std::to_string(right) + " rows do not match");
    }
}

Result modmul_(const Rows& a, const Rows& b, const Modulus& modulus, unsigned threads) {
    check_lengths(a.shape(0), b.shape(0));
    Output out(a.shape(0), modulus.limbs());
    {
        nb::gil_scoped_release released;
        check_residues(modulus, a, "a");
        check_residues(modulus, b, "b");
        modmul(modulus, a.data(), b.data(), out.data.get(), out.rows, threads);
    }
    return out.array();
}

Result modexp_(const Rows& bases, const Rows& exponents, const Modulus& modulus,
               unsigned threads) {
    const bool shared = exponents.shape(0) == 1;
    if (!shared) check_lengths(bases.shape(0), exponents.shape(0));
    if (exponents.shape(1) == 0) throw std::invalid_argument("exponents need at least one limb");
    Output out(bases.shape(0), modulus.limbs());
    {
        nb::gil_scoped_release released;
        check_residues(modulus, bases, "bases");
        modexp(modulus, bases.data(), exponents.data(), exponents.shape(1), shared, out.data.get(),
               out.rows, threads);
    }
    return out.array();
}

void make_fixed_base(FixedBase* place, const Vector& base, const Modulus& modulus,
                     std::size_t exponent_bits, unsigned window, unsigned threads) {
    if (window < 1 || window > 16) throw std::invalid_argument("window must be 1 to 16 bits");
    if (exponent_bits < 1) throw std::invalid_argument("exponent_bits must be positive");
    if (base.shape(0) != modulus.limbs() || !modulus.contains(base.data())) {
        throw std::invalid_argument("base must be a residue of the modulus");
    }
    nb::gil_scoped_release released;
    new (place) FixedBase(modulus, base.data(), {exponent_bits, window}, threads);
}

void check_exponents(const FixedBase& table, const Rows& exponents) {
    const std::size_t bits = table.shape().exponent_bits;
    const std::size_t limbs = exponents.shape(1);
    for (std::size_t row = 0; row < exponents.shape(0); ++row) {
        const std::uint64_t* exponent = exponents.data() + row * limbs;
        std::uint64_t excess = 0;
        for (std::size_t i = bits / 64; i < limbs; ++i) {
            excess |= i == bits / 64 ? exponent[i] >> (bits % 64) : exponent[i];
        }
        if (excess != 0) {
            throw std::invalid_argument("exponents: row " + std::to_string(row) +
                                        " is not below 2^" + std::to_string(bits));
        }
    }
}

Result fixed_base_pow(const FixedBase& table, const Rows& exponents,
                      const std::optional<Rows>& times, unsigned threads) {
    if (times) check_lengths(exponents.shape(0), times->shape(0));
    Output out(exponents.shape(0), table.modulus().limbs());
    {
        nb::gil_scoped_release released;
        check_exponents(table, exponents);
        if (times) check_residues(table.modulus(), *times, "times");
        table.pow(exponents.data(), exponents.shape(1), times ? times->data() : nullptr,
                  out.data.get(), out.rows, threads);
    }
    return out.array();
}

nb::tuple multiexp_(const Rows& bases, const Integers& exponents, const Modulus& modulus,
                    unsigned threads) {
    constexpr std::int64_t limit = std::int64_t{1} << 62;
    check_lengths(bases.shape(0), exponents.shape(0));
    const std::size_t columns = exponents.shape(1);
    Output positive(columns, modulus.limbs());
    Output negative(columns, modulus.limbs());
    {
        nb::gil_scoped_release released;
        check_residues(modulus, bases, "bases");
        for (std::size_t i = 0; i < exponents.size(); ++i) {
            if (exponents.data()[i] <= -limit || exponents.data()[i] >= limit) {
                throw std::invalid_argument("exponents must be below 2^62 in magnitude");
            }
        }
        multiexp(modulus, bases.data(), exponents.data(), bases.shape(0), columns,
                 positive.data.get(), negative.data.get(), threads);
    }
    return nb::make_tuple(positive.array(), negative.array());
}

Result crt_join_(const Rows& a, const Rows& b, const Modulus& low, const Modulus& high,
                 const Vector& inverse, std::size_t limbs, unsigned threads) {
    check_lengths(a.shape(0), b.shape(0));
    if (inverse.shape(0) != high.limbs() || !high.contains(inverse.data())) {
        throw std::invalid_argument("inverse must be a residue of the higher modulus");
    }
    if (low.limbs() > high.limbs() ||
        (low.limbs() == high.limbs() && !high.contains(low.canonical()))) {
        throw std::invalid_argument("the first modulus must be below the second");
    }
    Output out(a.shape(0), limbs);
    {
        nb::gil_scoped_release released;
        check_residues(low, a, "a");
        check_residues(high, b, "b");
        crt_join(low, high, inverse.data(), a.data(), b.data(), out.data.get(), limbs, out.rows,
                 threads);
    }
    return out.array();
}

}  // namespace

void bind_paillier(nb::module_& module) {
    nb::class_<Modulus>(module, "Modulus",
                        "An odd modulus m, or the square of an odd n, ready for arithmetic.")
        .def("__init__",
             [](Modulus* place, const Vector& value, bool square) {
                 new (place) Modulus(value.data(), value.shape(0), square);
             },
             nb::arg("value"), nb::arg("square") = false,
             "value: m as uint64 limbs (l,), little-endian; with square=True the modulus is its "
             "square and products cost five eighths.")
        .def_prop_ro("limbs", &Modulus::limbs, "Limbs of a residue.");

    module.def("modmul", modmul_, nb::arg("a"), nb::arg("b"), nb::arg("modulus"),
               nb::arg("threads") = 1,
               "a[i] b[i] mod m: uint64 (batch, limbs) from two of the same.");
    module.def("modexp", modexp_, nb::arg("bases"), nb::arg("exponents"), nb::arg("modulus"),
               nb::arg("threads") = 1,
               "bases[i]^exponents[i] mod m. exponents: uint64 (batch, e), or (1, e) for all rows. "
               "Operations and addresses depend on e, not on the exponents.");
    module.def("crt_join", crt_join_, nb::arg("a"), nb::arg("b"), nb::arg("low"), nb::arg("high"),
               nb::arg("inverse"), nb::arg("limbs"), nb::arg("threads") = 1,
               "The x below low high that are a[i] mod low and b[i] mod high: uint64 (batch, limbs). "
               "Coprime moduli, low < high; inverse = 1 / low mod high.");
    nb::class_<FixedBase>(module, "FixedBase", "Powers of one base, for many exponentiations.")
        .def("__init__", make_fixed_base, nb::arg("base"), nb::arg("modulus"),
             nb::arg("exponent_bits"), nb::arg("window") = 8, nb::arg("threads") = 1)
        .def("pow", fixed_base_pow, nb::arg("exponents"), nb::arg("times") = nb::none(),
             nb::arg("threads") = 1,
             "times[i] base^exponents[i] mod m; exponents uint64 (batch, e) below "
             "2^exponent_bits. One product a window, whatever the exponent.")
        .def_prop_ro("table_bytes", &FixedBase::table_bytes, "Memory of the table.");
    module.def("multiexp", multiexp_, nb::arg("bases"), nb::arg("exponents"), nb::arg("modulus"),
               nb::arg("threads") = 1,
               "(positive, negative), uint64 (columns, limbs) each, with positive[j] / negative[j] "
               "= prod_i bases[i]^exponents[i, j]; exponents int64 (batch, columns), below 2^62.");
}

}  // namespace vflnative::bind
