// Big integers in portable C++.
#include "bigint_algorithms.h"

namespace vflnative {
namespace {

struct ScalarRow {
    static Limb addmul(Limb* t, const Limb* a, Limb b, std::size_t length) {
        Limb carry = 0;
        for (std::size_t i = 0; i < length; ++i) {
            const Wide sum = static_cast<Wide>(a[i]) * b + t[i] + carry;
            t[i] = static_cast<Limb>(sum);
            carry = static_cast<Limb>(sum >> 64);
        }
        return carry;
    }
};

}  // namespace

constinit const BigintLevel bigint_scalar = row_kernels<ScalarRow>();

}  // namespace vflnative
