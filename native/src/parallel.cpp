#include "vflnative/parallel.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>

namespace vflnative {
namespace {

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits until the state is no longer `old`: half a millisecond awake, then asleep. Calls follow one
// another within tens of microseconds, and a sleeping processor takes longer to wake than most last.
int await_change(const std::atomic<int>& state, int old) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::microseconds(500);
    do {
        for (int i = 0; i < 100; ++i) {
            const int now = state.load(std::memory_order_acquire);
            if (now != old) return now;
            pause();
        }
    } while (Clock::now() < end);
    state.wait(old, std::memory_order_acquire);
    return state.load(std::memory_order_acquire);
}

// A thread and its letter box. Its caller moves it from idle to posted and, where it has not begun,
// back again; it moves itself from posted to running and from there to idle.
class Helper {
public:
    // Throws std::system_error where the system gives no more threads.
    Helper() {
        // Signals stay with the threads that expect them.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            std::thread([this] { serve(); }).detach();
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void post(void (*task)(void*, std::size_t), void* state, std::size_t part) {
        task_ = task;
        argument_ = state;
        part_ = part;
        state_.store(posted, std::memory_order_release);
        state_.notify_one();
    }
    // Takes the task back; false when it has begun or is over.
    bool revoke() {
        int expected = posted;
        return state_.compare_exchange_strong(expected, idle, std::memory_order_acquire);
    }
    void wait() const {
        while (await_change(state_, running) != idle) {
        }
    }

    Helper* next = nullptr;  // in the list of idle helpers

private:
    enum { idle, posted, running };

    [[noreturn]] void serve() {
        for (;;) {
            int expected = posted;
            if (await_change(state_, idle) == posted &&
                state_.compare_exchange_strong(expected, running, std::memory_order_acquire)) {
                task_(argument_, part_);
                state_.store(idle, std::memory_order_release);
                state_.notify_all();
            }
        }
    }

    std::atomic<int> state_{idle};
    void (*task_)(void*, std::size_t) = nullptr;
    void* argument_ = nullptr;
    std::size_t part_ = 0;
};

// Never destroyed: at exit its threads are asleep on memory that must stay.
class Pool {
public:
    // A linked list of up to `count` helpers; new ones are made where too few are idle.
    Helper* take(std::size_t count) {
        Helper* taken = nullptr;
        const std::lock_guard lock(mutex_);
        for (; count > 0; --count) {
            Helper* helper = idle_;
            if (helper != nullptr) {
                idle_ = helper->next;
            } else if (made_ < limit) {
                try {
                    helper = new Helper;
                } catch (const std::system_error&) {
                    break;
                }
                ++made_;
            } else {
                break;
            }
            helper->next = taken;
            taken = helper;
        }
        return taken;
    }
    void give_back(Helper* first) {
        const std::lock_guard lock(mutex_);
        while (first != nullptr) {
            Helper* next = first->next;
            first->next = idle_;
            idle_ = first;
            first = next;
        }
    }

private:
    static constexpr std::size_t limit = 256;

    std::mutex mutex_;
    Helper* idle_ = nullptr;
    std::size_t made_ = 0;
};

std::atomic<Pool*> current{nullptr};

Pool& pool() {
    Pool* have = current.load(std::memory_order_acquire);
    if (have != nullptr) return *have;
    static std::mutex making;
    const std::lock_guard lock(making);
    have = current.load(std::memory_order_acquire);
    if (have == nullptr) {
        // A forked child has none of its parent's threads: it leaves the old pool and makes its own.
        static const int registered = pthread_atfork(
            [] { making.lock(); }, [] { making.unlock(); },
            [] {
                current.store(nullptr, std::memory_order_release);
                making.unlock();
            });
        static_cast<void>(registered);
        have = new Pool;
        current.store(have, std::memory_order_release);
    }
    return *have;
}

}  // namespace

void run_parts(std::size_t parts, void (*task)(void* state, std::size_t part), void* state) {
    Pool& helpers = pool();
    Helper* const first = parts > 1 ? helpers.take(parts - 1) : nullptr;
    std::size_t next = 1;
    for (Helper* helper = first; helper != nullptr; helper = helper->next) {
        helper->post(task, state, next++);
    }
    task(state, 0);
    for (; next < parts; ++next) task(state, next);
    std::size_t part = 1;
    for (Helper* helper = first; helper != nullptr; helper = helper->next, ++part) {
        if (helper->revoke()) task(state, part);
    }
    for (Helper* helper = first; helper != nullptr; helper = helper->next) helper->wait();
    helpers.give_back(first);
}

}  // namespace vflnative
