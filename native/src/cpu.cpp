#include "vflnative/cpu.h"

#include <atomic>
#include <cstdlib>

namespace vflnative {
namespace {

CpuLevel choose() {
    const auto levels = available_levels();
    CpuLevel best = levels.back();
    if (const char* cap = std::getenv("VFL_CPU_LEVEL")) {
        for (const CpuLevel level : levels) {
            if (level_name(level) == cap) best = level;
        }
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
    if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("adx")) {
        levels.push_back(CpuLevel::adx);
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
    }
    return "unknown";
}

}  // namespace vflnative
