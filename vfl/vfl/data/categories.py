"""Cells of a column of categories: places in a sorted list of level names.

text             without surrounding space, NFC
whole numbers    as for ids (`vfl.data.ids`): "7", "7.0", 7 and 7.0 are one level
truth values     "True", "False"
missing          None, NaN, empty text and `readers.MISSING_WORDS`: no level
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfl.data.ids import canonical_id
from vfl.data.readers import MISSING_WORDS, numbers
from vfl.errors import DataError

_MISSING_TYPES = {"NoneType", "NAType", "NaTType"}


def is_text(cells: Any) -> bool:
    """Whether every cell that is not missing holds text that is no number, and one does."""
    if getattr(getattr(cells, "dtype", None), "kind", "O") not in "OTU":
        return False
    words: set[str] = set()
    for cell in cells:  # a column of numbers is known by its first
        if (isinstance(cell, str) and cell in words) or _is_missing(cell):
            continue
        if not isinstance(cell, str) or numbers([cell])[1] is None:
            return False
        words.add(cell)
    return bool(words)


def coded(cells: Any) -> tuple[NDArray[np.float64], tuple[str, ...], int | None]:
    """Codes float64 (n,), NaN where missing, the levels (k,), and the first cell without any.

    The first two mean nothing where a cell cannot be a category.
    """
    level_of: dict[tuple[type, object], str | None] = {}
    names = []
    for index, cell in enumerate(cells):
        key = (type(cell), cell)  # True and 1 are equal
        try:
            if key not in level_of:
                level_of[key] = None if _is_missing(cell) else _level(cell)
        except (DataError, TypeError):
            return np.full(len(cells), np.nan), (), index
        names.append(level_of[key])
    levels = tuple(sorted({name for name in level_of.values() if name is not None}))
    code: dict[str | None, float] = {name: float(place) for place, name in enumerate(levels)}
    code[None] = np.nan
    return np.fromiter(map(code.__getitem__, names), np.float64, len(names)), levels, None


def _is_missing(cell: object) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING_WORDS
    if isinstance(cell, (float, np.floating)):
        return math.isnan(cell)
    return type(cell).__name__ in _MISSING_TYPES


def _level(cell: object) -> str:
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    return canonical_id(cell).decode()
