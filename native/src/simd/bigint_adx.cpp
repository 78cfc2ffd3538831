// Big integers with mulx and the two carry chains of ADX. Compiled only for x86-64.
#include "bigint_algorithms.h"

namespace vflnative {
namespace {

// One limb: product into (lo, next), plus the high word before it (carry flag), plus t (overflow
// flag).
#define VFL_LIMB(offset, previous, next)          \
    "mulx " #offset "(%[a]), %[lo], %[" #next "]\n\t" \
    "adcx %[" #previous "], %[lo]\n\t"            \
    "adox " #offset "(%[t]), %[lo]\n\t"           \
    "mov %[lo], " #offset "(%[t])\n\t"

struct AdxRow {
    // The loops count with lea and jrcxz, which leave both flags alone; the carries that are still
    // in the flags at the end belong to the last high word.
    static Limb addmul(Limb* t, const Limb* a, Limb b, std::size_t length) {
        Limb high = 0;
        Limb other, lo;
        std::size_t count = length % 8;
        const std::size_t blocks = length / 8;
        asm volatile(
            "xor %k[lo], %k[lo]\n\t"  // clears both flags
            "jmp 2f\n"
            "1:\n\t"
            VFL_LIMB(0, high, other)
            "mov %[other], %[high]\n\t"
            "lea 8(%[a]), %[a]\n\t"
            "lea 8(%[t]), %[t]\n\t"
            "lea -1(%[count]), %[count]\n"
            "2:\n\t"
            "jrcxz 3f\n\t"
            "jmp 1b\n"
            "3:\n\t"
            "mov %[blocks], %[count]\n\t"
            "jmp 5f\n"
            "4:\n\t"
            VFL_LIMB(0, high, other)
            VFL_LIMB(8, other, high)
            VFL_LIMB(16, high, other)
            VFL_LIMB(24, other, high)
            VFL_LIMB(32, high, other)
            VFL_LIMB(40, other, high)
            VFL_LIMB(48, high, other)
            VFL_LIMB(56, other, high)
            "lea 64(%[a]), %[a]\n\t"
            "lea 64(%[t]), %[t]\n\t"
            "lea -1(%[count]), %[count]\n"
            "5:\n\t"
            "jrcxz 6f\n\t"  // reaches 127 bytes
            "jmp 4b\n"
            "6:\n\t"
            "mov $0, %k[lo]\n\t"  // keeps the flags
            "adcx %[lo], %[high]\n\t"
            "adox %[lo], %[high]\n\t"
            : [a] "+r"(a), [t] "+r"(t), [count] "+c"(count), [high] "+r"(high),
              [other] "=&r"(other), [lo] "=&r"(lo)
            : [blocks] "r"(blocks), "d"(b)
            : "cc", "memory");
        return high;
    }
};

#undef VFL_LIMB

}  // namespace

constinit const BigintLevel bigint_adx = row_kernels<AdxRow>();

}  // namespace vflnative
