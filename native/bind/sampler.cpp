// Python face of the key stream and the samplers.
#include "vflnative/sampler.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "bind.h"

namespace nb = nanobind;

namespace vflnative::bind {
namespace {

template <typename T>
using Result = nb::ndarray<nb::numpy, T>;

Seed seed_of(const nb::bytes& seed) {
    if (seed.size() != 32) throw std::invalid_argument("a seed has 32 bytes");
    return Seed(static_cast<const std::uint8_t*>(seed.data()), 32);
}

// A new array of this shape, filled by work(data) without the GIL.
template <typename T, typename Work>
Result<T> filled(std::initializer_list<std::size_t> shape, const Work& work) {
    constexpr std::size_t limit = std::size_t{1} << 36;
    std::size_t items = 1;
    for (const std::size_t length : shape) {
        if (length > limit || __builtin_mul_overflow(items, length, &items)) {
            items = ~std::size_t{0};
        }
    }
    if (items > limit) throw std::invalid_argument("more than 2^36 items at once");
    std::unique_ptr<T[]> data(new T[items]);
    {
        const nb::gil_scoped_release released;
        work(data.get());
    }
    T* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Result<T>(raw, shape.size(), shape.begin(), owner);
}

auto chacha20(const nb::bytes& seed, std::uint32_t stream, std::uint64_t index,
              std::size_t nbytes) {
    const Seed key = seed_of(seed);
    return filled<std::uint8_t>({nbytes}, [&](std::uint8_t* out) {
        KeyStream bytes(key, stream, index);
        for (std::size_t at = 0; at < nbytes; at += KeyStream::chunk_bytes) {
            const auto chunk = bytes.next();
            std::memcpy(out + at, chunk.data(), std::min(chunk.size(), nbytes - at));
        }
    });
}

auto sample_uniform_(const nb::bytes& seed, std::uint32_t stream,
                     const std::vector<std::uint64_t>& primes, std::size_t n, std::size_t count,
                     unsigned threads) {
    const Seed key = seed_of(seed);
    if (std::any_of(primes.begin(), primes.end(), [](std::uint64_t q) { return q < 2; })) {
        throw std::invalid_argument("primes must be above 1");
    }
    return filled<std::uint64_t>({count, primes.size(), n}, [&](std::uint64_t* out) {
        sample_uniform(key, stream, primes, out, n, count, threads);
    });
}

template <auto sample>
auto sample_small(const nb::bytes& seed, std::uint32_t stream, std::size_t n, std::size_t count,
                  unsigned threads) {
    const Seed key = seed_of(seed);
    return filled<std::int64_t>({count, n}, [&](std::int64_t* out) {
        sample(key, stream, out, n, count, threads);
    });
}

}  // namespace

void bind_sampler(nb::module_& module) {
    module.def("chacha20", chacha20, nb::arg("seed"), nb::arg("stream"), nb::arg("index"),
               nb::arg("nbytes"),
               "The key stream of ChaCha20 (RFC 8439) from block 0: uint8 (nbytes,). seed: 32 bytes; "
               "nonce: stream (32 bits), index (64 bits), little-endian.");
    module.def("sample_uniform", sample_uniform_, nb::arg("seed"), nb::arg("stream"),
               nb::arg("primes"), nb::arg("n"), nb::arg("count"), nb::arg("threads") = 1,
               "Uniform residues, uint64 (count, k, n), limb i of polynomial j from index j k + i.");
    module.def("sample_ternary", sample_small<sample_ternary>, nb::arg("seed"), nb::arg("stream"),
               nb::arg("n"), nb::arg("count"), nb::arg("threads") = 1,
               "Uniform -1, 0 and 1, int64 (count, n), polynomial j from index j.");
    module.def("sample_binomial", sample_small<sample_binomial>, nb::arg("seed"),
               nb::arg("stream"), nb::arg("n"), nb::arg("count"), nb::arg("threads") = 1,
               "Centred binomial of 21 + 21 coins (variance 10.5), int64 (count, n), polynomial j from "
               "index j.");
}

}  // namespace vflnative::bind
