// The ladder and the powers, over any field type: one point at a time, or several in lanes.
//
// A field type `F` brings F::constant, and add, subtract, multiply, square, multiply_small and
// swap_if, found by argument-dependent look-up. Each instruction level has its own type in its own
// file, so that no code compiled for one level is linked into another.
#pragma once

#include <cstdint>

namespace vflnative::curve25519 {

// An element in five limbs of 51 bits, least significant first; what instruction levels exchange.
struct Field {
    std::uint64_t limb[5];

    static constexpr Field constant(std::uint64_t value) { return {{value, 0, 0, 0, 0}}; }
};

// u = x / z, or the point at infinity where z = 0.
template <typename F>
struct Fraction {
    F x, z;
};

// RFC 7748 section 5, up to the division. `scalar` is clamped: four words, little-endian.
template <typename F>
Fraction<F> ladder(const std::uint64_t* scalar, const F& u) {
    F x2 = F::constant(1), z2 = F::constant(0), x3 = u, z3 = F::constant(1);
    std::uint64_t swap = 0;
    for (unsigned t = 255; t-- > 0;) {
        const std::uint64_t bit = (scalar[t / 64] >> (t % 64)) & 1;
        swap_if(0 - (swap ^ bit), x2, x3);
        swap_if(0 - (swap ^ bit), z2, z3);
        swap = bit;
        const F a = add(x2, z2), b = subtract(x2, z2);
        const F aa = square(a), bb = square(b);
        const F e = subtract(aa, bb);
        const F da = multiply(subtract(x3, z3), a);
        const F cb = multiply(add(x3, z3), b);
        x3 = square(add(da, cb));
        z3 = multiply(u, square(subtract(da, cb)));
        x2 = multiply(aa, bb);
        z2 = multiply(e, add(aa, multiply_small(e, 121665)));
    }
    swap_if(0 - swap, x2, x3);
    swap_if(0 - swap, z2, z3);
    return {x2, z2};
}

template <typename F>
F square_times(F f, int times) {
    for (int i = 0; i < times; ++i) f = square(f);
    return f;
}

// f^(2^252 - 3), the power that inversion and the test for squares share.
template <typename F>
F power_252_3(const F& f) {
    const F f2 = square(f);
    const F f9 = multiply(square_times(f2, 2), f);
    const F f11 = multiply(f9, f2);
    const F e5 = multiply(square(f11), f9);  // e_k = f^(2^k - 1)
    const F e10 = multiply(square_times(e5, 5), e5);
    const F e20 = multiply(square_times(e10, 10), e10);
    const F e40 = multiply(square_times(e20, 20), e20);
    const F e50 = multiply(square_times(e40, 10), e10);
    const F e100 = multiply(square_times(e50, 50), e50);
    const F e200 = multiply(square_times(e100, 100), e100);
    const F e250 = multiply(square_times(e200, 50), e50);
    return multiply(square_times(e250, 2), f);
}

// f^(p - 2) with p - 2 = 8 (2^252 - 3) + 3.
template <typename F>
F invert(const F& f) {
    return multiply(square_times(power_252_3(f), 3), multiply(square(f), f));
}

// Euler's criterion for v = u^3 + 486662 u^2 + u: v^((p - 1) / 2) is 1 on the curve, -1 on the twist
// and 0 for u = 0. (p - 1) / 2 = 4 (2^252 - 3) + 2.
template <typename F>
F curve_symbol(const F& u) {
    const F v = multiply(u, add(multiply(u, add(u, F::constant(486662))), F::constant(1)));
    return multiply(square_times(power_252_3(v), 2), square(v));
}

#if defined(VFLNATIVE_AVX2)
// Four points at a time: u[0..3] -> out[0..3].
namespace avx2 {
void ladders(const std::uint64_t* scalar, const Field* u, Fraction<Field>* out);
void curve_symbols(const Field* u, Field* out);
}  // namespace avx2
#endif

}  // namespace vflnative::curve25519
