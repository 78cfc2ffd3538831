#include "vflnative/montgomery.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace vflnative {
namespace {

using Limb = std::uint64_t;
using Wide = unsigned __int128;

bool below(const Limb* x, const Limb* y, std::size_t limbs) {
    for (std::size_t i = limbs; i-- > 0;) {
        if (x[i] != y[i]) return x[i] < y[i];
    }
    return false;
}

void subtract(Limb* x, const Limb* y, std::size_t limbs) {
    Limb borrow = 0;
    for (std::size_t i = 0; i < limbs; ++i) {
        const Wide difference = static_cast<Wide>(x[i]) - y[i] - borrow;
        x[i] = static_cast<Limb>(difference);
        borrow = static_cast<Limb>(difference >> 64) & 1;
    }
}

void twice(Limb* x, std::size_t limbs) {
    for (std::size_t i = limbs; i-- > 0;) x[i] = (x[i] << 1) | (i > 0 ? x[i - 1] >> 63 : 0);
}

// x <- 2 x mod n, or mod n^2 for a pair with both halves below n. All values are public.
void double_element(std::vector<Limb>& x, const std::vector<Limb>& n) {
    const std::size_t half = n.size();
    Limb* low = x.data();
    Limb* high = x.size() > half ? x.data() + half : nullptr;
    twice(low, half);
    const bool carry = !below(low, n.data(), half);
    if (carry) subtract(low, n.data(), half);
    if (high == nullptr) return;
    twice(high, half);
    if (!below(high, n.data(), half)) subtract(high, n.data(), half);
    if (carry) {  // (x0, x1) = (x0 - n, x1 - 1), and -1 = n - 1 modulo n
        std::size_t i = 0;
        while (i < half && high[i] == 0) ++i;
        if (i == half) {
            for (i = 0; i < half; ++i) high[i] = n[i];
        }
        for (i = 0; high[i]-- == 0;) ++i;
    }
}

std::vector<Limb> square_of(const Limb* n, std::size_t limbs) {
    std::vector<Limb> product(2 * limbs, 0);
    for (std::size_t i = 0; i < limbs; ++i) {
        Limb carry = 0;
        for (std::size_t j = 0; j < limbs; ++j) {
            const Wide sum = static_cast<Wide>(n[i]) * n[j] + product[i + j] + carry;
            product[i + j] = static_cast<Limb>(sum);
            carry = static_cast<Limb>(sum >> 64);
        }
        product[i + limbs] = carry;
    }
    return product;
}

// x in `count` limbs of 52 bits.
std::vector<Limb> lane_limbs_of(const Limb* x, std::size_t limbs, std::size_t count) {
    std::vector<Limb> out(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t limb = 52 * i / 64, shift = 52 * i % 64;
        if (limb < limbs) out[i] = x[limb] >> shift;
        if (shift > 12 && limb + 1 < limbs) out[i] |= x[limb + 1] << (64 - shift);
        out[i] &= (Limb{1} << 52) - 1;
    }
    return out;
}

}  // namespace

Modulus::Modulus(const Limb* value, std::size_t limbs, bool square) : square_(square) {
    while (limbs > 0 && value[limbs - 1] == 0) --limbs;
    if (limbs == 0 || (value[0] & 1) == 0 || (limbs == 1 && value[0] < 3)) {
        throw std::invalid_argument("a modulus must be odd and at least 3");
    }
    canonical_ = square ? square_of(value, limbs) : std::vector<Limb>(value, value + limbs);
    n_.assign(value, value + limbs);
    if (std::countl_zero(n_.back()) < 4) n_.push_back(0);

    Limb inverse = n_[0];  // right to 3 bits, and each step doubles that (Newton)
    for (int bits = 3; bits < 64; bits *= 2) inverse *= 2 - n_[0] * inverse;
    negative_inverse_ = Limb{0} - inverse;

    const std::size_t bits = 64 * half();
    const auto leading = static_cast<std::size_t>(std::countl_zero(n_[limbs - 1]));
    const std::size_t value_bits = 64 * limbs - leading;
    const std::size_t step = square ? 2 : 4;
    const std::size_t lanes = ((value_bits + 4 + 51) / 52 + step - 1) / step * step;
    lane_n_ = lane_limbs_of(n_.data(), half(), lanes);

    std::vector<Limb> power(words(), 0);
    power[0] = 1;
    const std::size_t lift = square ? 3 : 2, rejoin = 4;
    const auto lane_form = [&] {
        auto form = lane_limbs_of(power.data(), half(), lanes);
        if (square) {
            const auto high = lane_limbs_of(power.data() + half(), half(), lanes);
            form.insert(form.end(), high.begin(), high.end());
        }
        return form;
    };
    for (std::size_t i = 1; i <= rejoin * std::max(bits, 52 * lanes); ++i) {
        double_element(power, n_);
        if (i == bits) one_ = power;
        if (i == lift * bits) lift_ = power;
        if (i == rejoin * bits && square) rejoin_ = power;
        if (i == 52 * lanes) lane_one_ = lane_form();
        if (i == lift * 52 * lanes) lane_lift_ = lane_form();
        if (i == rejoin * 52 * lanes && square) lane_rejoin_ = lane_form();
    }
}

bool Modulus::contains(const Limb* x) const { return below(x, canonical_.data(), limbs()); }

}  // namespace vflnative
