// Run-time dispatch: which instruction levels this machine has, and which one the kernels use.
//
// A level includes those below it. Kernel families keep one table of function pointers for each level
// that serves them; a level is chosen once, at import. The environment variable VFL_CPU_LEVEL caps it, so that every level a machine has can be
// tested on that machine.
#pragma once

#include <string_view>
#include <vector>

namespace vflnative {

enum class CpuLevel : int {
    scalar = 0,  // portable C++
    adx = 1,     // x86-64 with BMI2 (mulx) and ADX
    avx2 = 2,    // and AVX2 and FMA
    avx512 = 3,  // and AVX-512 F, DQ and VL
    ifma = 4,    // and AVX-512 IFMA
};

// Levels this machine can run, lowest first.
std::vector<CpuLevel> available_levels();

// The level in use: the highest available one, capped by VFL_CPU_LEVEL when that names a level.
CpuLevel active_level();

// Forces a level; returns false when the machine does not have it. For tests.
bool set_active_level(CpuLevel level);

std::string_view level_name(CpuLevel level);

}  // namespace vflnative
