"""Python integers as rows of 64-bit limbs, the form in which the kernels take them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

LIMB_BITS = 64


def limbs_for(bits: int) -> int:
    """How many limbs hold `bits` bits."""
    return -(-bits // LIMB_BITS)


def to_limbs(integers: Iterable[int], limbs: int) -> NDArray[np.uint64]:
    """uint64 (count, limbs), little-endian. Raises `OverflowError` for a negative or longer one."""
    data = b"".join(x.to_bytes(8 * limbs, "little") for x in integers)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(-1, limbs)


def from_limbs(rows: NDArray[np.uint64]) -> list[int]:
    """The integers of uint64 rows (count, limbs)."""
    data = np.ascontiguousarray(rows, dtype="<u8").tobytes()
    step = 8 * rows.shape[1]
    return [int.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]


def all_positive_below(rows: NDArray[np.uint64], bound: int) -> bool:
    """Whether 0 < row < bound for every row (count, limbs); the bound fits as many limbs."""
    top = to_limbs([bound], rows.shape[1])[0]
    level = rows  # rows equal to the bound in all limbs above
    for limb in range(rows.shape[1] - 1, -1, -1):
        if (level[:, limb] > top[limb]).any():
            return False
        level = level[level[:, limb] == top[limb]]
        if not len(level):
            return bool(rows.any(axis=1).all())
    return False


def random_limbs(count: int, bits: int) -> NDArray[np.uint64]:
    """`count` independent uniform integers below 2^bits from the operating system."""
    limbs = limbs_for(bits)
    words = np.frombuffer(secrets.token_bytes(8 * limbs * count), dtype=np.uint64)
    words = words.reshape(count, limbs).copy()
    if bits % LIMB_BITS:
        words[:, -1] &= np.uint64((1 << bits % LIMB_BITS) - 1)
    return words
