// Polynomial limbs on AVX-512 F, DQ and VL.
//
// Only this file is compiled with those flags, so it calls no inline function that others share.
#include <immintrin.h>

#include "ring_doubles.h"

namespace vflnative {
namespace {

struct EightDoubles {
    static constexpr std::size_t lanes = 8;
    typedef double Vec __attribute__((vector_size(64)));
    typedef double Loose __attribute__((vector_size(64), aligned(8), may_alias));
    typedef std::int64_t Bits __attribute__((vector_size(64)));
    static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_pd(a, b, c); }
};

}  // namespace

constinit const RingKernels ring_avx512 =
    ring_table<Doubles<EightDoubles>>(gemm_doubles<EightDoubles>);

}  // namespace vflnative
