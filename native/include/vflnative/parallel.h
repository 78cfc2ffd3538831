// One batch over a few threads, in contiguous ranges.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace vflnative {

// Calls work(part, begin, end) for up to `threads` ranges that cover [0, count); the calling thread
// takes the first. The first exception of any part is thrown again here. Returns the parts used.
template <class Work>
std::size_t parallel_ranges(std::size_t count, unsigned threads, const Work& work) {
    const std::size_t parts = std::max<std::size_t>(1, std::min<std::size_t>(threads, count));
    std::vector<std::exception_ptr> failures(parts);
    const auto run = [&](std::size_t part) {
        try {
            work(part, count * part / parts, count * (part + 1) / parts);
        } catch (...) {
            failures[part] = std::current_exception();
        }
    };
    {
        std::vector<std::jthread> helpers;
        helpers.reserve(parts - 1);
        for (std::size_t part = 1; part < parts; ++part) helpers.emplace_back(run, part);
        run(0);
    }
    for (const auto& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
    return parts;
}

}  // namespace vflnative
