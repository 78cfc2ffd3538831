"""One-hot columns for a party's categories, fitted on its training rows.

A column with k kept levels becomes k - 1 columns of zeros and ones, and one more, "other", for all
that is not kept; the most frequent level is the reference and has none. Why not k columns:

- centred, k of them add up to zero. Without a ridge the weights would not be determined, and no
  curvature of the columns could be factorised. With a ridge they would be; the k - 1 then shrink
  towards the reference, which the most frequent level bears best.
- both span the same space, so leverages are equal, but each column opens 16 bits more per gradient.

A level is kept if every batch of the training rows has at least `min_rows` rows of it, and it is
among the `max_levels` most frequent. Its rows' leverage in its column is then at most 1 / min_rows,
and a gradient opens no sum over fewer rows of it. (With ten rows or more the leverage guard,
`vfl.protocols.guards`, has nothing against the column; what stays opened is that sum.)

A missing cell is a level like any other: being missing often means something. A level that was not
kept, or that training never saw, counts as "other"; where the training rows of all those together
are too few for a column, as the reference. A column of one level has no columns, and no influence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vfl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.data.table import Table

MISSING = ""  # the name of the level of missing cells: no text is empty


class Coding(msgspec.Struct, frozen=True):
    """How one column becomes columns. Private to its party: levels are contents of cells."""

    column: str
    levels: tuple[str, ...]  # kept, the reference first
    other: bool  # whether "other" has a column, the last

    @property
    def width(self) -> int:
        return len(self.levels) - 1 + self.other


def fit_codings(
    table: Table, batches: Sequence[slice], *, min_rows: int, max_levels: int
) -> list[Coding]:
    """One coding for each column of categories, from the rows of `table` in `batches`.

    Raises `DataError` with the column's name and counts where no level has enough rows.
    """
    return [
        _fit(table, table.names.index(column), batches, min_rows, max_levels)
        for column in table.levels
    ]


def encode(table: Table, codings: Sequence[Coding]) -> tuple[NDArray[np.float64], list[str]]:
    """The values of `table` with categories as zeros and ones, float64 (n, g), C-contiguous.

    Beside them, for each column, the name of that of the table which it is from: no level's name.
    Any table with the columns that the codings were fitted on will do, whatever its levels.
    """
    if not codings:
        return table.values, list(table.names)
    coding_of = {coding.column: coding for coding in codings}
    parts, origins = [], []
    for name, values in zip(table.names, table.values.T, strict=True):
        part = values[:, None]
        if name in coding_of:
            part = _indicators(values, table.levels[name], coding_of[name])
        parts.append(part)
        origins += [name] * part.shape[1]
    return np.hstack(parts), origins


def _fit(
    table: Table, position: int, batches: Sequence[slice], min_rows: int, max_levels: int
) -> Coding:
    column = table.names[position]
    names = (*table.levels[column], MISSING)
    codes = _places(table.values[:, position], len(names) - 1)
    counts = np.array([np.bincount(codes[rows], minlength=len(names)) for rows in batches])
    total, fewest = counts.sum(axis=0), counts.min(axis=0)
    frequent = sorted(np.flatnonzero(fewest >= min_rows), key=lambda k: (-total[k], names[k]))
    kept = frequent[:max_levels]
    if not kept:
        raise DataError(
            f"{table.party}, {table.source}: column '{column}' has {np.count_nonzero(total)} "
            f"categories in {total.sum()} rows, and none of them in {min_rows} rows of every "
            f"batch; drop: [{column}], or lower min_rows in encode:"
        )
    rest = np.delete(counts, kept, axis=1).sum(axis=1)
    levels = (names[kept[0]], *sorted(names[k] for k in kept[1:]))
    return Coding(column, levels, bool(rest.min() >= min_rows))


def _indicators(
    values: NDArray[np.float64], levels: Sequence[str], coding: Coding
) -> NDArray[np.float64]:
    """(n, width), from codes (n,) that count in `levels`."""
    unknown = len(coding.levels) if coding.other else 0
    place = {name: k for k, name in enumerate(coding.levels)}
    place_of = np.array([place.get(name, unknown) for name in (*levels, MISSING)])
    places = place_of[_places(values, len(levels))]
    return np.asarray(places[:, None] == np.arange(1, coding.width + 1), dtype=np.float64)


def _places(codes: NDArray[np.float64], missing: int) -> NDArray[np.intp]:
    return np.where(np.isnan(codes), missing, codes).astype(np.intp)
