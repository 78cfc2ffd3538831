"""Data of the published shapes: one guest with labels, three hosts, rows to train on and held out.

The published tables are not ours to ship. A stand-in has the shape of one (arXiv 2207.11456, the
section on its setup): columns are mixtures of a few factors plus noise of their own, dealt to the
parties in random order, and the label is drawn from a logistic model of the factors, so often
positive as the published one is. No score can beat that model's own probabilities, whose AUC on the
held-out rows is told as the ceiling. Columns are scaled so that rows have unit length on average,
as those of Epsilon have: RMSProp at the published rate takes steps of fixed length in every weight,
and on hundreds of columns of variance 1 even a run on a clean network does not settle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import vfl
from vfl.data.pca import Projection, most_axes
from vfl.errors import DataError
from vfl.models import linear
from vfl.plaintext import pool
from vfl.spec import PcaSpec
from vfl_bench.tables import published
from vfl_scheduler.simulate import GUEST

Array = NDArray[np.float64]

HOSTS: Final = ("host 1", "host 2", "host 3")
PARTIES: Final = (GUEST, *HOSTS)

FACTORS: Final = 60  # that the columns have in common
NOISE: Final = 0.5  # standard deviation of a column's own part; of the common one, 1
LOGIT: Final = 2.0  # standard deviation of the logit
HELD_OUT: Final = 5_000  # rows of a stand-in, beside those to train on
TEST_FRACTION: Final = 0.2  # of the rows of a real table


@dataclass(frozen=True)
class Shape:
    """Training rows, columns of guest and hosts, rows of a batch (None: one batch of all)."""

    name: str
    rows: int
    widths: tuple[int, ...]
    batch: int | None
    positives: float = 0.5  # part of the rows

    @property
    def batches(self) -> tuple[int, ...]:
        """Rows of each, as a job cuts them."""
        return tuple(s.stop - s.start for s in linear.batches(self.rows, self.batch))

    def scaled(self, factor: float) -> Shape:
        """Rows, columns and batch times a factor: the same number of batches."""
        batch = self.batch and round(self.batch * factor)
        return replace(self.narrowed(factor), rows=round(self.rows * factor), batch=batch)

    def narrowed(self, ratio: float) -> Shape:
        """Of every party's columns so many, as PCA keeps them."""
        widths = tuple(most_axes(PcaSpec(ratio=ratio), width) for width in self.widths)
        return replace(self, widths=widths)


MIMIC: Final = Shape("mimic-iii", 14_681, (114, 200, 200, 200), 1024, 0.135)
EPSILON: Final = Shape("epsilon", 5_000, (200, 600, 600, 600), None)


@dataclass(frozen=True)
class Data:
    """What the parties of a shape hold.

    train, held_out  party -> X float64 (rows, columns), scaled by the training rows
    label            of the training rows, (n,) in {-1, +1}
    positive         of the held-out rows, bool (m,)
    ceiling          the AUC of the true probabilities there; None where nobody knows them
    """

    shape: Shape
    train: dict[str, Array]
    held_out: dict[str, Array]
    label: Array
    positive: NDArray[np.bool_]
    ceiling: float | None = None


def stand_in(shape: Shape, seed: int = 0) -> Data:
    """Generated data of that shape, the same for the same seed."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng([seed, *shape.name.encode()])
    rows, columns = shape.rows + HELD_OUT, sum(shape.widths)
    factors = rng.standard_normal((rows, FACTORS))
    loadings = rng.standard_normal((FACTORS, columns)) / np.sqrt(FACTORS)
    X = factors @ loadings + NOISE * rng.standard_normal((rows, columns))
    direction = rng.standard_normal(FACTORS)
    logit = factors @ (direction * LOGIT / np.linalg.norm(direction))
    logit -= np.quantile(logit - rng.logistic(size=rows), 1 - shape.positives)
    label = np.where(rng.random(rows) < linear.sigmoid(logit), 1.0, -1.0)
    ceiling = roc_auc_score(label[shape.rows :] > 0, logit[shape.rows :])
    X = _standardised(X[:, rng.permutation(columns)], shape.rows) / np.sqrt(columns)
    return _dealt(shape, X, label, float(ceiling))


def real(folder: Path, name: str, batch: int | None = 1024) -> Data:
    """NAME_hetero_guest.csv and NAME_hetero_host.csv as four parties, a fifth of the rows held out.

    The guest keeps the label and the first two fifths of its columns; the others are host 1's; the
    halves of the host's file are host 2's and host 3's. Raises `DataError`.
    """
    parties = published(folder, name).parties()
    found = pool(
        vfl.JobSpec(parties=parties, model=vfl.LogisticRegression(), test_fraction=TEST_FRACTION)
    )
    mine, theirs = (part.stop - part.start for part in found.columns.values())
    kept, half = round(mine * 2 / 5), theirs // 2
    widths = (kept, mine - kept, half, theirs - half)
    if min(widths) < 1:
        raise DataError(f"{folder}: {name} has too few columns for a guest and three hosts")
    label = np.where(found.y == found.y.max(), 1.0, -1.0)
    return _dealt(Shape(name, found.train, widths, batch), found.X, label, None)


def compressed(data: Data, ratio: float) -> Data:
    """Every party's columns on so many of their leading principal axes."""
    train, held_out = {}, {}
    for name, X in data.train.items():
        projection = Projection.fit(X, PcaSpec(ratio=ratio), name)
        train[name] = projection.compress(X)
        held_out[name] = projection.compress(data.held_out[name])
    widths = tuple(X.shape[1] for X in train.values())
    return replace(data, shape=replace(data.shape, widths=widths), train=train, held_out=held_out)


def _standardised(X: Array, train: int) -> Array:
    known = X[:train]
    return np.asarray((X - known.mean(axis=0)) / known.std(axis=0))


def _dealt(shape: Shape, X: Array, label: Array, ceiling: float | None) -> Data:
    """Columns handed to the parties one after the other."""
    parts = dict(zip(PARTIES, np.split(X, np.cumsum(shape.widths)[:-1], axis=1), strict=True))
    n = shape.rows
    train = {name: np.ascontiguousarray(part[:n]) for name, part in parts.items()}
    held_out = {name: np.ascontiguousarray(part[n:]) for name, part in parts.items()}
    return Data(shape, train, held_out, label[:n], label[n:] > 0, ceiling)
