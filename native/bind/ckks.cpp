// Python face of the CKKS kernels.
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind.h"
#include "vflnative/blake2x.h"
#include "vflnative/ckks_embedding.h"
#include "vflnative/ckks_ring.h"
#include "vflnative/parallel.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace vflnative::bind {
namespace {

using Complex = std::complex<double>;
template <typename T, int axes>
using Array = nb::ndarray<const T, nb::ndim<axes>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Result = nb::ndarray<nb::numpy, T, nb::c_contig>;
using Shape = std::initializer_list<std::size_t>;

// A new array of this shape, filled by work(data) without the GIL.
template <typename T, typename Work>
Result<T> filled(Shape shape, const Work& work) {
    std::size_t items = 1;
    for (const std::size_t length : shape) {
        if (__builtin_mul_overflow(items, length, &items)) {
            throw std::invalid_argument("an array of more than 2^64 items");
        }
    }
    std::unique_ptr<T[]> data(new T[items]);
    {
        const nb::gil_scoped_release released;
        work(data.get());
    }
    T* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Result<T>(raw, shape.size(), shape.begin(), owner);
}

void check(const char* name, const auto& x, Shape shape) {
    if (!std::equal(shape.begin(), shape.end(), x.shape_ptr())) {
        throw std::invalid_argument(std::string(name) + " has another shape than it must have");
    }
}

template <typename Slot>
Result<std::int64_t> coefficients(const Embedding& embedding, const Array<Slot, 2>& slots,
                                  double scale, unsigned threads) {
    const std::size_t polys = slots.shape(0), length = slots.shape(1), n = embedding.size();
    if (length == 0 || length > n / 2) {
        throw std::invalid_argument("slots are from 1 to n/2 a polynomial");
    }
    return filled<std::int64_t>({polys, n}, [&](std::int64_t* out) {
        embedding.coefficients(slots.data(), length, scale, out, polys, threads);
    });
}

Result<Complex> slots(const Embedding& embedding, const Array<double, 2>& x, double factor,
                      unsigned threads) {
    const std::size_t polys = x.shape(0), n = embedding.size();
    check("coefficients", x, {polys, n});
    return filled<Complex>({polys, n / 2}, [&](Complex* out) {
        embedding.slots(x.data(), factor, out, polys, threads);
    });
}

std::size_t level_of(const CkksRing& ring, const Array<std::uint64_t, 3>& x, std::size_t lowest) {
    const std::size_t level = x.shape(1);
    check("x", x, {x.shape(0), level, ring.size()});
    if (level < lowest || level > ring.levels()) {
        throw std::invalid_argument("x must have from " + std::to_string(lowest) + " to " +
                                    std::to_string(ring.levels()) + " limbs, not " +
                                    std::to_string(level));
    }
    return level;
}

Result<std::uint64_t> encrypt(const CkksRing& ring, const Array<std::uint64_t, 3>& key,
                              const Array<std::int64_t, 2>& messages,
                              const Array<std::int64_t, 2>& u, const Array<std::int64_t, 3>& errors,
                              unsigned threads) {
    const std::size_t batch = messages.shape(0), n = ring.size(), limbs = key.shape(1);
    if (limbs < 2 || limbs > ring.levels() + 1) {
        throw std::invalid_argument("a key has a limb of 1 or more data primes and of the special");
    }
    check("key", key, {2, limbs, n});
    check("messages", messages, {batch, n});
    check("u", u, {batch, n});
    check("errors", errors, {batch, 2, n});
    return filled<std::uint64_t>({batch, 2, limbs - 1, n}, [&](std::uint64_t* out) {
        ring.encrypt(key.data(), limbs - 1, messages.data(), u.data(), errors.data(), out, batch,
                     threads);
    });
}

Result<std::uint64_t> divide_last(const CkksRing& ring, const Array<std::uint64_t, 3>& x,
                                  unsigned threads) {
    const std::size_t level = level_of(ring, x, 2), polys = x.shape(0);
    return filled<std::uint64_t>({polys, level - 1, ring.size()}, [&](std::uint64_t* out) {
        ring.divide_last(x.data(), level, out, polys, threads);
    });
}

Result<double> compose(const CkksRing& ring, const Array<std::uint64_t, 3>& x, unsigned threads) {
    const std::size_t level = level_of(ring, x, 1), polys = x.shape(0);
    return filled<double>({polys, ring.size()}, [&](double* out) {
        ring.compose(x.data(), level, out, polys, threads);
    });
}

Result<std::uint8_t> blake2xb_(const nb::bytes& key, std::uint64_t word, std::size_t nbytes) {
    if (key.size() != 64) throw std::invalid_argument("a key has 64 bytes");
    if (nbytes > 1 << 20) throw std::invalid_argument("more than 2^20 bytes at once");
    return filled<std::uint8_t>({nbytes}, [&](std::uint8_t* out) {
        blake2xb(SealSeed(static_cast<const std::uint8_t*>(key.data()), 64), word, {out, nbytes});
    });
}

Result<std::uint64_t> seal_uniform_(const Array<std::uint8_t, 2>& seeds,
                                    const std::vector<std::uint64_t>& primes, std::size_t n,
                                    unsigned threads) {
    const std::size_t count = seeds.shape(0);
    check("seeds", seeds, {count, 64});
    if (n > 32768 || primes.size() > 64 ||
        std::any_of(primes.begin(), primes.end(), [](std::uint64_t q) { return q < 2; })) {
        throw std::invalid_argument("n is at most 32768, primes are at most 64 and above 1");
    }
    return filled<std::uint64_t>({count, primes.size(), n}, [&](std::uint64_t* out) {
        parallel_ranges(count, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                seal_uniform(SealSeed(seeds.data() + 64 * i, 64), primes,
                             out + i * primes.size() * n, n);
            }
        });
    });
}

}  // namespace

