"""SEAL's objects: a header, and members that may be compressed. Bounded, for foreign bytes.

Little-endian, no padding. Every object opens with 16 bytes, nested ones as well:

    u16 0xA15E   u8 16   u8 major   u8 minor   u8 compression (0 none, 1 zlib, 2 zstd)   u16 0
    u64 size of the whole object

Only the outermost one is compressed. A loader accepts its own version only, or 3.4 and later of
major 3; so 3.6 is written here, which all of them load, and 3.4 to 4.x are read.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from vfl_crypto.errors import CryptoError, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HEADER = struct.Struct("<HBBBBHQ")
_MAGIC, _VERSION = 0xA15E, (3, 6)
_NONE, _ZLIB, _ZSTD = range(3)
_WINDOW_BITS = 23  # of a zstd frame that holds less than that; SEAL's have 21
_CHUNK = 1 << 18
_MOST_INFLATED, _ALWAYS = 8, 4096


class Members:
    """The members of an object, taken one after the other. `what` names it in errors."""

    def __init__(self, data: memoryview, version: tuple[int, int], what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what
        self.version = version

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> memoryview:
        """The next bytes. Raises `WireError` where there are not as many."""
        if count > self.left:
            raise WireError(f"{self._what} ends too early: damaged or cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def unpack(self, form: str) -> tuple[Any, ...]:
        """The next numbers, little-endian."""
        layout = struct.Struct("<" + form)
        return layout.unpack(self.take(layout.size))

    def nested(self) -> Members:
        """The object that comes next."""
        version, compression, size = _header(self.take(HEADER.size), self._what)
        if compression != _NONE:
            raise WireError(f"{self._what} holds a compressed part: damaged or forged")
        return Members(self.take(size - HEADER.size), version, self._what)

    def words(self, shape: tuple[int, ...], primes: Sequence[int]) -> NDArray[np.uint64]:
        """An array object: u64 count and that many words (..., primes, N), below their primes."""
        array = self.nested()
        (count,) = array.unpack("Q")
        if count != math.prod(shape):
            raise WireError(f"{self._what} holds {count} words, not {math.prod(shape)}")
        found = np.frombuffer(array.take(8 * count), dtype="<u8").astype(np.uint64).reshape(shape)
        array.end()
        if (found >= np.array(primes, dtype=np.uint64)[:, None]).any():
            raise WireError(f"{self._what} holds a word that is not below its prime")
        return found

    def end(self) -> None:
        """Raises `WireError` if anything is left."""
        if self.left:
            raise WireError(f"{self._what} has {self.left} bytes too many: damaged or forged")


def open_object(data: memoryview, limit: int, what: str) -> Members:
    """The outermost object, decompressed to at most `limit` bytes. Raises `WireError`.

    Nor to more than eight times its own: residues are random, only their zero bytes can be spared.
    """
    if len(data) < HEADER.size:
        raise WireError(f"{what} is shorter than SEAL's header: damaged or cut off")
    version, compression, size = _header(data[: HEADER.size], what)
    if size != len(data):
        raise WireError(f"{what} announces {size} bytes and has {len(data)}")
    members = data[HEADER.size :]
    limit = min(limit, _MOST_INFLATED * len(data) + _ALWAYS)
    if compression == _ZLIB:
        members = memoryview(_unzlib(members, limit, what))
    elif compression == _ZSTD:
        members = memoryview(_unzstd(members, limit, what))
    elif compression != _NONE:
        raise WireError(f"{what} is compressed in an unknown way: {compression}")
    if len(members) > limit:
        raise WireError(f"{what} has more than the {limit} bytes that it can have")
    return Members(members, version, what)


def write_object(members: bytes, *, compress: bool = False) -> bytes:
    """With its header; zstd if asked for."""
    if compress:
        members = _compressor().compress(members)
    kind = _ZSTD if compress else _NONE
    size = HEADER.size + len(members)
    return HEADER.pack(_MAGIC, HEADER.size, *_VERSION, kind, 0, size) + members


def write_words(words: NDArray[np.uint64]) -> bytes:
    """An array object."""
    content = np.ascontiguousarray(words, dtype="<u8").tobytes()
    return write_object(struct.pack("<Q", words.size) + content)


def _header(raw: memoryview, what: str) -> tuple[tuple[int, int], int, int]:
    """Version, compression, size of the whole object."""
    magic, length, major, minor, compression, zero, size = HEADER.unpack(raw)
    if magic != _MAGIC or length != HEADER.size or zero != 0 or size < HEADER.size:
        raise WireError(f"{what} does not open with SEAL's header: damaged or no SEAL object")
    if not ((major == 3 and minor >= 4) or major == 4):
        raise WireError(f"{what} is of SEAL {major}.{minor}; 3.4 to 4.x are read")
    return (major, minor), compression, size


def _unzlib(stream: memoryview, limit: int, what: str) -> bytes:
    decoder = zlib.decompressobj()
    try:
        members = decoder.decompress(stream, limit + 1)
    except zlib.error as error:
        raise WireError(f"{what} is no zlib stream: {error}") from error
    if len(members) <= limit and (not decoder.eof or decoder.unused_data):
        raise WireError(f"{what} is cut off, or goes on after its zlib stream")
    return members


def _unzstd(stream: memoryview, limit: int, what: str) -> bytearray:
    zstd, members = _zstd(), bytearray()
    window = 1 << max(_WINDOW_BITS, limit.bit_length())
    decoder = zstd.ZstdDecompressor(max_window_size=window).stream_reader(stream)
    try:
        while len(members) <= limit:
            chunk = decoder.read(min(_CHUNK, limit + 1 - len(members)))
            if not chunk:
                break
            members += chunk
    except zstd.ZstdError as error:
        raise WireError(f"{what} is no zstd stream: {error}") from error
    return members


def _compressor() -> Any:
    """Fast, and looking for matches of four bytes: what repeats in residues is zero bytes."""
    zstd = _zstd()
    return zstd.ZstdCompressor(
        compression_params=zstd.ZstdCompressionParameters(
            strategy=zstd.STRATEGY_FAST, min_match=4, hash_log=17, chain_log=17, search_log=1,
            window_log=19,
        )
    )  # fmt: skip


def _zstd() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise CryptoError(
            "TenSEAL's bytes are zstd streams, read and written by the optional package "
            "zstandard; install vfl[tenseal]"
        ) from error
    return zstandard
