#include "vflnative/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "vflnative/parallel.h"

namespace vflnative {
namespace {

using u64 = std::uint64_t;

constexpr std::size_t chunk_words = KeyStream::chunk_bytes / sizeof(u64);

std::array<u64, chunk_words> next_words(KeyStream& stream) {
    std::array<u64, chunk_words> words;
    std::memcpy(words.data(), stream.next().data(), sizeof(words));
    return words;
}

// Fills out (n) with value(item) for the accepted items of each chunk, in order. Where a whole chunk
// fits, each item is stored and the place moves on if it is accepted: no branch on it.
template <class Next, class Accept, class Value, class Out>
void fill_accepted(Out* out, std::size_t n, const Next& next, const Accept& accept,
                   const Value& value) {
    std::size_t done = 0;
    while (done < n) {
        const auto& chunk = next();
        if (n - done >= chunk.size()) {
            for (const auto item : chunk) {
                out[done] = value(item);
                done += accept(item);
            }
        } else {
            for (const auto item : chunk) {
                if (done == n) break;
                out[done] = value(item);
                done += accept(item);
            }
        }
    }
}

// Ones among bits 0 to 20 minus ones among bits 21 to 41. No table, no instruction of unknown time:
// -b is the ones of the complement minus 21, so one sum of 42 bits does both.
u64 coins(u64 word) {
    constexpr u64 upper = ((u64{1} << 21) - 1) << 21, all = (u64{1} << 42) - 1;
    u64 x = (word ^ upper) & all;
    x -= (x >> 1) & 0x5555555555555555;
    x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return ((x * 0x0101010101010101) >> 56) - 21;
}

}  // namespace

void sample_uniform(Seed seed, std::uint32_t stream, std::span<const u64> primes, u64* out,
                    std::size_t n, std::size_t count, unsigned threads) {
    parallel_ranges(count * primes.size(), threads, [&](std::size_t j, std::size_t end) {
        for (; j < end; ++j) {
            const u64 q = primes[j % primes.size()];
            const u64 mask = ~u64{0} >> std::countl_zero(q);
            KeyStream key(seed, stream, j);
            fill_accepted(out + j * n, n, [&] { return next_words(key); },
                          [&](u64 word) { return (word & mask) < q; },
                          [&](u64 word) { return word & mask; });
        }
    });
}

void sample_ternary(Seed seed, std::uint32_t stream, std::int64_t* out, std::size_t n,
                    std::size_t count, unsigned threads) {
    parallel_ranges(count, threads, [&](std::size_t j, std::size_t end) {
        for (; j < end; ++j) {
            KeyStream key(seed, stream, j);
            fill_accepted(out + j * n, n, [&] { return key.next(); },
                          [](std::uint8_t byte) { return byte < 255; },
                          [](std::uint8_t byte) {  // 171 / 512 is near enough to a third
                              return std::int64_t{byte} - 3 * ((byte * 171) >> 9) - 1;
                          });
        }
    });
}

void sample_binomial(Seed seed, std::uint32_t stream, std::int64_t* out, std::size_t n,
                     std::size_t count, unsigned threads) {
    parallel_ranges(count, threads, [&](std::size_t j, std::size_t end) {
        for (; j < end; ++j) {
            KeyStream key(seed, stream, j);
            for (std::size_t at = 0; at < n; at += chunk_words) {
                std::array<u64, chunk_words> words = next_words(key);
                for (u64& word : words) word = coins(word);
                std::memcpy(out + j * n + at, words.data(),
                            std::min(chunk_words, n - at) * sizeof(u64));
            }
        }
    });
}

}  // namespace vflnative
