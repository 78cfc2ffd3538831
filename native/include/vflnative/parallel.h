// One batch over a few threads, in ranges that whoever is free takes next: a thread that comes late or
// loses its processor for a while does less.
//
// Helpers outlive the call: they spin for some microseconds, then sleep, so that calls of a tenth of
// a millisecond gain from them too. Whoever finds no helper idle does the work itself; results do not
// depend on that.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <vector>

namespace vflnative {

// Calls task(state, part) once for every part below `parts`, which must not throw. The calling
// thread takes the first part and whatever no helper has begun. Calls may come from several threads,
// be nested, and go on in the child of a fork.
void run_parts(std::size_t parts, void (*task)(void* state, std::size_t part), void* state);

// Calls work(begin, end) for disjoint ranges that cover [0, count), in no order, on up to `threads`
// threads. The first exception of any thread is thrown again here.
template <class Work>
void parallel_ranges(std::size_t count, unsigned threads, const Work& work) {
    const std::size_t parts = std::min<std::size_t>(threads, count);
    if (parts <= 1) {
        work(std::size_t{0}, count);
        return;
    }
    struct Call {
        const Work& work;
        const std::size_t count, step;
        std::vector<std::exception_ptr> failures;
        std::atomic<std::size_t> next{0};
    } call{work, count, std::max<std::size_t>(1, count / (8 * parts)),
           std::vector<std::exception_ptr>(parts)};
    run_parts(parts, [](void* state, std::size_t part) {
        Call& c = *static_cast<Call*>(state);
        try {
            for (;;) {
                const std::size_t begin = c.next.fetch_add(c.step, std::memory_order_relaxed);
                if (begin >= c.count) return;
                c.work(begin, std::min(begin + c.step, c.count));
            }
        } catch (...) {
            c.failures[part] = std::current_exception();
        }
    }, &call);
    for (const auto& failure : call.failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

}  // namespace vflnative
