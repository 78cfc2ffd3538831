#include "vflnative/chacha.h"

#include <bit>
#include <cstring>
#include <stdexcept>

#include "chacha_lanes.h"
#include "vflnative/cpu.h"

namespace vflnative {

static_assert(std::endian::native == std::endian::little, "words are stored as little-endian bytes");

namespace {

struct Four {
    std::uint32_t v __attribute__((vector_size(16)));
};

inline Four operator+(Four a, Four b) { return {a.v + b.v}; }
inline Four operator^(Four a, Four b) { return {a.v ^ b.v}; }

template <int n>
inline Four rotate(Four a) {
    return {(a.v << n) | (a.v >> (32 - n))};
}

// Blocks of counters state[12] and up, one after the other: 512 bytes.
void eight_blocks(const std::uint32_t* state, std::uint8_t* out) {
    for (std::uint32_t first = 0; first < 8; first += 4) {
        Four x[chacha::words];
        for (int w = 0; w < chacha::words; ++w) x[w] = {Four{}.v + state[w]};
        for (std::uint32_t b = 0; b < 4; ++b) x[12].v[b] += first + b;
        chacha::block_function(x);
        for (std::uint32_t b = 0; b < 4; ++b) {
            std::uint32_t block[chacha::words];
            for (int w = 0; w < chacha::words; ++w) block[w] = x[w].v[b];
            std::memcpy(out + 64 * (first + b), block, sizeof(block));
        }
    }
}

using Kernel = void (*)(const std::uint32_t* state, std::uint8_t* out);

Kernel kernel() {
#if defined(VFLNATIVE_AVX2)
    if (active_level() >= CpuLevel::avx2) return chacha::avx2::eight_blocks;
#endif
    return eight_blocks;
}

template <class T, std::size_t n>
void wipe(std::array<T, n>& data) {
    for (volatile T& item : data) item = 0;
}

}  // namespace

KeyStream::KeyStream(Seed seed, std::uint32_t stream, std::uint64_t index)
    : eight_blocks_(kernel()),
      state_{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574} {  // "expand 32-byte k"
    std::memcpy(&state_[4], seed.data(), seed.size());
    state_[13] = stream;
    state_[14] = static_cast<std::uint32_t>(index);
    state_[15] = static_cast<std::uint32_t>(index >> 32);
}

KeyStream::~KeyStream() {
    wipe(state_);
    wipe(chunk_);
}

KeyStream::Chunk KeyStream::next() {
    if (exhausted_) throw std::length_error("a ChaCha20 stream ends after 2^38 bytes");
    eight_blocks_(state_.data(), chunk_.data());
    state_[12] += chunk_bytes / 64;
    exhausted_ = state_[12] == 0;
    return chunk_;
}

}  // namespace vflnative
