// Montgomery products on 64-bit limbs, over one row primitive that a level supplies.
//
// A `Row` provides addmul(t, a, b, length): t[0..length) += a[0..length) b, returning the carry.
// Everything here has internal linkage on purpose: each level compiles its own copy with its own
// flags, and the linker must not merge them. For the same reason no standard containers appear.
//
// Products have a fixed sequence of operations. Bounds: see vflnative/montgomery.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "vflnative/montgomery.h"

namespace vflnative {
namespace {

using Limb = std::uint64_t;
using Wide = unsigned __int128;

// Memory of one call, wiped at the end because it held powers of secrets.
class Scratch {
public:
    explicit Scratch(std::size_t words) : words_(words), memory_(new (std::align_val_t{64}) Limb[words]()) {}
    ~Scratch() {
        volatile Limb* wipe = memory_;
        for (std::size_t i = 0; i < words_; ++i) wipe[i] = 0;
        ::operator delete[](memory_, std::align_val_t{64});
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    Limb* at(std::size_t offset) { return memory_ + offset; }

private:
    std::size_t words_;
    Limb* memory_;
};

inline void copy(Limb* z, const Limb* x, std::size_t limbs) {
    std::memcpy(z, x, limbs * sizeof(Limb));
}

inline void clear(Limb* z, std::size_t limbs) { std::memset(z, 0, limbs * sizeof(Limb)); }

// `width` bits of a little-endian number from bit `from` on; zero past the end.
inline Limb bits_at(const Limb* x, std::size_t limbs, std::size_t from, unsigned width) {
    const std::size_t limb = from / 64;
    const unsigned shift = static_cast<unsigned>(from % 64);
    if (limb >= limbs) return 0;
    Limb value = x[limb] >> shift;
    if (shift + width > 64 && limb + 1 < limbs) value |= x[limb + 1] << (64 - shift);
    return value & ((Limb{1} << width) - 1);
}

// z = x + y; returns the carry.
inline Limb add(Limb* z, const Limb* x, const Limb* y, std::size_t limbs) {
    Limb carry = 0;
    for (std::size_t i = 0; i < limbs; ++i) {
        const Wide sum = static_cast<Wide>(x[i]) + y[i] + carry;
        z[i] = static_cast<Limb>(sum);
        carry = static_cast<Limb>(sum >> 64);
    }
    return carry;
}

// z = x - y; returns the borrow.
inline Limb subtract(Limb* z, const Limb* x, const Limb* y, std::size_t limbs) {
    Limb borrow = 0;
    for (std::size_t i = 0; i < limbs; ++i) {
        const Wide difference = static_cast<Wide>(x[i]) - y[i] - borrow;
        z[i] = static_cast<Limb>(difference);
        borrow = static_cast<Limb>(difference >> 64) & 1;
    }
    return borrow;
}

// x <- x - m when x >= m, without a branch. `spare` is overwritten.
inline void subtract_once(Limb* x, const Limb* m, Limb* spare, std::size_t limbs) {
    const Limb keep = Limb{0} - subtract(spare, x, m, limbs);
    for (std::size_t i = 0; i < limbs; ++i) x[i] = (x[i] & keep) | (spare[i] & ~keep);
}

// t (2 limbs) = x y.
template <class Row>
void product(Limb* t, const Limb* x, const Limb* y, std::size_t limbs) {
    clear(t, limbs);
    for (std::size_t i = 0; i < limbs; ++i) t[i + limbs] = Row::addmul(t + i, x, y[i], limbs);
}

// t (2 limbs) = x^2; `blocks` (2 limbs) is overwritten. Squares of blocks of eight limbs, which do
// not overlap, plus twice the products of each block and what lies above it. Rows of one block have
// one length, which keeps the row loop predictable.
template <class Row>
void square(Limb* t, Limb* blocks, const Limb* x, std::size_t limbs) {
    constexpr std::size_t block = 8;
    clear(t, limbs);
    for (std::size_t begin = 0; begin < limbs; begin += block) {
        const std::size_t end = begin + block < limbs ? begin + block : limbs;
        product<Row>(blocks + 2 * begin, x + begin, x + begin, end - begin);
        for (std::size_t i = begin; i < end; ++i) {
            t[i + limbs] = Row::addmul(t + i + end, x + end, x[i], limbs - end);
        }
    }
    Limb above = 0;
    Limb carry = 0;
    for (std::size_t i = 0; i < 2 * limbs; ++i) {
        const Wide sum = static_cast<Wide>((t[i] << 1) | above) + blocks[i] + carry;
        above = t[i] >> 63;
        t[i] = static_cast<Limb>(sum);
        carry = static_cast<Limb>(sum >> 64);
    }
}

// z = (t + quotient n) / R for t < R n (2 limbs, overwritten). The carry of row i belongs at
// t[i + limbs], which no later row reads: it waits in t[i], which has become zero.
template <class Row>
void reduce(Limb* z, Limb* t, Limb* quotient, const Limb* n, Limb negative_inverse,
            std::size_t limbs) {
    for (std::size_t i = 0; i < limbs; ++i) {
        quotient[i] = t[i] * negative_inverse;
        t[i] = Row::addmul(t + i, n, quotient[i], limbs);
    }
    add(z, t, t + limbs, limbs);
}

// Residues modulo m, each one Montgomery residue below 2 m.
template <class Row>
class PlainRing {
public:
    explicit PlainRing(const Modulus& modulus)
        : m_(modulus), half_(modulus.half()), scratch_(6 * half_),
          t_(scratch_.at(0)), q_(scratch_.at(2 * half_)), x_(scratch_.at(3 * half_)),
          blocks_(scratch_.at(4 * half_)) {}

