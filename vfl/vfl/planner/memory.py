"""How many bytes of memory a data party needs, by what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfl.planner.ciphers import Batch, Cipher
    from vfl.planner.shape import Shape

TEXT_CELL: Final = 150
"""Of a cell of text while its file is read: the file's text, a string, what points at it."""


def data_memory(
    shape: Shape, name: str, cipher: Cipher, batches: Iterable[Batch], tiles: int, *, text: bool
) -> dict[str, int]:
    """Of one party; `peak` is the most at one time, reading or training.

    The table is there as read, in joint order and preprocessed; a lattice keeps it as integers too.
    """
    columns = shape.columns[name]
    table = 8 * columns * (shape.rows[name] + 2 * shape.joint)
    parts = {
        "table": table,
        "matrix": 8 * columns * shape.train * (2 if tiles else 1),
        "tiles": tiles,
        "ciphertexts": max(batch.working for batch in batches),
        "keys": cipher.key.memory,
    }
    reading = TEXT_CELL * shape.rows[name] * (columns + 1) if text else 0
    return parts | {"peak": max(sum(parts.values()), table + reading)}
