"""The public sizes on which the cost of a job depends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vfl.models import linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.context import Roster
    from vfl.planner.counting import Size
    from vfl.spec import JobSpec

ROWS: Final = 10_000
"""Rows of a table that cannot be counted here."""

COLUMNS: Final = 20
"""Columns of a party that does not name its own and whose table is elsewhere."""


@dataclass(frozen=True)
class Shape:
    """A job's sizes, read or assumed."""

    roster: Roster  # with an arbiter
    rows: Mapping[str, int]  # of each data party's table
    columns: Mapping[str, int]  # features, the intercept of the active party included
    joint: int
    batches: tuple[int, ...]  # training rows of each
    epochs: int
    assumed: tuple[str, ...] = ()  # what was not read, in words

    @property
    def train(self) -> int:
        return sum(self.batches)

    @property
    def held_out(self) -> int:
        return self.joint - self.train

    @property
    def arbiter(self) -> str:
        assert self.roster.arbiter is not None  # a checked job names one
        return self.roster.arbiter


def shape_of(job: JobSpec, tables: Mapping[str, Size]) -> Shape:
    """The sizes of a checked job, from those tables that are on this machine."""
    roster = job.roster
    known = {name: size.rows for name, size in tables.items()}
    usual = min(known.values(), default=ROWS)
    rows, columns, assumed = {}, {}, []
    for name in roster.data_parties:
        spec = job.party(name)
        rows[name] = known.get(name, usual)
        if name in tables:
            columns[name] = tables[name].features
            continue
        columns[name] = COLUMNS if spec.columns is None else len(spec.columns)
        guessed = "" if spec.columns is not None else f" and {columns[name]} columns"
        assumed.append(f"{name}: a table of {rows[name]:,} rows{guessed}, for it is not here")
    columns[roster.active] += job.model.intercept
    joint = min(rows.values())
    assumed.append(f"{joint:,} rows are common to all tables: as many as can be")
    train, _ = linear.split(joint, job.test_fraction)
    slices = linear.batches(max(1, train.stop), job.model.batch_size)
    return Shape(
        roster, rows, columns, joint, tuple(s.stop - s.start for s in slices),
        job.model.descent.epochs, tuple(assumed),
    )  # fmt: skip
