"""The one array in which a ciphertext travels, and its bounded parser.

    0   u8   kind
    1   3 x  zero
    4   u32  rows summed over, for sums; 0 for rows
    8   ...  bit-packed residues, or rounded ones; of a product, residues as words

    kind        payload
    seeded      32 bytes of seed, then b of each block
    public      c0 and c1 of each block
    product     c0 and c1 of each packed result; at home only, see `masking`
    flooded     what `masking.flood` returns
    masked      what `masking.mask` returns

The sizes follow from rows and count alone, so a length is checked before anything is allocated.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto.errors import WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER: Final = struct.Struct("<B3sI")
SEED_BYTES: Final = 32


class Kind(IntEnum):
    """What a body holds."""

    SEEDED = 1
    PUBLIC = 2
    PRODUCT = 3
    FLOODED = 4
    MASKED = 5


_KINDS: Final = frozenset(Kind)
ROWS: Final = frozenset({Kind.SEEDED, Kind.PUBLIC})


def make(kind: Kind, rows: int, *payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One uint8 array."""
    header = np.frombuffer(_HEADER.pack(kind, bytes(3), rows), dtype=np.uint8)
    return np.concatenate((header, *(part.reshape(-1) for part in payload)))


def split(body: NDArray[np.generic]) -> tuple[Kind, int, NDArray[np.uint8]]:
    """Kind, rows, payload. Raises `WireError` for what `make` did not write."""
    if body.dtype != np.uint8 or body.ndim != 1 or body.size < _HEADER.size:
        raise WireError(f"a lattice ciphertext is bytes, not {body.dtype} {body.shape}")
    flat = np.ascontiguousarray(body, dtype=np.uint8)
    kind, zeros, rows = _HEADER.unpack(flat[: _HEADER.size].tobytes())
    if zeros != bytes(3) or kind not in _KINDS or (rows == 0) != (kind in ROWS):
        raise WireError("a lattice ciphertext with a malformed header")
    return Kind(kind), rows, flat[_HEADER.size :]
