// Integers of a few bits each, end to end in bytes: bit b of the stream is bit b % 8 of byte b / 8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vflnative/word192.h"

namespace vflnative {

// Writes words of up to 168 bits; what a word holds above its bits is cut off.
class BitWriter {
public:
    BitWriter(std::uint8_t* begin, std::size_t bytes) : begin_(begin), bytes_(bytes) {}

    // Throws nothing and writes nothing past the end; a last byte that is not full ends in zeros.
    void put(const std::uint64_t* words, std::size_t count, unsigned bits);
    void put(const Word128* words, std::size_t count, unsigned bits);
    void put(const Word192* words, std::size_t count, unsigned bits);

private:
    template <class Word>
    void put_all(const Word* words, std::size_t count, unsigned bits);

    std::uint8_t* begin_;
    std::size_t bytes_;
    std::size_t position_ = 0;  // in bits
    std::uint64_t carry_ = 0;   // the bits of the byte there that are taken
};

// Reads them back. Past the end the stream is zero.
class BitReader {
public:
    BitReader(const std::uint8_t* begin, std::size_t bytes) : begin_(begin), bytes_(bytes) {}

    void get(std::uint64_t* words, std::size_t count, unsigned bits);
    void get(Word128* words, std::size_t count, unsigned bits);
    void get(Word192* words, std::size_t count, unsigned bits);

    // True when nothing but zeros follows.
    bool only_zeros_left() const;

private:
    template <class Word>
    void get_all(Word* words, std::size_t count, unsigned bits);

    const std::uint8_t* begin_;
    std::size_t bytes_;
    std::size_t position_ = 0;  // in bits
};

}  // namespace vflnative
