// Big integers on AVX2 and FMA, four rows at once.
//
// Compiled with flags of its own (-mavx2, -mfma), so it calls no inline function that others share.
#include <immintrin.h>

#include "bigint_lane_multiexp.h"
#include "bigint_lane_rings.h"

namespace vflnative {
namespace {

struct FourRows {
    static constexpr std::size_t lanes = 4;
    typedef double Vec __attribute__((vector_size(32), may_alias));
    typedef std::uint64_t Bits __attribute__((vector_size(32), may_alias));

    // Rounds toward minus infinity while it lives.
    class Rounding {
    public:
        Rounding() : saved_(_mm_getcsr()) {
            _mm_setcsr((saved_ & ~unsigned{_MM_ROUND_MASK}) | _MM_ROUND_DOWN);
            asm volatile("" ::: "memory");
        }
        ~Rounding() {
            asm volatile("" ::: "memory");
            _mm_setcsr(saved_);
        }
        Rounding(const Rounding&) = delete;
        Rounding& operator=(const Rounding&) = delete;

    private:
        unsigned saved_;
    };

    static Vec all(double x) { return _mm256_set1_pd(x); }
    static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_pd(a, b, c); }
    static Vec load(const Limb* x) {
        return reinterpret_cast<Vec>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
    }
    static void store(Limb* x, Vec v) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(x), reinterpret_cast<__m256i>(v));
    }
    static void transpose(Vec* v) {
        const __m256d a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
        const __m256d c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
        v[0] = _mm256_permute2f128_pd(a, c, 0x20);
        v[1] = _mm256_permute2f128_pd(b, d, 0x20);
        v[2] = _mm256_permute2f128_pd(a, c, 0x31);
        v[3] = _mm256_permute2f128_pd(b, d, 0x31);
    }
};

template <class Ring>
constexpr BigintKernels lane_kernels() {
    return {Ring::lanes,
            lane_words<Ring>,
            lane_sum_words<Ring>,
            modmul_lanes<Ring>,
            modexp_lanes<Ring>,
            lane_window_bases<Ring>,
            lane_window_powers<Ring>,
            lane_fixed_pow<Ring>,
            lane_multiexp_start<Ring>,
            lane_multiexp_gather<Ring>,
            lane_multiexp_finish<Ring>};
}

}  // namespace

constinit const BigintLevel bigint_avx2 = {lane_kernels<PlainLanes<FourRows>>(),
                                           lane_kernels<SquareLanes<FourRows>>()};

}  // namespace vflnative
