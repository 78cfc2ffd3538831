// Words travel in pieces of at most 56 bits: a piece and the up to 7 bits before it in its first byte
// fit one 64-bit access at any byte address.
#include "vflnative/bitstream.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vflnative {

static_assert(std::endian::native == std::endian::little, "bytes are read as little-endian words");

namespace {

constexpr unsigned piece_bits = 56;

constexpr std::uint64_t low_bits(unsigned bits) { return (std::uint64_t{1} << bits) - 1; }

// How a word is cut, its low bits first: one or two pieces, or three in 192 bits.
struct Pieces {
    unsigned width[3];
    std::uint64_t mask[3];

    explicit Pieces(unsigned bits) {
        for (unsigned i = 0; i < 3; ++i, bits -= width[i - 1]) {
            width[i] = std::min(bits, piece_bits);
            mask[i] = low_bits(width[i]);
        }
    }
};

template <class Word>
constexpr bool wide = sizeof(Word) > sizeof(Word128);

// How many of `count` words, from bit `start` on, begin all their pieces eight bytes before the end.
std::size_t far_from_end(std::size_t start, unsigned bits, std::size_t count, std::size_t bytes) {
    if (bytes < 8 || start / 8 > bytes - 8) return 0;
    return std::min(count, ((bytes - 8) * 8 - start) / bits);
}

}  // namespace

template <class Word>
void BitWriter::put_all(const Word* words, std::size_t count, unsigned bits) {
    const auto [width, mask] = Pieces(bits);
    std::uint8_t* const begin = begin_;
    const std::size_t bytes = bytes_;
    std::size_t position = position_;  // in registers: bytes may alias the members
    std::uint64_t carry = carry_;
    const auto put_piece = [&](std::uint64_t piece, unsigned width, const auto& store) {
        const unsigned filled = position % 8;
        const std::uint64_t word = carry | (piece << filled);
        store(position / 8, word);
        carry = word >> ((filled + width) & ~7U);
        position += width;
    };
    const auto put_word = [&](Word word, const auto& store) {
        put_piece(static_cast<std::uint64_t>(word) & mask[0], width[0], store);
        if (width[1] == 0) return;
        word = word >> piece_bits;
        put_piece(static_cast<std::uint64_t>(word) & mask[1], width[1], store);
        if constexpr (wide<Word>) {
            if (width[2] == 0) return;
            put_piece(static_cast<std::uint64_t>(word >> piece_bits) & mask[2], width[2], store);
        }
    };
    const std::size_t safe = far_from_end(position, bits, count, bytes);
    std::size_t i = 0;
    for (; i < safe; ++i) {
        put_word(words[i], [&](std::size_t byte, std::uint64_t word) {
            std::memcpy(begin + byte, &word, sizeof(word));
        });
    }
    for (; i < count; ++i) {
        put_word(words[i], [&](std::size_t byte, std::uint64_t word) {
            if (byte < bytes) std::memcpy(begin + byte, &word, std::min<std::size_t>(8, bytes - byte));
        });
    }
    position_ = position, carry_ = carry;
}

void BitWriter::put(const std::uint64_t* words, std::size_t count, unsigned bits) {
    put_all(words, count, bits);
}

void BitWriter::put(const Word128* words, std::size_t count, unsigned bits) {
    put_all(words, count, bits);
}

void BitWriter::put(const Word192* words, std::size_t count, unsigned bits) {
    put_all(words, count, bits);
}

template <class Word>
void BitReader::get_all(Word* words, std::size_t count, unsigned bits) {
    const auto [width, mask] = Pieces(bits);
    const auto get_word = [&](std::size_t position, const auto& load) {
        const auto piece = [&](unsigned i, std::size_t at) {
            return static_cast<Word>((load(at / 8) >> (at % 8)) & mask[i]);
        };
        Word word = piece(0, position);
        if (width[1] == 0) return word;
        word = word | piece(1, position + piece_bits) << piece_bits;
        if constexpr (wide<Word>) {
            if (width[2] == 0) return word;
            word = word | piece(2, position + 2 * piece_bits) << piece_bits << piece_bits;
        }
        return word;
    };
    const std::uint8_t* const begin = begin_;
    const std::size_t bytes = bytes_, start = position_;
    const std::size_t safe = far_from_end(start, bits, count, bytes);
    std::size_t i = 0;
    for (; i < safe; ++i) {
        words[i] = get_word(start + i * bits, [&](std::size_t byte) {
            std::uint64_t piece;
            std::memcpy(&piece, begin + byte, sizeof(piece));
            return piece;
        });
    }
    for (; i < count; ++i) {
        words[i] = get_word(start + i * bits, [&](std::size_t byte) {
            std::uint64_t piece = 0;
            if (byte < bytes) std::memcpy(&piece, begin + byte, std::min<std::size_t>(8, bytes - byte));
            return piece;
        });
    }
    position_ = start + count * bits;
}

void BitReader::get(std::uint64_t* words, std::size_t count, unsigned bits) {
    get_all(words, count, bits);
}

void BitReader::get(Word128* words, std::size_t count, unsigned bits) {
    get_all(words, count, bits);
}

void BitReader::get(Word192* words, std::size_t count, unsigned bits) {
    get_all(words, count, bits);
}

bool BitReader::only_zeros_left() const {
    const std::size_t byte = std::min(position_ / 8, bytes_);
    if (byte == bytes_) return true;
    if (begin_[byte] >> (position_ % 8) != 0) return false;
    return std::all_of(begin_ + byte + 1, begin_ + bytes_, [](std::uint8_t b) { return b == 0; });
}

}  // namespace vflnative
