"""POOLED PLAINTEXT: everybody's columns in one place, the very thing this program exists to avoid.

Only `vfl verify` and the benchmarks call this, on data whose owner holds all the files, to have the
answer that the encrypted run must reach. No protocol and no party may import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.data.table import Table


def pooled_table(
    tables: Sequence[Table],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Inner join by id, IN PLAINTEXT: X float64 (n, sum f), y float64 (n,), names "party.column".

    Rows are in the order of their ids as bytes; columns in the order of the tables. Missing values
    stay NaN. Raises `DataError` unless exactly one table holds a label and all share some ids.
    """
    labelled = [table for table in tables if table.label is not None]
    if len(labelled) != 1:
        raise DataError(
            f"{len(labelled)} of the {len(tables)} tables to pool hold a label; exactly one must: "
            "check label: of each party"
        )
    common = sorted(set.intersection(*(set(table.ids) for table in tables)))
    if not common:
        raise DataError(
            f"{', '.join(table.party for table in tables)} have no id in common; check id: of each "
            "party"
        )
    aligned = []
    label = np.empty(0)
    for table in tables:
        row_of = {name: row for row, name in enumerate(table.ids)}
        rows = table.take([row_of[name] for name in common])
        aligned.append(rows.values)
        if rows.label is not None:
            label = rows.label
    names = tuple(f"{table.party}.{name}" for table in tables for name in table.names)
    return np.hstack(aligned), label, names