void bind_ckks(nb::module_& module) {
    nb::class_<Embedding>(module, "Embedding",
                          "Real polynomials of degree below n and their n/2 complex slots, slot j "
                          "the value at exp(i pi 3^j / n).")
        .def(nb::init<std::size_t>(), "n"_a)
        .def("coefficients", coefficients<double>, "slots"_a.noconvert(), "scale"_a,
             "threads"_a = 1)
        .def("coefficients", coefficients<Complex>, "slots"_a.noconvert(), "scale"_a,
             "threads"_a = 1,
             "(m, up to n/2) slots, repeated to fill them, to int64 (m, n), times scale and rounded; "
             "OverflowError from 2^62.")
        .def("slots", slots, "coefficients"_a.noconvert(), "factor"_a, "threads"_a = 1,
             "float64 (m, n), times factor, to (m, n/2) complex.");

    nb::class_<CkksRing>(module, "CkksRing",
                         "A chain of data primes and a special prime P; x are uint64 (m, level, n) "
                         "over the first primes, in NTT form.")
        .def("__init__",
             [](CkksRing* place, std::size_t n, const std::vector<std::uint64_t>& primes,
                std::uint64_t special) { new (place) CkksRing(n, primes, special); },
             "n"_a, "primes"_a, "special"_a)
        .def("encrypt", encrypt, "key"_a.noconvert(), "messages"_a.noconvert(), "u"_a.noconvert(),
             "errors"_a.noconvert(), "threads"_a = 1,
             "round((u key + errors) / P) + (messages, 0): (m, 2, level, n) from key (2, level + 1, "
             "n), its data limbs times 1/P, and int64 (m, n), (m, n), (m, 2, n).")
        .def("divide_last", divide_last, "x"_a.noconvert(), "threads"_a = 1,
             "x over its last prime, rounded: one limb less.")
        .def("compose", compose, "x"_a.noconvert(), "threads"_a = 1,
             "Coefficients (m, level, n) as float64 (m, n), the numbers nearest to zero.");

    module.def("blake2xb", blake2xb_, "key"_a, "word"_a, "nbytes"_a,
               "BLAKE2Xb of a little-endian 64-bit word under a key of 64 bytes.");
    module.def("seal_uniform", seal_uniform_, "seeds"_a.noconvert(), "primes"_a, "n"_a,
               "threads"_a = 1,
               "What SEAL expands from seeds uint8 (m, 64): residues (m, primes, n).");
}

}  // namespace vflnative::bind
