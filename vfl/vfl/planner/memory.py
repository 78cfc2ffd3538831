"""How many bytes of memory a data party needs, by what is in them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vfl.planner.shape import Shape

TEXT_CELL: Final = 150
"""Of a cell of text while its file is read: the file's text, a string, what points at it."""


def data_memory(
    shape: Shape, name: str, *, matrix: int, tiles: int, ciphertexts: int, keys: int, text: bool
) -> dict[str, int]:
    """Of one party; `peak` is the most at one time, reading or training.

    The table is there as read, in joint order and preprocessed; `matrix` is what else is made of
    it, `tiles` what the cipher makes of that and keeps.
    """
    columns = shape.read(name)
    table = 8 * columns * (shape.rows[name] + 2 * shape.joint)
    parts = {
        "table": table, "matrix": matrix, "tiles": tiles, "ciphertexts": ciphertexts, "keys": keys
    }  # fmt: skip
    reading = TEXT_CELL * shape.rows[name] * (columns + 1) if text else 0
    return parts | {"peak": max(sum(parts.values()), table + reading)}


def memory_here() -> int:
    """Bytes of this machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
