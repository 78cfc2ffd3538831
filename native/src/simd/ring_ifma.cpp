// Polynomial limbs on AVX-512 IFMA.
//
// Only this file is compiled with those flags, so it calls no inline function that others share.
#include <immintrin.h>

#include "ring_integers52.h"

namespace vflnative {
namespace {

struct EightWords {
    static constexpr std::size_t lanes = 8;
    typedef std::uint64_t Vec __attribute__((vector_size(64)));
    typedef std::uint64_t Loose __attribute__((vector_size(64), aligned(8), may_alias));
    static Vec low(Vec sum, Vec a, Vec b) {
        return reinterpret_cast<Vec>(_mm512_madd52lo_epu64(wide(sum), wide(a), wide(b)));
    }
    static Vec high(Vec sum, Vec a, Vec b) {
        return reinterpret_cast<Vec>(_mm512_madd52hi_epu64(wide(sum), wide(a), wide(b)));
    }

private:
    static __m512i wide(Vec v) { return reinterpret_cast<__m512i>(v); }
};

}  // namespace

constinit const RingKernels ring_ifma =
    ring_table<Integers52<EightWords>>([](const Prime& p, const GemmBlock& block) {
        const Integers52<EightWords> a(p);
        gemm_block(a, block, a.chunk());
    });

}  // namespace vflnative
