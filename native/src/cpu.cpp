#include "vflnative/cpu.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace vflnative {
namespace {

CpuLevel choose() {
    const auto levels = available_levels();
    const CpuLevel best = levels.back();
    if (const char* cap = std::getenv("VFL_CPU_LEVEL")) {
        for (const CpuLevel level : levels) {
            if (level_name(level) == cap) return level;
        }
        std::fprintf(stderr, "VFL_CPU_LEVEL=%s is no level of this machine; using %s\n", cap,
                     std::string(level_name(best)).c_str());
    }
    return best;
}

std::atomic<CpuLevel>& current() {
    static std::atomic<CpuLevel> level{choose()};
    return level;
}

}  // namespace

std::vector<CpuLevel> available_levels() {
    std::vector<CpuLevel> levels{CpuLevel::scalar};
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has[] = {
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("adx"),
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"),
        __builtin_cpu_supports("avx512ifma") != 0,
    };
    for (const bool one : has) {
        if (!one) break;
        levels.push_back(static_cast<CpuLevel>(levels.size()));
    }
#endif
    return levels;
}

CpuLevel active_level() { return current().load(std::memory_order_relaxed); }

bool set_active_level(CpuLevel level) {
    for (const CpuLevel have : available_levels()) {
        if (have == level) {
            current().store(level, std::memory_order_relaxed);
            return true;
        }
    }
    return false;
}

std::string_view level_name(CpuLevel level) {
    switch (level) {
        case CpuLevel::scalar: return "scalar";
        case CpuLevel::adx: return "adx";
        case CpuLevel::avx2: return "avx2";
        case CpuLevel::avx512: return "avx512";
        case CpuLevel::ifma: return "ifma";
    }
    return "unknown";
}

}  // namespace vflnative
