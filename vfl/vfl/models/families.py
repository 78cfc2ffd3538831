"""Generalised linear models by their exact links: what a row's score means, and what it costs.

    family      mean(z)         loss of a row                       curvature
    logistic    1/(1 + e^-z)    log(1 + e^z) - y z                  1/4
    gaussian    z               (z - y)^2 / 2 + log(2 pi) / 2       1
    poisson     e^z             e^z - y z + log y!                  unbounded; the mean count
    softmax     e^z / sum e^z   log sum e^z - y z, y one-hot        1/2 (Boehning 1992, section 2)

Links are canonical, so the derivative of the loss by the score is mean(z) - y (McCullagh and
Nelder 1989, section 2.5). Scores z and targets are float64 (n, k), k = 1 but for softmax; weights
are (n,) with mean 1 (`normalised`), so that weighted means over rows are `mean(weight * row)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import DataError, JobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


class Family(ABC):
    """A response distribution with its canonical link.

    `damped`: the second derivative has no bound, so a step of length one may be too long.
    """

    name: str
    damped = False
    _bound: float

    @abstractmethod
    def mean(self, z: Array) -> Array:
        """(n, k) of scores (n, k): values, probabilities or counts; inf where they overflow."""

    @abstractmethod
    def start(self, target: Array, weight: Array) -> Array:
        """(k,) scores of the best model without columns.

        Raises `DataError` for targets that are not this family's, or that have no such model.
        """

    @abstractmethod
    def _kernel(self, z: Array, target: Array) -> Array:
        """(n,) loss of each row, less the terms without z that `_base` has."""

    @abstractmethod
    def _saturated(self, target: Array) -> Array:
        """(n,) smallest kernel of each row over all scores."""

    def _base(self, target: Array) -> Array:
        return np.zeros(len(target))

    def curvature(self, target: Array, weight: Array) -> float:  # noqa: ARG002 - Poisson's reads it
        """Bound of the weighted loss's second derivative by the score; a guess where `damped`."""
        return self._bound * float(weight.max())

    def residual(self, z: Array, target: Array) -> Array:
        """Derivative (n, k) of each row's loss by its scores, before weights."""
        return self.mean(z) - target

    def loss(self, z: Array, target: Array, weight: Array) -> float:
        """Weighted mean negative log-likelihood; inf where it overflows, never NaN."""
        return _mean(lambda: self._kernel(z, target) + self._base(target), weight)

    def deviance(self, z: Array, target: Array, weight: Array) -> float:
        """Twice the weighted mean of what the saturated model gains in log-likelihood."""
        return 2.0 * _mean(lambda: self._kernel(z, target) - self._saturated(target), weight)


class _Logistic(Family):
    """Targets in [0, 1], usually 0 or 1."""

    name = "logistic"
    _bound = 0.25

    def mean(self, z: Array) -> Array:
        return np.asarray(np.exp(-np.logaddexp(0.0, -z)))

    def start(self, target: Array, weight: Array) -> Array:
        _check(np.all((target >= 0) & (target <= 1)), "labels outside 0 and 1")
        share = _average(target, weight)
        _check(np.all((share > 0) & (share < 1)), "labels of a single class")
        return np.log(share) - np.log1p(-share)

    def _kernel(self, z: Array, target: Array) -> Array:
        rows = target * np.logaddexp(0.0, -z) + (1 - target) * np.logaddexp(0.0, z)
        return np.asarray(rows[:, 0])

    def _saturated(self, target: Array) -> Array:
        return np.asarray(-(_xlogx(target) + _xlogx(1 - target))[:, 0])


class _Gaussian(Family):
    """Targets of unit variance around their mean; standardised labels come close."""

    name = "gaussian"
    _bound = 1.0

    def mean(self, z: Array) -> Array:
        return z

    def start(self, target: Array, weight: Array) -> Array:
        _check(np.isfinite(target).all(), "labels that are not finite")
        return _average(target, weight)

    def _kernel(self, z: Array, target: Array) -> Array:
        return np.asarray(((z - target) ** 2 / 2)[:, 0])

    def _saturated(self, target: Array) -> Array:
        return np.zeros(len(target))

    def _base(self, target: Array) -> Array:
        return np.full(len(target), math.log(2 * math.pi) / 2)


