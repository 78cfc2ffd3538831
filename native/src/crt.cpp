#include "vflnative/crt.h"

#include <algorithm>
#include <vector>

#include "vflnative/modexp.h"
#include "vflnative/parallel.h"

namespace vflnative {
namespace {

using Limb = std::uint64_t;
using Wide = unsigned __int128;

// z = b - a mod m for a, b < m; a may have fewer limbs.
void subtract_below(Limb* z, const Limb* b, const Limb* a, std::size_t a_limbs, const Limb* m,
                    std::size_t limbs) {
    Limb borrow = 0;
    for (std::size_t i = 0; i < limbs; ++i) {
        const Wide difference = static_cast<Wide>(b[i]) - (i < a_limbs ? a[i] : 0) - borrow;
        z[i] = static_cast<Limb>(difference);
        borrow = static_cast<Limb>(difference >> 64) & 1;
    }
    const Limb add = Limb{0} - borrow;
    Limb carry = 0;
    for (std::size_t i = 0; i < limbs; ++i) {
        const Wide sum = static_cast<Wide>(z[i]) + (m[i] & add) + carry;
        z[i] = static_cast<Limb>(sum);
        carry = static_cast<Limb>(sum >> 64);
    }
}

}  // namespace

void crt_join(const Modulus& low, const Modulus& high, const Limb* inverse, const Limb* a,
              const Limb* b, Limb* out, std::size_t limbs, std::size_t rows, unsigned threads) {
    const std::size_t width = high.limbs(), low_width = low.limbs();
    std::vector<Limb> digits(rows * width), factor(rows * width);
    for (std::size_t row = 0; row < rows; ++row) {
        subtract_below(digits.data() + row * width, b + row * width, a + row * low_width,
                       low_width, high.canonical(), width);
        std::copy_n(inverse, width, factor.data() + row * width);
    }
    modmul(high, digits.data(), factor.data(), digits.data(), rows, threads);
    parallel_ranges(rows, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t row = begin; row < end; ++row) {  // out = a + low digit
            const Limb* digit = digits.data() + row * width;
            Limb* z = out + row * limbs;
            std::fill_n(z, limbs, Limb{0});
            std::copy_n(a + row * low_width, std::min(low_width, limbs), z);
            for (std::size_t i = 0; i < std::min(low_width, limbs); ++i) {
                Limb carry = 0;
                const std::size_t end_of_row = std::min(width, limbs - i);
                for (std::size_t j = 0; j < end_of_row; ++j) {
                    const Wide sum =
                        static_cast<Wide>(low.canonical()[i]) * digit[j] + z[i + j] + carry;
                    z[i + j] = static_cast<Limb>(sum);
                    carry = static_cast<Limb>(sum >> 64);
                }
                if (i + width < limbs) z[i + width] = carry;  // nothing is there yet
            }
        }
    });
    volatile Limb* wipe = digits.data();
    for (std::size_t i = 0; i < digits.size(); ++i) wipe[i] = 0;
}

}  // namespace vflnative
