// One batch over a few threads, in contiguous ranges.
//
// Helpers outlive the call: they spin for some microseconds, then sleep, so that calls of a tenth of
// a millisecond gain from them too. Whoever finds no helper idle does the work itself; results do not
// depend on that.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <vector>

namespace vflnative {

// Calls task(state, part) once for every part below `parts`, which must not throw. The calling
// thread takes the first part and whatever no helper has begun. Calls may come from several threads,
// be nested, and go on in the child of a fork.
void run_parts(std::size_t parts, void (*task)(void* state, std::size_t part), void* state);

// Calls work(part, begin, end) for up to `threads` ranges that cover [0, count). The first exception
// of any part is thrown again here. Returns the parts used.
template <class Work>
std::size_t parallel_ranges(std::size_t count, unsigned threads, const Work& work) {
    const std::size_t parts = std::max<std::size_t>(1, std::min<std::size_t>(threads, count));
    if (parts == 1) {
        work(std::size_t{0}, std::size_t{0}, count);
        return 1;
    }
    struct Call {
        const Work& work;
        std::size_t count, parts;
        std::vector<std::exception_ptr> failures;
    } call{work, count, parts, std::vector<std::exception_ptr>(parts)};
    run_parts(parts, [](void* state, std::size_t part) {
        Call& c = *static_cast<Call*>(state);
        try {
            c.work(part, c.count * part / c.parts, c.count * (part + 1) / c.parts);
        } catch (...) {
            c.failures[part] = std::current_exception();
        }
    }, &call);
    for (const auto& failure : call.failures) {
        if (failure) std::rethrow_exception(failure);
    }
    return parts;
}

}  // namespace vflnative
