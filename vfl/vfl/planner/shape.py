"""The public sizes on which the cost of a job depends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from vfl.data.pca import most_axes
from vfl.models import chebyshev, linear
from vfl.protocols.guards import ScoreBudget
from vfl.protocols.open import most_epochs
from vfl.spec import MultinomialRegression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.context import Roster
    from vfl.planner.counting import Size
    from vfl.spec import JobSpec

ROWS: Final = 10_000
"""Rows of a table that cannot be counted here."""

COLUMNS: Final = 20
"""Columns of a party that does not name its own and whose table is elsewhere."""

CLASSES: Final = 3
"""Classes of a label that cannot be read here."""


@dataclass(frozen=True)
class Shape:
    """A job's sizes, read or assumed. One epoch of a level on shares is a round."""

    roster: Roster
    rows: Mapping[str, int]  # of each data party's table
    columns: Mapping[str, int]  # that train, the active party's of ones included (`ones_of`)
    joint: int
    batches: tuple[int, ...]  # training rows of each
    epochs: int  # at most, in one fit
    assumed: tuple[str, ...] = ()  # what was not read, in words
    outputs: int = 1  # scores a row
    fits: int = 1  # one, and one for each fold of a cross-validation
    warm: bool = False  # the last fit starts from weights
    opened: int = 0  # vectors of training scores, by the runs that it starts from
    before: Mapping[str, int] = field(
        default_factory=dict
    )  # columns in a table, where pca has fewer

    def read(self, name: str) -> int:
        """Columns of a party's table."""
        return self.before.get(name, self.columns[name])

    @property
    def train(self) -> int:
        return sum(self.batches)

    @property
    def held_out(self) -> int:
        return self.joint - self.train

    @property
    def ranks(self) -> dict[str, int]:
        """Independent columns of each passive party, at most: centred ones, and at least one."""
        most = self.train - 1
        return {name: max(1, min(self.columns[name], most)) for name in self.roster.passives}

    @property
    def vectors(self) -> int:
        """Scores of a row and round that do not follow from the others (`protocols.shared`)."""
        return max(1, self.outputs - 1)


def shape_of(job: JobSpec, tables: Mapping[str, Size], opened: int = 0) -> Shape:
    """The sizes of a checked job, from those tables that are on this machine.

    `opened`: vectors of training scores, by the runs that a warm start continues.
    """
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
    joint = min(rows.values())
    if job.level != "arbiter":
        assumed.append("all columns of a party are independent")
    assumed.append(f"{joint:,} rows are common to all tables: as many as can be")
    train, _ = linear.split(joint, job.test_fraction)
    before = {name: columns[name] for name in columns if job.party(name).pca}
    for name, width in before.items():
        pca = job.party(name).pca
        columns[name] = min(most_axes(pca, width), max(1, train.stop - 1))
        fewer = "as many vary" if pca and pca.ratio else "or fewer"
        assumed.append(f"{name}: pca makes {columns[name]} columns of {width}, {fewer}")
    columns[roster.active] += ones_of(job)
    slices = linear.batches(max(1, train.stop), job.model.batch_size)
    outputs = 1
    if isinstance(job.model, MultinomialRegression):
        found = tables[roster.active].classes if roster.active in tables else 0
        outputs = found or CLASSES
        if not found:
            assumed.append(f"the label has {outputs} classes, for it cannot be counted here")
    shape = Shape(
        roster, rows, columns, joint, tuple(s.stop - s.start for s in slices), 1, tuple(assumed),
        outputs, 1 + (job.folds or 0), job.warm_start is not None, opened, before,
    )  # fmt: skip
    return replace(shape, epochs=epochs_of(job, shape))


def ones_of(job: JobSpec) -> bool:
    """Whether the active party has a column of ones: sealed parties centre their columns."""
    return job.model.intercept and job.level != "sealed"


def epochs_of(job: JobSpec, shape: Shape) -> int:
    """Of one fit at most: as asked, or on shares what the budget of opened scores allows."""
    if job.level == "arbiter":
        return job.model.descent.epochs
    if job.level == "sealed":
        return job.model.epochs or chebyshev.ROUNDS
    budget = ScoreBudget(job.accept_score_leak, shape.opened)
    columns = sum(shape.ranks.values())
    if job.level == "open":
        return most_epochs(job.model, budget, columns, shape.outputs, len(shape.batches))
    return budget.rounds(job.model.epochs, columns, shape.vectors, shape.fits, shape.warm)
