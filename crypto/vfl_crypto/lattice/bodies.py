"""The one array in which a ciphertext travels, and its bounded parser.

    0   u8   kind
    1   u8   bits of the matrix, of a masked product; else 0
    2   2 x  zero
    4   u32  rows summed over, for products; 0 for vectors
    8   ...  bit-packed residues, or rounded ones; of a product, residues as words

    kind        payload
    seeded      32 bytes of seed, then b of each block
    words       what `exchange.upload` returns
    public      c0 and c1 of each block
    product     c0 and c1 of each packed result; at home only, see `masking`
    flooded     what `masking.flood` returns
    masked      what `masking.mask` returns

The sizes follow from rows, bits, layout and count alone, so a length is checked before anything is
allocated.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from vfl_crypto.errors import WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER: Final = struct.Struct("<BB2sI")
SEED_BYTES: Final = 32


class Kind(IntEnum):
    """What a body holds."""

    SEEDED = 1
    PUBLIC = 2
    PRODUCT = 3
    FLOODED = 4
    MASKED = 5
    WORDS = 6


_KINDS: Final = frozenset(Kind)
ROWS: Final = frozenset({Kind.SEEDED, Kind.PUBLIC})
SHARED: Final = frozenset({Kind.WORDS, Kind.MASKED})
VECTORS: Final = ROWS | {Kind.WORDS}


class Body(NamedTuple):
    """A body's parts; `rows` and `bits` as in the module."""

    kind: Kind
    rows: int
    bits: int
    payload: NDArray[np.uint8]


def make(kind: Kind, rows: int, *payload: NDArray[np.uint8], bits: int = 0) -> NDArray[np.uint8]:
    """One uint8 array."""
    header = np.frombuffer(_HEADER.pack(kind, bits, bytes(2), rows), dtype=np.uint8)
    return np.concatenate((header, *(part.reshape(-1) for part in payload)))


def split(body: NDArray[np.generic]) -> Body:
    """The parts. Raises `WireError` for what `make` did not write."""
    if body.dtype != np.uint8 or body.ndim != 1 or body.size < _HEADER.size:
        raise WireError(f"a lattice ciphertext is bytes, not {body.dtype} {body.shape}")
    flat = np.ascontiguousarray(body, dtype=np.uint8)
    kind, bits, zeros, rows = _HEADER.unpack(flat[: _HEADER.size].tobytes())
    if (
        zeros != bytes(2)
        or kind not in _KINDS
        or (rows == 0) != (kind in VECTORS)
        or (bits == 0) != (kind != Kind.MASKED)
    ):
        raise WireError("a lattice ciphertext with a malformed header")
    return Body(Kind(kind), rows, bits, flat[_HEADER.size :])
