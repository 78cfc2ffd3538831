// Polynomial limbs on AVX2 and FMA.
//
// Only this file is compiled with -mavx2 and -mfma, so it calls no inline function that others share.
#include <immintrin.h>

#include "ring_doubles.h"

namespace vflnative {
namespace {

struct FourDoubles {
    static constexpr std::size_t lanes = 4;
    typedef double Vec __attribute__((vector_size(32)));
    typedef double Loose __attribute__((vector_size(32), aligned(8), may_alias));
    typedef std::int64_t Bits __attribute__((vector_size(32)));
    static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_pd(a, b, c); }
};

}  // namespace

constinit const RingKernels ring_avx2 = ring_table<Doubles<FourDoubles>>(gemm_doubles<FourDoubles>);

}  // namespace vflnative
