"""Frames: the one byte form in which anything crosses a party border.

    offset  size  content
    0       4     magic "VFLF"
    4       2     version (1)
    6       2     number of arrays, at most 64
    8       4     header length in bytes, at most 1 MiB
    12      4     zero
    16      40*k  one descriptor an array: u8 dtype code, u8 dimensions (1..3), 6 zero bytes,
                  u64 offset from the start of the frame, 3 x u64 shape (1 beyond the dimensions)
    ...           header: opaque bytes (MessagePack of the message layer)
    ...           arrays, each at a multiple of 64, zero padding between
    end-32  32    SHA-256 of everything before

All integers little-endian. The digest finds damage, not forgery: who a frame is from is the
transport's business. The parser touches nothing outside the frame, allocates nothing that grows
with a length it has not checked, and accepts exactly the bytes `pack` writes. Only the first
dimension may be zero, so an array never has more rows than bytes. No pickle, no eval.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vfl_crypto.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAGIC = b"VFLF"
VERSION = 1
MAX_ARRAYS = 64
MAX_HEADER = 1 << 20
MAX_FRAME = 1 << 32
_ALIGN = 64
_DIGEST = 32
_PREFIX = struct.Struct("<4sHHII")
_ARRAY = struct.Struct("<BB6xQQQQ")
_DTYPES = tuple(
    np.dtype(name) for name in ("uint8", "uint32", "uint64", "int32", "int64", "float64")
)


@dataclass(frozen=True)
class Frame:
    """A parsed frame: header bytes and read-only views into the received buffer."""

    header: bytes
    arrays: tuple[NDArray[np.generic], ...]
    digest: str  # hex of the frame's SHA-256


def pack(header: bytes, arrays: Sequence[NDArray[np.generic]]) -> NDArray[np.uint8]:
    """One contiguous uint8 array. Raises `WireError` for what a frame cannot hold."""
    if len(header) > MAX_HEADER or len(arrays) > MAX_ARRAYS:
        raise WireError(
            f"a frame holds at most {MAX_HEADER} header bytes and {MAX_ARRAYS} arrays; "
            f"got {len(header)} and {len(arrays)}"
        )
    position = _PREFIX.size + _ARRAY.size * len(arrays) + len(header)
    descriptors = []
    for array in arrays:
        if array.dtype not in _DTYPES or not _fits(array.dtype, array.shape):
            raise WireError(f"a frame cannot hold an array of {array.dtype}, shape {array.shape}")
        position = -(-position // _ALIGN) * _ALIGN
        shape = (*array.shape, 1, 1, 1)[:3]
        descriptors.append((_DTYPES.index(array.dtype), array.ndim, position, *shape))
        position += array.nbytes
    total = position + _DIGEST
    if total > MAX_FRAME:
        raise WireError(f"a frame of {total} bytes exceeds the limit of {MAX_FRAME}")
    frame = np.zeros(total, dtype=np.uint8)
    start = _PREFIX.pack(MAGIC, VERSION, len(arrays), len(header), 0)
    start += b"".join(_ARRAY.pack(*descriptor) for descriptor in descriptors) + header
    frame[: len(start)] = np.frombuffer(start, dtype=np.uint8)
    for array, descriptor in zip(arrays, descriptors, strict=True):
        if array.nbytes:
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            frame[descriptor[2] : descriptor[2] + array.nbytes] = flat
    frame[-_DIGEST:] = np.frombuffer(_sha256(frame[:-_DIGEST]), dtype=np.uint8)
    return frame


def unpack(frame: NDArray[np.uint8]) -> Frame:
    """Parse and check every byte. Raises `WireError` for anything `pack` would not have written."""
    if frame.dtype != np.uint8 or frame.ndim != 1 or not frame.flags.c_contiguous:
        raise WireError("a frame is one contiguous uint8 array")
    if not _PREFIX.size + _DIGEST <= frame.size <= MAX_FRAME:
        raise WireError(
            f"a frame has {_PREFIX.size + _DIGEST} to {MAX_FRAME} bytes, not {frame.size}"
        )
    digest = frame[-_DIGEST:].tobytes()
    magic, version, count, header_length, zero = _PREFIX.unpack(frame[: _PREFIX.size].tobytes())
    if magic != MAGIC or version != VERSION or zero != 0:
        raise WireError(f"not a version-{VERSION} frame")
    if count > MAX_ARRAYS or header_length > MAX_HEADER:
        raise WireError(f"frame announces {count} arrays and a header of {header_length} bytes")
    end = frame.size - _DIGEST
    header_start = _PREFIX.size + _ARRAY.size * count
    position = header_start + header_length
    if position > end:
        raise WireError("frame is shorter than the lengths it announces")
    if _sha256(frame[:end]) != digest:
        raise WireError("frame is damaged: its digest does not match")
    arrays = []
    for index in range(count):
        at = _PREFIX.size + _ARRAY.size * index
        array, position = _array_at(frame, at, position, end)
        arrays.append(array)
    if position != end:
        raise WireError("frame has bytes that belong to no array")
    header = frame[header_start : header_start + header_length].tobytes()
    return Frame(header, tuple(arrays), digest.hex())


def _array_at(
    frame: NDArray[np.uint8], at: int, position: int, end: int
) -> tuple[NDArray[np.generic], int]:
    """The array of the descriptor at `at`, which must start at the next aligned position."""
    raw = frame[at : at + _ARRAY.size].tobytes()
    code, ndim, offset, *shape = _ARRAY.unpack(raw)
    start = -(-position // _ALIGN) * _ALIGN
    if code >= len(_DTYPES) or ndim > 3 or any(raw[2:8]) or any(s != 1 for s in shape[ndim:]):
        raise WireError("frame holds a malformed array descriptor")
    dtype = _DTYPES[code]
    if not _fits(dtype, shape[:ndim]):
        raise WireError("frame holds an array of an impossible shape")
    size = dtype.itemsize * math.prod(shape)  # Python integers: no overflow
    if offset != start or start + size > end:
        raise WireError("an array does not lie inside its frame")
    if frame[position:start].any():
        raise WireError("padding is not zero")
    view = frame[start : start + size].view(dtype).reshape(shape[:ndim])
    view.flags.writeable = False
    return view, start + size


def _fits(dtype: np.dtype[Any], shape: Sequence[int]) -> bool:
    """One to three dimensions, only the first of them zero, and one row within a frame's limit."""
    return (
        1 <= len(shape) <= 3
        and 0 not in shape[1:]
        and dtype.itemsize * math.prod(shape[1:]) <= MAX_FRAME
    )


def _sha256(data: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(data.data).digest()