class _Poisson(Family):
    """Targets are counts, or other values that are not negative."""

    name = "poisson"
    damped = True

    def mean(self, z: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(z))

    def curvature(self, target: Array, weight: Array) -> float:
        """The weighted mean count: with an intercept, also the mean of e^z at the optimum."""
        return float(np.exp(self.start(target, weight)[0]))

    def start(self, target: Array, weight: Array) -> Array:
        _check(np.all((target >= 0) & np.isfinite(target)), "counts below zero or not finite")
        average = _average(target, weight)
        _check(np.all(average > 0), "counts that are all zero")
        return np.log(average)

    def _kernel(self, z: Array, target: Array) -> Array:
        return np.asarray((np.exp(z) - target * z)[:, 0])

    def _saturated(self, target: Array) -> Array:
        return np.asarray((target - _xlogx(target))[:, 0])

    def _base(self, target: Array) -> Array:
        return np.fromiter(map(math.lgamma, (target[:, 0] + 1).tolist()), np.float64, len(target))


class _Softmax(Family):
    """Targets (n, k) are one-hot, or shares that add up to one in each row."""

    name = "softmax"
    _bound = 0.5

    def mean(self, z: Array) -> Array:
        shifted = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def start(self, target: Array, weight: Array) -> Array:
        shares = np.all(target >= 0) and np.allclose(target.sum(axis=1), 1.0)
        _check(shares, "class shares that do not add up to one in each row")
        average = _average(target, weight)
        missing = ", ".join(map(str, np.flatnonzero(average <= 0)))
        _check(not missing, f"no row of class {missing}, counted from 0")
        logs = np.log(average)
        return np.asarray(logs - logs.mean())

    def _kernel(self, z: Array, target: Array) -> Array:
        below = z - z.max(axis=1, keepdims=True)
        return np.asarray(np.log(np.exp(below).sum(axis=1)) - (target * below).sum(axis=1))

    def _saturated(self, target: Array) -> Array:
        return np.asarray(-_xlogx(target).sum(axis=1))


LOGISTIC, GAUSSIAN, POISSON, SOFTMAX = _Logistic(), _Gaussian(), _Poisson(), _Softmax()


def family_of(name: str) -> Family:
    """The family of that name. Raises `JobError` for others."""
    known: dict[str, Family] = {f.name: f for f in (LOGISTIC, GAUSSIAN, POISSON, SOFTMAX)}
    if name not in known:
        raise JobError(f"no family is called '{name}'; there are {', '.join(known)}")
    return known[name]


def normalised(weight: ArrayLike) -> Array:
    """Weights (n,) divided by their mean. Raises `DataError` unless finite, >= 0, some above 0."""
    given = np.asarray(weight, np.float64)
    _check(np.all((given >= 0) & np.isfinite(given)), "row weights below zero or not finite")
    _check(given.any(), "row weights that are all zero")
    scaled = given / given.max()
    return np.asarray(scaled / scaled.mean())


def balanced(labels: ArrayLike) -> Array:
    """Weights (n,), mean 1, under which all classes of labels (n,) weigh the same."""
    classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray((place.size / (len(classes) * counts))[place])


def _average(target: Array, weight: Array) -> Array:
    return np.asarray(weight @ target / len(target))


def _mean(rows: Callable[[], Array], weight: Array) -> float:
    """Weighted mean over rows (n,); rows of weight zero do not count, NaN counts as inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.mean(np.where(weight > 0, rows() * weight, 0.0)))
    return math.inf if math.isnan(total) else total


def _xlogx(x: Array) -> Array:
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)))


def _check(holds: bool | np.bool_, found: str) -> None:
    if not holds:
        raise DataError(f"the label's party holds {found} among the training rows")
