// Polynomial limbs in portable C++, and for primes above 50 bits at every level.
#include "ring_integers.h"
#include "ring_table.h"

namespace vflnative {

constinit const RingKernels ring_scalar =
    ring_table<ScalarIntegers>([](const Prime& p, const GemmBlock& block) {
        const ScalarIntegers a(p);
        gemm_block(a, block, a.chunk());
    });

}  // namespace vflnative
