#include "vflnative/modulus.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace vflnative {
namespace {

using Wide = unsigned __int128;

// Miller-Rabin to the first twelve primes: exact below 2^64 (Sorenson and Webster, 2015).
bool is_prime(const Prime& p) {
    const unsigned twos = static_cast<unsigned>(std::countr_zero(p.value - 1));
    for (const std::uint64_t base : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37}) {
        std::uint64_t x = p.power(base, p.value >> twos);
        bool witness = x != 1 && x != p.value - 1;
        for (unsigned i = 1; witness && i < twos; ++i) {
            x = p.multiply(x, x);
            witness = x != p.value - 1;
        }
        if (witness) return false;
    }
    return true;
}

}  // namespace

Prime::Prime(std::uint64_t p)
    : value(p), bits(static_cast<unsigned>(std::bit_width(p))), barrett(0), word_ratio(0), word(0) {
    if (p > std::uint64_t{1} << 17 && p < std::uint64_t{1} << 61 && p % 2 == 1) {
        barrett = static_cast<std::uint64_t>((Wide{1} << (2 * bits)) / p);
        word_ratio = static_cast<std::uint64_t>((Wide{1} << 64) / p);
        word = static_cast<std::uint64_t>((Wide{1} << 64) % p);
        if (is_prime(*this)) return;
    }
    throw std::invalid_argument(std::to_string(p) + " is not a prime between 2^17 and 2^61");
}

std::uint64_t Prime::power(std::uint64_t base, std::uint64_t exponent) const {
    std::uint64_t result = 1;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1) result = multiply(result, base);
        base = multiply(base, base);
    }
    return result;
}

std::uint64_t Prime::minimal_root(std::uint64_t order) const {
    std::uint64_t root = 0;
    for (std::uint64_t x = 2; root == 0 || power(root, order / 2) != value - 1; ++x) {
        root = power(x, (value - 1) / order);
    }
    const std::uint64_t square = multiply(root, root);
    std::uint64_t smallest = root;
    for (std::uint64_t i = 1; i < order / 2; ++i) {
        root = multiply(root, square);
        smallest = std::min(smallest, root);
    }
    return smallest;
}

}  // namespace vflnative