    std::size_t words() const { return half_; }
    const Limb* one() const { return m_.one(); }

    void mul(Limb* z, const Limb* x, const Limb* y) {
        product<Row>(t_, x, y, half_);
        reduce<Row>(z, t_, q_, m_.n(), m_.negative_inverse(), half_);
    }

    void sqr(Limb* z, const Limb* x) {
        square<Row>(t_, blocks_, x, half_);
        reduce<Row>(z, t_, q_, m_.n(), m_.negative_inverse(), half_);
    }

    // z = x R from a canonical x.
    void load(Limb* z, const Limb* x) {
        split(z, x);
        mul(z, z, m_.lift());
    }

    // The canonical residue of z / R.
    void store(Limb* out, const Limb* z) {
        copy(t_, z, half_);
        clear(t_ + half_, half_);
        join(out);
    }

    // out = a b, canonical to canonical.
    void canonical_product(Limb* out, const Limb* a, const Limb* b) {
        load(x_, a);
        split(q_, b);
        product<Row>(t_, x_, q_, half_);
        join(out);
    }

private:
    void split(Limb* z, const Limb* x) {
        copy(z, x, m_.limbs());
        clear(z + m_.limbs(), half_ - m_.limbs());
    }

    // Reduces t_ and writes it below m.
    void join(Limb* out) {
        reduce<Row>(x_, t_, q_, m_.n(), m_.negative_inverse(), half_);
        subtract_once(x_, m_.n(), q_, half_);
        copy(out, x_, m_.limbs());
    }

    const Modulus& m_;
    std::size_t half_;
    Scratch scratch_;
    Limb *t_, *q_, *x_, *blocks_;
};

// Residues modulo n^2 as pairs (x0, x1) for x0 - x1 n, both below 2 n.
template <class Row>
class SquareRing {
public:
    explicit SquareRing(const Modulus& modulus)
        : m_(modulus), half_(modulus.half()), scratch_(10 * half_),
          t_(scratch_.at(0)), s_(scratch_.at(2 * half_)), q_(scratch_.at(4 * half_)),
          spare_(scratch_.at(5 * half_)), x_(scratch_.at(6 * half_)),
          y_(scratch_.at(8 * half_)) {}

    std::size_t words() const { return 2 * half_; }
    const Limb* one() const { return m_.one(); }

    void mul(Limb* z, const Limb* x, const Limb* y) {
        const Limb* x1 = x + half_;
        const Limb* y1 = y + half_;
        product<Row>(t_, x, y, half_);
        reduce<Row>(spare_, t_, s_, m_.n(), m_.negative_inverse(), half_);  // z0; s = quotient
        for (std::size_t i = 0; i < half_; ++i) {
            const Limb carry = Row::addmul(s_ + i, x, y1[i], half_);
            // No overflow: x and y are below R / 8.
            s_[i + half_] = carry + Row::addmul(s_ + i, x1, y[i], half_);
        }
        copy(z, spare_, half_);
        reduce<Row>(z + half_, s_, q_, m_.n(), m_.negative_inverse(), half_);
    }

    void sqr(Limb* z, const Limb* x) {
        const Limb* x1 = x + half_;
        square<Row>(t_, s_, x, half_);
        reduce<Row>(y_, t_, s_, m_.n(), m_.negative_inverse(), half_);
        add(spare_, x1, x1, half_);
        for (std::size_t i = 0; i < half_; ++i) {
            s_[i + half_] = Row::addmul(s_ + i, x, spare_[i], half_);
        }
        copy(z, y_, half_);
        reduce<Row>(z + half_, s_, q_, m_.n(), m_.negative_inverse(), half_);
    }

    void load(Limb* z, const Limb* x) {
        split(z, x);
        mul(z, z, m_.lift());
    }

    void store(Limb* out, const Limb* z) {
        clear(y_, 2 * half_);
        y_[0] = 1;
        mul(x_, z, y_);
        join(out);
    }

    void canonical_product(Limb* out, const Limb* a, const Limb* b) {
        split(x_, a);
        split(y_, b);
        mul(x_, x_, y_);           // a b / R^3
        mul(x_, x_, m_.rejoin());  // a b
        join(out);
    }

private:
    // z = x / R from a canonical x < n^2: x = z0 R - q n, so x / R = z0 - n (q / R).
    void split(Limb* z, const Limb* x) {
        copy(t_, x, m_.limbs());
        clear(t_ + m_.limbs(), 2 * half_ - m_.limbs());
        reduce<Row>(z, t_, s_, m_.n(), m_.negative_inverse(), half_);
        clear(s_ + half_, half_);
        reduce<Row>(z + half_, s_, q_, m_.n(), m_.negative_inverse(), half_);
    }

    // The canonical value of x_: x0 - x1 n with x1 brought below n, plus n^2 when negative.
    void join(Limb* out) {
        const std::size_t limbs = m_.limbs();
        const Limb* n = m_.n();
        subtract_once(x_ + half_, n, q_, half_);
        product<Row>(t_, x_ + half_, n, half_);
        copy(s_, x_, half_);
        clear(s_ + half_, half_);
        const Limb negative = Limb{0} - subtract(s_, s_, t_, 2 * half_);
        Limb carry = 0;
        for (std::size_t i = 0; i < limbs; ++i) {
            const Wide sum = static_cast<Wide>(s_[i]) + (m_.canonical()[i] & negative) + carry;
            s_[i] = static_cast<Limb>(sum);
            carry = static_cast<Limb>(sum >> 64);
        }
        copy(out, s_, limbs);
    }

    const Modulus& m_;
    std::size_t half_;
    Scratch scratch_;
    Limb *t_, *s_, *q_, *spare_, *x_, *y_;
};

}  // namespace
}  // namespace vflnative
