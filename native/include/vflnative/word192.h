// Unsigned integers modulo 2^192, as far as rounding needs them.
#pragma once

#include <cstdint>

namespace vflnative {

using Word128 = unsigned __int128;

struct Word192 {
    std::uint64_t low = 0, middle = 0, high = 0;

    constexpr Word192() = default;
    constexpr Word192(std::uint64_t value) : low(value) {}  // NOLINT: an integer like any other
    constexpr Word192(std::uint64_t a, std::uint64_t b, std::uint64_t c)
        : low(a), middle(b), high(c) {}

    explicit constexpr operator std::uint64_t() const { return low; }

    friend constexpr Word192 operator+(const Word192& a, const Word192& b) {
        const Word128 x = static_cast<Word128>(a.low) + b.low;
        const Word128 y = static_cast<Word128>(a.middle) + b.middle + (x >> 64);
        return {static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(y),
                a.high + b.high + static_cast<std::uint64_t>(y >> 64)};
    }
    constexpr Word192& operator+=(const Word192& b) { return *this = *this + b; }

    friend constexpr Word192 operator*(const Word192& a, const Word192& b) {
        const Word128 x = static_cast<Word128>(a.low) * b.low;
        const Word128 y = static_cast<Word128>(a.low) * b.middle;
        const Word128 z = static_cast<Word128>(a.middle) * b.low;
        const Word128 top = a.low * b.high + a.high * b.low + static_cast<Word128>(a.middle) * b.middle;
        return Word192(static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(x >> 64),
                       static_cast<std::uint64_t>(top)) +
               Word192(0, static_cast<std::uint64_t>(y), static_cast<std::uint64_t>(y >> 64)) +
               Word192(0, static_cast<std::uint64_t>(z), static_cast<std::uint64_t>(z >> 64));
    }

    friend constexpr Word192 operator&(const Word192& a, const Word192& b) {
        return {a.low & b.low, a.middle & b.middle, a.high & b.high};
    }
    friend constexpr Word192 operator|(const Word192& a, const Word192& b) {
        return {a.low | b.low, a.middle | b.middle, a.high | b.high};
    }

    // By 1 to 63, both.
    friend constexpr Word192 operator<<(const Word192& a, unsigned by) {
        return {a.low << by, a.middle << by | a.low >> (64 - by),
                a.high << by | a.middle >> (64 - by)};
    }
    friend constexpr Word192 operator>>(const Word192& a, unsigned by) {
        return {a.low >> by | a.middle << (64 - by), a.middle >> by | a.high << (64 - by),
                a.high >> by};
    }
};

}  // namespace vflnative
