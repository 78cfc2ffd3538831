#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bind.h"
#include "vflnative/cpu.h"

namespace nb = nanobind;

namespace vflnative::bind {

void bind_cpu(nb::module_& module) {
    module.def("cpu_levels", [] {
        std::vector<std::string> names;
        for (const CpuLevel level : available_levels()) names.emplace_back(level_name(level));
        return names;
    }, "Instruction levels this machine can run, lowest first.");
    module.def("cpu_level", [] { return std::string(level_name(active_level())); },
               "The instruction level the kernels use.");
    module.def("set_cpu_level", [](const std::string& name) {
        for (const CpuLevel level : available_levels()) {
            if (level_name(level) == name && set_active_level(level)) return;
        }
        throw std::invalid_argument("no such instruction level on this machine: " + name);
    }, nb::arg("name"), "Use another available instruction level (tests).");
}

}  // namespace vflnative::bind
