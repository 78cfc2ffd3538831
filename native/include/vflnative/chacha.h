// The ChaCha20 key stream of RFC 8439, for randomness that two parties expand from one seed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vflnative {

using Seed = std::span<const std::uint8_t, 32>;

// The stream of one seed with the 96-bit nonce `stream` (32 bits), `index` (64 bits), both
// little-endian, from block 0 on. Wiped at its end.
class KeyStream {
public:
    static constexpr std::size_t chunk_bytes = 512;  // eight blocks
    static constexpr std::uint64_t max_bytes = std::uint64_t{1} << 38;  // 2^32 blocks

    using Chunk = std::span<const std::uint8_t, chunk_bytes>;

    KeyStream(Seed seed, std::uint32_t stream, std::uint64_t index);
    ~KeyStream();
    KeyStream(const KeyStream&) = delete;
    KeyStream& operator=(const KeyStream&) = delete;

    // The next bytes; valid until the next call. std::length_error after max_bytes.
    Chunk next();

private:
    void (*eight_blocks_)(const std::uint32_t* state, std::uint8_t* out);
    std::array<std::uint32_t, 16> state_;  // with the counter of the next block
    bool exhausted_ = false;
    alignas(32) std::array<std::uint8_t, chunk_bytes> chunk_;
};

}  // namespace vflnative
