// Primes of 21 to 61 bits and arithmetic on residues below them, without branches on residues.
#pragma once

#include <bit>
#include <cstdint>

namespace vflnative {

struct Prime {
    std::uint64_t value;
    unsigned bits;             // 2^(bits-1) < value < 2^bits
    std::uint64_t barrett;     // floor(2^(2 bits) / value)
    std::uint64_t word_ratio;  // floor(2^64 / value)
    std::uint64_t word;        // 2^64 mod value

    // Throws std::invalid_argument unless p is a prime between 2^17 and 2^61.
    explicit Prime(std::uint64_t p);

    static std::uint64_t high(std::uint64_t a, std::uint64_t b) {
        return static_cast<std::uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
    }
    // x - m if x >= m, else x.
    static std::uint64_t subtract_once(std::uint64_t x, std::uint64_t m) {
        return x - (m & (std::uint64_t{0} - static_cast<std::uint64_t>(x >= m)));
    }

    std::uint64_t add(std::uint64_t a, std::uint64_t b) const { return subtract_once(a + b, value); }
    std::uint64_t subtract(std::uint64_t a, std::uint64_t b) const {
        return subtract_once(a + (value - b), value);
    }

    // a b mod p, Barrett's reduction (Handbook of Applied Cryptography, 14.42).
    std::uint64_t multiply(std::uint64_t a, std::uint64_t b) const {
        const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
        const auto top = static_cast<std::uint64_t>(product >> (bits - 1));
        const auto quotient = static_cast<std::uint64_t>(
            static_cast<unsigned __int128>(top) * barrett >> (bits + 1));
        const std::uint64_t r = static_cast<std::uint64_t>(product) - quotient * value;
        return subtract_once(subtract_once(r, 2 * value), value);
    }

    // x mod p for any word and any double word.
    std::uint64_t reduce(std::uint64_t x) const {
        return subtract_once(x - high(x, word_ratio) * value, value);
    }
    std::uint64_t reduce_wide(unsigned __int128 x) const {
        return add(multiply(reduce(static_cast<std::uint64_t>(x >> 64)), word),
                   reduce(static_cast<std::uint64_t>(x)));
    }
    // x mod p of a signed word.
    std::uint64_t reduce_signed(std::int64_t x) const {
        const std::uint64_t borrowed = word & static_cast<std::uint64_t>(x >> 63);
        return subtract(reduce(static_cast<std::uint64_t>(x)), borrowed);
    }

    std::uint64_t power(std::uint64_t base, std::uint64_t exponent) const;
    std::uint64_t inverse(std::uint64_t a) const { return power(a, value - 2); }
    // The smallest element of that order, a power of two that divides p - 1.
    std::uint64_t minimal_root(std::uint64_t order) const;
};

}  // namespace vflnative
