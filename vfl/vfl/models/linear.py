"""Coordinated linear models: residuals that are linear in the score, so that they stay encrypted.

Linear regression       loss (z - y)^2 / 2                      residual  z - y
Logistic regression     log(1 + exp(-y z)), y in {-1, +1}, replaced by its second-order expansion
                        log 2 - y z / 2 + z^2 / 8               residual  z / 4 - y / 2
                        (Hardy et al. 2017, arXiv 1711.10677, section 4.1)

so residual = slope * z - target, and z = sum of all parties' scores X_p theta_p.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from vfl.spec import LogisticRegression, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST = 1 << 16
"""Rows of a batch where the job does not say; a batch has fewer than twice as many."""


def slope(model: ModelSpec) -> float:
    return 0.25 if isinstance(model, LogisticRegression) else 1.0


def target(model: ModelSpec, label: NDArray[np.float64]) -> NDArray[np.float64]:
    """The constant part of the residual from labels in {-1, +1} or standardised labels."""
    return label / 2 if isinstance(model, LogisticRegression) else label


def batches(rows: int, size: int | None) -> list[slice]:
    """Fixed, contiguous, nearly equal batches of at least `size` rows (one if there are fewer).

    Without a size: one batch, or of at least `LARGEST` rows, which every cipher can sum over.
    """
    count = max(1, rows // (size or LARGEST))
    edges = [round(rows * i / count) for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def split(rows: int, test_fraction: float) -> tuple[slice, slice]:
    """(training rows, held-out rows) of a table whose order is already random."""
    held_out = round(rows * test_fraction)
    return slice(0, rows - held_out), slice(rows - held_out, rows)


def sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -500.0, 500.0))))
