// Garner's form of the Chinese remainder theorem for batches of rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vflnative/montgomery.h"

namespace vflnative {

// out[i] = the x below low high with x = a[i] (mod low), x = b[i] (mod high), in `limbs` limbs. The
// moduli are coprime, low < high; inverse = 1 / low mod high (high.limbs()). The sequence of
// operations and addresses depends on the sizes alone.
void crt_join(const Modulus& low, const Modulus& high, const std::uint64_t* inverse,
              const std::uint64_t* a, const std::uint64_t* b, std::uint64_t* out,
              std::size_t limbs, std::size_t rows, unsigned threads);

}  // namespace vflnative
