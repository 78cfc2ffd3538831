// Arithmetic modulo p = 2^255 - 19 in five limbs of 51 bits (Bernstein, Curve25519, PKC 2006), and
// the batches over it.
//
// Bounds: multiplication takes limbs below 2^54 and returns limbs below 2^52. One addition or one
// subtraction of results stays below 2^53, and nothing here chains two.
#include "vflnative/curve25519.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <thread>
#include <vector>

#include "curve25519_formulas.h"
#include "vflnative/cpu.h"

namespace vflnative::curve25519 {

using u64 = std::uint64_t;
using u128 = unsigned __int128;

static_assert(std::endian::native == std::endian::little, "points are read as little-endian words");

static constexpr u64 limb_mask = (u64{1} << 51) - 1;
static constexpr std::size_t block = 128;  // points that share one inversion; a multiple of lanes

// These are static, not in an unnamed namespace, so that the formulas find them by their argument.

static inline u128 wide(u64 a, u64 b) { return static_cast<u128>(a) * b; }

static inline Field load(const std::uint8_t* bytes) {
    std::array<u64, 4> w;
    std::memcpy(w.data(), bytes, point_bytes);
    return {{w[0] & limb_mask,
             ((w[0] >> 51) | (w[1] << 13)) & limb_mask,
             ((w[1] >> 38) | (w[2] << 26)) & limb_mask,
             ((w[2] >> 25) | (w[3] << 39)) & limb_mask,
             (w[3] >> 12) & limb_mask}};
}

static inline Field add(const Field& f, const Field& g) {
    Field h;
    for (std::size_t i = 0; i < 5; ++i) h.limb[i] = f.limb[i] + g.limb[i];
    return h;
}

// f - g + 2p, so that no limb goes below zero for g below 2^52 - 38.
static inline Field subtract(const Field& f, const Field& g) {
    constexpr u64 low = 2 * ((u64{1} << 51) - 19);
    constexpr u64 high = 2 * limb_mask;
    return {{f.limb[0] + low - g.limb[0], f.limb[1] + high - g.limb[1],
             f.limb[2] + high - g.limb[2], f.limb[3] + high - g.limb[3],
             f.limb[4] + high - g.limb[4]}};
}

static inline Field carry(u128 r0, u128 r1, u128 r2, u128 r3, u128 r4) {
    Field h;
    r1 += static_cast<u64>(r0 >> 51);
    r2 += static_cast<u64>(r1 >> 51);
    r3 += static_cast<u64>(r2 >> 51);
    r4 += static_cast<u64>(r3 >> 51);
    h.limb[0] = (static_cast<u64>(r0) & limb_mask) + static_cast<u64>(r4 >> 51) * 19;
    h.limb[1] = (static_cast<u64>(r1) & limb_mask) + (h.limb[0] >> 51);
    h.limb[0] &= limb_mask;
    h.limb[2] = static_cast<u64>(r2) & limb_mask;
    h.limb[3] = static_cast<u64>(r3) & limb_mask;
    h.limb[4] = static_cast<u64>(r4) & limb_mask;
    return h;
}

static inline Field multiply(const Field& f, const Field& g) {
    const auto [f0, f1, f2, f3, f4] = f.limb;
    const auto [g0, g1, g2, g3, g4] = g.limb;
    const u64 h1 = 19 * g1, h2 = 19 * g2, h3 = 19 * g3, h4 = 19 * g4;  // 2^255 = 19
    return carry(wide(f0, g0) + wide(f1, h4) + wide(f2, h3) + wide(f3, h2) + wide(f4, h1),
                 wide(f0, g1) + wide(f1, g0) + wide(f2, h4) + wide(f3, h3) + wide(f4, h2),
                 wide(f0, g2) + wide(f1, g1) + wide(f2, g0) + wide(f3, h4) + wide(f4, h3),
                 wide(f0, g3) + wide(f1, g2) + wide(f2, g1) + wide(f3, g0) + wide(f4, h4),
                 wide(f0, g4) + wide(f1, g3) + wide(f2, g2) + wide(f3, g1) + wide(f4, g0));
}

static inline Field square(const Field& f) {
    const auto [f0, f1, f2, f3, f4] = f.limb;
    const u64 d0 = 2 * f0, d1 = 2 * f1, h3 = 19 * f3, h4 = 19 * f4;
    return carry(wide(f0, f0) + 2 * (wide(f1, h4) + wide(f2, h3)),
                 wide(d0, f1) + 2 * wide(f2, h4) + wide(f3, h3),
                 wide(d0, f2) + wide(f1, f1) + 2 * wide(f3, h4),
                 wide(d0, f3) + wide(d1, f2) + wide(f4, h4),
                 wide(d0, f4) + wide(d1, f3) + wide(f2, f2));
}

static inline Field multiply_small(const Field& f, u64 g) {
    return carry(wide(f.limb[0], g), wide(f.limb[1], g), wide(f.limb[2], g), wide(f.limb[3], g),
                 wide(f.limb[4], g));
}

// The one representative below p, as bytes.
static void store(const Field& f, std::uint8_t* bytes) {
    Field h = carry(f.limb[0], f.limb[1], f.limb[2], f.limb[3], f.limb[4]);
    u64 quotient = (h.limb[0] + 19) >> 51;  // 1 exactly when h >= p
    for (std::size_t i = 1; i < 5; ++i) quotient = (h.limb[i] + quotient) >> 51;
    h.limb[0] += 19 * quotient;
    for (std::size_t i = 0; i < 4; ++i) {
        h.limb[i + 1] += h.limb[i] >> 51;
        h.limb[i] &= limb_mask;
    }
    h.limb[4] &= limb_mask;
    const std::array<u64, 4> w{h.limb[0] | (h.limb[1] << 51), (h.limb[1] >> 13) | (h.limb[2] << 38),
                               (h.limb[2] >> 26) | (h.limb[3] << 25),
                               (h.limb[3] >> 39) | (h.limb[4] << 12)};
    std::memcpy(bytes, w.data(), point_bytes);
}

// All ones where f is 0 modulo p, else 0; no branch.
static u64 zero_mask(const Field& f) {
    std::array<u64, 4> w;
    store(f, reinterpret_cast<std::uint8_t*>(w.data()));
    const u64 any = w[0] | w[1] | w[2] | w[3];
    return ((any | (0 - any)) >> 63) - 1;
}

static inline Field select(u64 mask, const Field& yes, const Field& no) {
    Field h;
    for (std::size_t i = 0; i < 5; ++i) {
        h.limb[i] = no.limb[i] ^ (mask & (yes.limb[i] ^ no.limb[i]));
    }
    return h;
}

static inline void swap_if(u64 mask, Field& f, Field& g) {
    for (std::size_t i = 0; i < 5; ++i) {
        const u64 t = mask & (f.limb[i] ^ g.limb[i]);
        f.limb[i] ^= t;
        g.limb[i] ^= t;
    }
}

namespace {

// One instruction level's way to work on `lanes` points at a time.
struct Kernels {
    std::size_t lanes;
    void (*ladders)(const u64* scalar, const Field* u, Fraction<Field>* out);
    void (*curve_symbols)(const Field* u, Field* out);
};

constexpr Kernels portable{
    1, [](const u64* scalar, const Field* u, Fraction<Field>* out) { *out = ladder(scalar, *u); },
    [](const Field* u, Field* out) { *out = curve_symbol(*u); }};

// The lanes follow the level in use: VFL_CPU_LEVEL=scalar keeps them off.
const Kernels& kernels() {
#if defined(VFLNATIVE_AVX2)
    static constexpr Kernels four{4, avx2::ladders, avx2::curve_symbols};
    if (active_level() != CpuLevel::scalar && __builtin_cpu_supports("avx2")) return four;
#endif
    return portable;
}

using Block = std::array<Field, block>;

// Up to `block` coordinates; what follows them is 0, so that lanes can be filled up.
Block load_block(const std::uint8_t* points, std::size_t count) {
    Block u{};
    for (std::size_t i = 0; i < count; ++i) u[i] = load(points + i * point_bytes);
    return u;
}

// One inversion for the block: invert the product, then peel the factors off from behind.
void x25519_block(const Kernels& use, const u64* scalar, const std::uint8_t* points,
                  std::uint8_t* out, std::size_t count) {
    constexpr Field zero = Field::constant(0), one = Field::constant(1);
    const Block u = load_block(points, count);
    std::array<Fraction<Field>, block> result;
    for (std::size_t i = 0; i < count; i += use.lanes) use.ladders(scalar, &u[i], &result[i]);
    std::array<Field, block + 1> product;  // product[i] = z_0 ... z_(i-1)
    product[0] = one;
    for (std::size_t i = 0; i < count; ++i) {
        const u64 infinity = zero_mask(result[i].z);  // a point of low order: u = 0 by RFC 7748
        result[i].x = select(infinity, zero, result[i].x);
        result[i].z = select(infinity, one, result[i].z);
        product[i + 1] = multiply(product[i], result[i].z);
    }
    Field inverse = invert(product[count]);
    for (std::size_t i = count; i-- > 0;) {
        store(multiply(result[i].x, multiply(inverse, product[i])), out + i * point_bytes);
        inverse = multiply(inverse, result[i].z);
    }
}

void on_curve_block(const Kernels& use, const std::uint8_t* points, std::uint8_t* out,
                    std::size_t count) {
    const Block u = load_block(points, count);
    Block symbol;
    for (std::size_t i = 0; i < count; i += use.lanes) use.curve_symbols(&u[i], &symbol[i]);
    for (std::size_t i = 0; i < count; ++i) {
        std::array<std::uint8_t, point_bytes> canonical;
        store(u[i], canonical.data());
        const bool same = std::memcmp(canonical.data(), points + i * point_bytes, point_bytes) == 0;
        const bool square = zero_mask(subtract(symbol[i], Field::constant(1))) != 0;
        out[i] = same && square ? 1 : 0;
    }
}

// Calls work(first, count) for each block, contiguous shares of the blocks on each thread.
template <typename Work>
void for_each_block(std::size_t count, unsigned threads, Work work) {
    const std::size_t blocks = (count + block - 1) / block;
    const std::size_t shares = std::clamp<std::size_t>(threads, 1, std::max<std::size_t>(blocks, 1));
    const auto share = [&](std::size_t s) {
        for (std::size_t b = blocks * s / shares; b < blocks * (s + 1) / shares; ++b) {
            work(b * block, std::min(block, count - b * block));
        }
    };
    std::vector<std::jthread> pool;
    for (std::size_t s = 1; s < shares; ++s) pool.emplace_back(share, s);
    share(0);
}

}  // namespace

void x25519(std::span<const std::uint8_t, point_bytes> scalar, const std::uint8_t* points,
            std::uint8_t* out, std::size_t count, unsigned threads) {
    u64 clamped[4];
    std::memcpy(clamped, scalar.data(), point_bytes);
    clamped[0] &= ~u64{7};  // a multiple of the cofactor 8
    clamped[3] = (clamped[3] & ~(u64{1} << 63)) | (u64{1} << 62);  // bit 255 clear, bit 254 set
    const Kernels& use = kernels();
    for_each_block(count, threads, [&](std::size_t first, std::size_t some) {
        x25519_block(use, clamped, points + first * point_bytes, out + first * point_bytes, some);
    });
    for (volatile u64& word : clamped) word = 0;
}

void on_curve(const std::uint8_t* points, std::uint8_t* out, std::size_t count, unsigned threads) {
    const Kernels& use = kernels();
    for_each_block(count, threads, [&](std::size_t first, std::size_t some) {
        on_curve_block(use, points + first * point_bytes, out + first, some);
    });
}

}  // namespace vflnative::curve25519
