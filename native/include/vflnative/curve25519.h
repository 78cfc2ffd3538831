// The x-only group of Curve25519, many points at a time, for private set intersection.
//
// A point is its u-coordinate: 32 bytes, little-endian. RFC 7748 defines the scalar multiplication;
// this is that function for one scalar and many points, and the test whether a coordinate belongs to
// the curve or to its twist, which RFC 7748 leaves out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vflnative::curve25519 {

inline constexpr std::size_t point_bytes = 32;

// out[i] = X25519(scalar, points[i]). Clamps the scalar and ignores the top bit of a point, as RFC
// 7748 section 5 does. A point of low order gives 32 zero bytes. Branches and addresses do not
// depend on the scalar or the points; `count` points lie one after the other.
void x25519(std::span<const std::uint8_t, point_bytes> scalar, const std::uint8_t* points,
            std::uint8_t* out, std::size_t count, unsigned threads);

// out[i] = 1 where points[i] is below 2^255 - 19 and u^3 + 486662 u^2 + u is a square other than
// zero there: a point of the curve, in the one encoding it has. 0 for every other string.
void on_curve(const std::uint8_t* points, std::uint8_t* out, std::size_t count, unsigned threads);

}  // namespace vflnative::curve25519
