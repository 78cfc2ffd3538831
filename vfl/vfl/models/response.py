"""What a model makes of a label: targets to train on, predictions and metrics from scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl.data.table import check_binary_label, check_counts, check_numeric_label
from vfl.errors import DataError
from vfl.models import metrics
from vfl.models.families import GAUSSIAN, LOGISTIC, POISSON, SOFTMAX, balanced, normalised
from vfl.spec import (
    LinearRegression,
    LogisticRegression,
    MultinomialRegression,
    PoissonRegression,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.data.table import Table
    from vfl.models.families import Family
    from vfl.spec import ModelSpec

    Vector = NDArray[np.float64]

FAMILIES: dict[type[ModelSpec], Family] = {
    LogisticRegression: LOGISTIC, LinearRegression: GAUSSIAN, PoissonRegression: POISSON,
    MultinomialRegression: SOFTMAX,
}  # fmt: skip


@dataclass(frozen=True)
class Response:
    """How labels of one training table become targets.

    `values` are the negative and the positive class of a logistic regression, mean and spread of a
    linear one; `classes` the names of a multinomial one.
    """

    family: Family
    values: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: ModelSpec, table: Table) -> Response:
        """From the training rows. Raises `DataError` for a label the model cannot learn."""
        assert table.label is not None
        where = {"party": table.party, "source": table.source, "name": table.label_name or ""}
        family = FAMILIES[type(model)]
        if family is LOGISTIC:
            return cls(family, check_binary_label(table.label, **where)[1])
        if family is SOFTMAX:
            return cls(family, classes=_classes(table))
        check_numeric_label(table.label, **where)
        if family is POISSON:
            check_counts(table.label, **where)
            return cls(family)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, spread = float(table.label.mean()), float(table.label.std())
        if not np.isfinite(spread):
            raise DataError(
                f"{table.party}: label '{table.label_name}' of {table.source} is too large to be "
                "standardised; use a larger unit"
            )
        return cls(family, (mean, spread))

    def target(self, table: Table) -> Vector:
        """(n, k) of rows with known labels; a class that was not trained on has no ones."""
        label = table.label
        assert label is not None
        if self.family is LOGISTIC:
            return np.asarray(label == self.values[1], dtype=np.float64)[:, None]
        if self.family is SOFTMAX:
            names = [table.classes[int(place)] for place in label]
            return np.array([[n == one for one in self.classes] for n in names], dtype=np.float64)
        if self.family is GAUSSIAN:
            mean, spread = self.values
            return (label[:, None] - mean) / spread
        return label[:, None]

    def weight(self, model: ModelSpec, table: Table) -> Vector:
        """Row weights (n,) with mean 1: the table's times those of the classes."""
        n = len(table.ids)
        weight = np.ones(n) if table.weight is None else table.weight
        if not weight.any():
            raise DataError(
                f"{table.party}: all {n} training rows of {table.source} have the weight 0, so "
                "there is nothing to learn; check weight:"
            )
        by_class = getattr(model, "class_weight", None)
        if by_class is None:
            return normalised(weight)
        target = self.target(table)
        names = self.classes or tuple(f"{value:g}" for value in self.values)
        place = target.argmax(axis=1) if self.classes else target[:, 0].astype(int)
        if by_class == "balanced":
            return normalised(weight * balanced(place))
        if unknown := sorted(set(by_class) - set(names)):
            raise DataError(
                f"{table.party}: model.class_weight names {unknown[0]!r}; the classes of label "
                f"'{table.label_name}' are {', '.join(names)}: use these"
            )
        return normalised(weight * np.array([by_class.get(name, 1.0) for name in names])[place])

    def metrics(self, z: Vector, table: Table, weight: Vector | None = None) -> dict[str, float]:
        """How well scores (n, k) fit rows with known labels."""
        if self.family is GAUSSIAN:
            assert table.label is not None
            centre, spread = self.values
            return metrics.regression(table.label, centre + spread * z[:, 0])
        target = self.target(table)
        weight = np.ones(len(z)) if weight is None else weight
        deviance = self.family.deviance(z, target, weight)
        return metrics.metrics_of(self.family, z, target) | {"deviance": deviance}

    def predicted(self, z: Vector) -> tuple[tuple[str, ...], list[NDArray[np.generic]]]:
        """Names and columns (n,) of predictions from scores (n, k)."""
        mean = self.family.mean(z)
        if self.family is SOFTMAX:
            best = np.array(self.classes)[mean.argmax(axis=1)]
            return ("prediction", *(f"p({name})" for name in self.classes)), [best, *mean.T]
        if self.family is GAUSSIAN:
            centre, spread = self.values
            return ("prediction",), [centre + spread * mean[:, 0]]
        return ("prediction",), [mean[:, 0]]


def _classes(table: Table) -> tuple[str, ...]:
    assert table.label is not None
    found = np.unique(table.label).astype(int)
    if len(found) < 2:
        raise DataError(
            f"{table.party}: label '{table.label_name}' of {table.source} has one class in all "
            f"{len(table.ids)} training rows; check label:"
        )
    return tuple(table.classes[place] for place in found)
