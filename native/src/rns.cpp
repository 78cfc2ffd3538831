#include "vflnative/rns.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "rns_scale.h"
#include "vflnative/bitstream.h"
#include "vflnative/parallel.h"

namespace vflnative {
namespace {

using u64 = std::uint64_t;

constexpr std::size_t block = 256;  // coefficients between rounding and the bit stream

// a * factor + addend, the low 256 bits.
Number multiply_add(const Number& a, u64 factor, const Number& addend) {
    Number sum;
    u64 carry = 0;
    for (std::size_t i = 0; i < sum.size(); ++i) {
        const Word128 t = static_cast<Word128>(a[i]) * factor + addend[i] + carry;
        sum[i] = static_cast<u64>(t);
        carry = static_cast<u64>(t >> 64);
    }
    return sum;
}

// Takes b from a where a >= b; 1 if it did, else 0.
unsigned subtract_if_not_below(Number& a, const Number& b) {
    Number difference;
    u64 borrow = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const Word128 t = static_cast<Word128>(a[i]) - b[i] - borrow;
        difference[i] = static_cast<u64>(t);
        borrow = static_cast<u64>(t >> 64) & 1;
    }
    if (borrow == 0) a = difference;
    return borrow == 0;
}

void check_bits(unsigned bits, unsigned most) {
    if (bits < 1 || bits > most) {
        throw std::invalid_argument("bits must be 1 to " + std::to_string(most) + ", not " +
                                    std::to_string(bits));
    }
}

std::size_t stream_bytes(std::size_t m, unsigned bits) {
    if (m > std::size_t{1} << 40) {
        throw std::invalid_argument("a polynomial has at most 2^40 coefficients, not " +
                                    std::to_string(m));
    }
    return (m * bits + 7) / 8;
}

void check_padding(const BitReader& reader) {
    if (!reader.only_zeros_left()) {
        throw std::invalid_argument("the bits after the last packed number are not zero");
    }
}

// Calls work<k>() with the number of limbs as a constant.
template <class Work>
void with_limbs(std::size_t limbs, const Work& work) {
    switch (limbs) {
        case 1: return work.template operator()<1>();
        case 2: return work.template operator()<2>();
        case 3: return work.template operator()<3>();
        default: return work.template operator()<4>();
    }
}

// Calls work<k, Word>() with the shortest words that hold `bits`.
template <class Work>
void with_limbs_and_bits(std::size_t limbs, unsigned bits, const Work& work) {
    with_limbs(limbs, [&]<std::size_t k>() {
        if (bits <= 64) return work.template operator()<k, u64>();
        if (bits <= 110) return work.template operator()<k, Word128>();
        return work.template operator()<k, Word192>();
    });
}

// Calls work(j, begin, end) for polynomial j's coefficients [begin, end): in stretches, so that one
// long polynomial occupies all threads. In a bit stream a stretch starts on a byte.
template <class Work>
void for_each_stretch(Polynomials shape, unsigned threads, const Work& work) {
    constexpr std::size_t length = 4096;
    const std::size_t stretches = std::max<std::size_t>(1, (shape.m + length - 1) / length);
    parallel_ranges(shape.count * stretches, threads,
                    [&](std::size_t piece, std::size_t last) {
        for (; piece < last; ++piece) {
            const std::size_t begin = piece % stretches * length;
            work(piece / stretches, begin, std::min(begin + length, shape.m));
        }
    });
}

template <class Work>
void for_each(std::size_t count, unsigned threads, const Work& work) {
    parallel_ranges(count, threads, [&](std::size_t j, std::size_t end) {
        for (; j < end; ++j) work(j);
    });
}

}  // namespace

Number scale_down_exactly(const RnsBasis& basis, const u64* x, std::size_t stride, unsigned bits) {
    Number remainder{};
    for (std::size_t i = 0; i < basis.primes.size(); ++i) {
        Number cofactor{1};  // Q / q_i
        for (std::size_t j = 0; j < basis.primes.size(); ++j) {
            if (j != i) cofactor = multiply_add(cofactor, basis.primes[j].value, {});
        }
        const Prime& p = basis.primes[i];
        const u64 digit = p.multiply(p.reduce(x[i * stride]), basis.idempotents[i]);
        remainder = multiply_add(cofactor, digit, remainder);
        subtract_if_not_below(remainder, basis.product);
    }
    const auto next_bit = [&] {
        remainder = multiply_add(remainder, 2, {});
        return subtract_if_not_below(remainder, basis.product);
    };
    Number quotient{};
    for (unsigned bit = 0; bit < bits; ++bit) quotient = multiply_add(quotient, 2, {next_bit()});
    return multiply_add(quotient, 1, {next_bit()});
}

Rns::Rns(std::span<const u64> primes) {
    if (primes.empty() || primes.size() > max_limbs) {
        throw std::invalid_argument("a basis has 1 to 4 primes, not " +
                                    std::to_string(primes.size()));
    }
    for (const u64 q : primes) {
        if (std::count(primes.begin(), primes.end(), q) != 1) {
            throw std::invalid_argument("prime " + std::to_string(q) + " is given twice");
        }
        const Prime& p = primes_.emplace_back(q);
        u64 cofactor = 1;
        for (const u64 other : primes) {
            if (other != q) cofactor = p.multiply(cofactor, p.reduce(other));
        }
        idempotents_.push_back(p.inverse(cofactor));
        product_ = multiply_add(product_, q, {});
    }
    if (product_[3] >> 8 != 0) {
        throw std::invalid_argument("the product of the primes must be below 2^200");
    }
}

