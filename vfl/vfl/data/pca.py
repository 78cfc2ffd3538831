"""A party's columns as fewer: their projection onto the leading principal axes (Pearson 1901).

With an opened or a masked gradient the work and the bytes of a step are linear in the columns, so a
party may train on k < n of them (arXiv 2207.11456, the section on PCA, under the name of dynamic
feature selection; there in every step and with the pseudo-inverse of W, which is W'). For scaled
columns x (n,), their means c over the training rows, and W (k, n) with orthonormal rows,

    z = W (x - c),    z'theta = x' W'theta - c' W'theta,

so a step on theta (k,) is the step W'(W g) on weights W'theta of all n columns, and these are the
model whenever they are asked for. As rows are orthonormal, the ridge on theta is that on W'theta.

W is fitted once, by its party alone, on its training rows, and never leaves it: means and second
moments of its people are in it. Columns of large spread lead: with `scale: standard` all have the
same, with `scale: none` those in small units drop out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from vfl.data.preprocess import ROUNDING, constant_columns
from vfl.errors import DataError
from vfl.models.whitening import CUTOFF

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.spec import PcaSpec

    Array = NDArray[np.float64]

LARGEST = 1e150  # whose square is a float


class Projection(msgspec.Struct, frozen=True):
    """x -> W (x - c). Private to its party; plain JSON, every float comes back bit for bit."""

    axes: list[list[float]]  # W (k, n): orthonormal rows, the largest variance first
    centre: list[float]  # c (n,)
    explained: float  # part of the training rows' variance that is kept

    def __post_init__(self) -> None:
        if any(len(axis) != len(self.centre) for axis in self.axes):
            raise ValueError("the stored projection is damaged: its axes differ in length")

    @classmethod
    def fit(cls, X: Array, spec: PcaSpec, party: str) -> Self:
        """Fit on the training rows X float64 (m, n), finite, m >= 1.

        k is at most the rank, which counts axes whose variance is above `CUTOFF` of the largest
        one's: those that the levels on shares can tell from rounding. The first of an axis's
        largest entries is positive. Raises `DataError` for values whose squares are no floats.
        """
        if np.abs(X).max(initial=0.0) > LARGEST:
            raise DataError(
                f"{party}: a column is too large for pca; use another unit, or scale: standard"
            )
        centre = X.mean(axis=0)
        centred = np.where(constant_columns(X), 0.0, X - centre)
        if not centred.any():
            return cls([], centre.tolist(), 0.0)
        # R of at most n rows has the singular values and right vectors of all m.
        R = np.linalg.qr(centred, mode="r")
        _, singular, axes = np.linalg.svd(R, full_matrices=False)
        squares = (singular / singular[0]) ** 2
        reached = np.cumsum(squares) / squares.sum()
        k = most_axes(spec, X.shape[1])
        if spec.variance is not None:
            k = 1 + int(np.count_nonzero(reached < spec.variance - ROUNDING))
        k = min(k, int(np.count_nonzero(squares > CUTOFF)))
        sizes = np.abs(axes[:k])
        first = (sizes > 0.999 * sizes.max(axis=1, keepdims=True)).argmax(axis=1)
        W = axes[:k] * np.sign(axes[np.arange(k), first])[:, None]
        return cls(W.tolist(), centre.tolist(), float(reached[k - 1]))

    @property
    def matrix(self) -> Array:
        """W float64 (k, n)."""
        return np.array(self.axes).reshape(len(self.axes), len(self.centre))

    def compress(self, X: Array) -> Array:
        """z of rows x: (m, k) of (m, n), C-contiguous."""
        return np.ascontiguousarray((X - np.array(self.centre)) @ self.matrix.T)

    def expand(self, weights: Array, intercept: Array) -> tuple[Array, Array]:
        """Weights (n, p) and own intercepts (p,) that score x as theirs (k, p), (p,) score z."""
        full = self.matrix.T @ weights
        return full, intercept - np.array(self.centre) @ full

    def restrict(self, weights: Array, intercept: Array) -> tuple[Array, Array]:
        """(k, p), (p,): what `expand` makes into these (n, p), (p,), or the nearest weights."""
        kept = self.matrix @ weights
        return kept, intercept + np.array(self.centre) @ self.matrix.T @ kept


def most_axes(spec: PcaSpec | None, columns: int) -> int:
    """How many columns are left of so many, if they are independent; a bound for `variance`."""
    if spec is None or spec.ratio is None:
        return columns
    return min(columns, max(1, round(spec.ratio * columns)))