RnsBasis Rns::basis() const { return {primes_, idempotents_, product_}; }

std::size_t Rns::packed_bytes(std::size_t m) const {
    unsigned bits = 0;
    for (const Prime& p : primes_) bits += p.bits;
    return stream_bytes(m, bits);
}

std::size_t Rns::compressed_bytes(std::size_t m, unsigned bits) {
    check_bits(bits, max_bits);
    return stream_bytes(m, bits);
}

void Rns::scale_up(const u64* values, u64* out, Polynomials shape, unsigned bits,
                   unsigned threads) const {
    check_bits(bits, 64);
    with_limbs(limbs(), [&]<std::size_t k>() {
        const ScaleUp<k, u64> scale(basis(), bits);
        for_each_stretch(shape, threads, [&](std::size_t j, std::size_t begin, std::size_t end) {
            scale(values + j * shape.m + begin, out + j * k * shape.m + begin, shape.m,
                  end - begin);
        });
    });
}

void Rns::scale_down(const u64* x, u64* out, Polynomials shape, unsigned bits,
                     unsigned threads) const {
    check_bits(bits, 64);
    with_limbs(limbs(), [&]<std::size_t k>() {
        const ScaleDown<k, u64> scale(basis(), bits);
        for_each_stretch(shape, threads, [&](std::size_t j, std::size_t begin, std::size_t end) {
            scale(x + j * k * shape.m + begin, shape.m, out + j * shape.m + begin, end - begin);
        });
    });
}

void Rns::compress(const u64* x, std::uint8_t* out, Polynomials shape, unsigned bits,
                   unsigned threads) const {
    const std::size_t bytes = compressed_bytes(shape.m, bits);
    with_limbs_and_bits(limbs(), bits, [&]<std::size_t k, class Word>() {
        const ScaleDown<k, Word> scale(basis(), bits);
        for_each_stretch(shape, threads, [&](std::size_t j, std::size_t begin, std::size_t end) {
            BitWriter writer(out + j * bytes + begin * bits / 8, stream_bytes(end - begin, bits));
            Word numbers[block];
            for (std::size_t at = begin; at < end; at += block) {
                const std::size_t some = std::min(block, end - at);
                scale(x + j * k * shape.m + at, shape.m, numbers, some);
                writer.put(numbers, some, bits);
            }
        });
    });
}

void Rns::decompress(const std::uint8_t* packed, u64* out, Polynomials shape, unsigned bits,
                     unsigned threads) const {
    const std::size_t bytes = compressed_bytes(shape.m, bits);
    with_limbs_and_bits(limbs(), bits, [&]<std::size_t k, class Word>() {
        const ScaleUp<k, Word> scale(basis(), bits);
        for_each_stretch(shape, threads, [&](std::size_t j, std::size_t begin, std::size_t end) {
            BitReader reader(packed + j * bytes + begin * bits / 8,
                             stream_bytes(end - begin, bits));
            Word numbers[block];
            for (std::size_t at = begin; at < end; at += block) {
                const std::size_t some = std::min(block, end - at);
                reader.get(numbers, some, bits);
                scale(numbers, out + j * k * shape.m + at, shape.m, some);
            }
            check_padding(reader);
        });
    });
}

void Rns::pack(const u64* x, std::uint8_t* out, Polynomials shape, unsigned threads) const {
    const std::size_t bytes = packed_bytes(shape.m);
    for_each(shape.count, threads, [&](std::size_t j) {
        BitWriter writer(out + j * bytes, bytes);
        for (std::size_t i = 0; i < limbs(); ++i) {
            writer.put(x + (j * limbs() + i) * shape.m, shape.m, primes_[i].bits);
        }
    });
}

void Rns::unpack(const std::uint8_t* packed, u64* out, Polynomials shape, unsigned threads) const {
    const std::size_t bytes = packed_bytes(shape.m);
    for_each(shape.count, threads, [&](std::size_t j) {
        BitReader reader(packed + j * bytes, bytes);
        for (std::size_t i = 0; i < limbs(); ++i) {
            u64* const limb = out + (j * limbs() + i) * shape.m;
            reader.get(limb, shape.m, primes_[i].bits);
            const u64 q = primes_[i].value;
            u64 bad = 0;
            for (std::size_t c = 0; c < shape.m; ++c) bad |= limb[c] >= q;
            if (bad == 0) continue;
            const auto above = [&](u64 word) { return word >= q; };
            throw std::invalid_argument(
                "polynomial " + std::to_string(j) + ", limb " + std::to_string(i) + ", word " +
                std::to_string(std::find_if(limb, limb + shape.m, above) - limb) +
                " is not below its prime " + std::to_string(q));
        }
        check_padding(reader);
    });
}

void Rns::gather_add(const u64* x, const std::int64_t* places, std::size_t stride, const u64* plus,
                     u64* out, std::size_t m, unsigned threads) const {
    for_each_stretch({limbs(), m}, threads, [&](std::size_t i, std::size_t begin, std::size_t end) {
        const u64 q = primes_[i].value;
        const u64 *from = x + i * stride, *term = plus + i * m;
        u64* to = out + i * m;
        for (std::size_t j = begin; j < end; ++j) {
            const u64 sum = from[places[j]] + term[j];
            to[j] = sum - (q & (u64{0} - u64{sum >= q}));
        }
    });
}

}  // namespace vflnative
