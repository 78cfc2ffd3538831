"""One party's block of the fixed Hessian, turned into coordinates in which a step needs no matrix.

For columns X (n, f) of one of P parties, a curvature bound c and a ridge l2, the objective's
Hessian over all columns is at most the block diagonal of H_p = P c X'X / n + l2 I: columns of
different parties are not orthogonal, but (a_1 + ... + a_P)^2 <= P (a_1^2 + ... + a_P^2). A step
w <- w - H_p^-1 g_p of all parties at once therefore never raises the objective (Boehning and
Lindsay 1988; block-wise as in Beck and Tetruashvili 2013).

On shares, H_p^-1 would cost a product more. With X'X / n = V diag(s^2) V' and w = B u,

    B = V diag((s^2 + l2 / P c)^-1/2),    B' H_p B = P c I,    l2 B'B diagonal,

the same step is u <- u - X~'d / (n P c) - (l2 / P c) B'B u with X~ = X B, whose columns are
orthogonal and at most 1 in root mean square: one fixed point serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CUTOFF = 1e-10
"""Eigenvalues of X'X below this part of the largest count as zero.

Rounding moves them by some 1e-15 of the largest, so what stays is known to 1e-5 of itself, and no
weight is more than 1e5 times as sensitive to a noisy gradient as another.
"""


@dataclass(frozen=True)
class Whitening:
    """columns (n, r) = X basis, basis (f, r), bound = P c, ridge (r,) of l2 basis'basis / bound.

    r <= min(n, f): directions in which X does not vary are left out. Their weights are zero, as
    in the solution of least norm and in any with a ridge.
    """

    columns: Array
    ridge: Array
    basis: Array
    bound: float

    @classmethod
    def fit(cls, X: Array, curvature: float, blocks: int, l2: float) -> Whitening:
        """Of finite columns X (n, f), P = `blocks`. Raises `DataError` as `_eigen` does."""
        squares, V = _eigen(X)
        bound = blocks * curvature
        basis = V * (squares + l2 / bound) ** -0.5
        return cls(X @ basis, l2 / bound * (basis**2).sum(axis=0), basis, bound)

    def weights(self, u: Array) -> Array:
        """Weights (f, k) of the columns at coordinates (r, k)."""
        return np.asarray(self.basis @ u)

    def step(self, u: Array, residual: Array) -> Array:
        """(r, k) at coordinates (r, k), of weighted residuals (n, k)."""
        scaled = residual / (len(residual) * self.bound)
        return np.asarray(self.columns.T @ scaled + self.ridge[:, None] * u)

    def coordinates(self, w: Array) -> Array:
        """Coordinates (r, k) of weights (f, k), less what they have outside the basis."""
        lengths = (self.basis**2).sum(axis=0)
        return np.asarray((self.basis.T @ w) / lengths[:, None])


@dataclass(frozen=True)
class OwnBlock:
    """The block of the party that sees all scores: in the clear, so plain weights and a matrix.

    columns (n, f) with ones last where there is an intercept, ridge (f,), inverse (f, f).
    """

    columns: Array
    ridge: Array
    inverse: Array

    @classmethod
    def fit(cls, X: Array, curvature: float, blocks: int, l2: float, intercept: bool) -> OwnBlock:
        """Of finite columns X (n, f), P = `blocks`; the intercept has no ridge.

        The inverse is H_A's on the directions in which H_A, scaled to a unit diagonal, is above
        `CUTOFF` of its largest eigenvalue, and zero elsewhere.
        """
        _check_finite(X)
        ridge = np.full(X.shape[1], float(l2))
        if intercept:
            X, ridge = np.column_stack([X, np.ones(len(X))]), np.append(ridge, 0.0)
        H = blocks * curvature * (X.T @ X) / len(X) + np.diag(ridge)
        diagonal = np.diag(H)
        scale = np.where(diagonal > 0, diagonal, 1.0) ** -0.5
        inverse = np.linalg.pinv(H * np.outer(scale, scale), rcond=CUTOFF, hermitian=True)
        return cls(X, ridge, inverse * np.outer(scale, scale))

    def gradient(self, w: Array, residual: Array) -> Array:
        """(f, k) at weights (f, k), of weighted residuals (n, k)."""
        return np.asarray(self.columns.T @ residual / len(residual) + self.ridge[:, None] * w)

    def step(self, w: Array, residual: Array) -> Array:
        """(f, k): the gradient in the metric of the bounding Hessian."""
        return np.asarray(self.inverse @ self.gradient(w, residual))

    def penalty(self, w: Array) -> float:
        """l2 / 2 times the squared weights (f, k) without the intercept's."""
        return float(self.ridge @ (w**2).sum(axis=1)) / 2

    def slope(self, w: Array, to: Array) -> float:
        """Derivative of the penalty at weights w (f, k) along the way to others."""
        return float(self.ridge @ (w * (to - w)).sum(axis=1))


def _eigen(X: Array) -> tuple[Array, Array]:
    """Eigenvalues (r,) above the cutoff, smallest first, and eigenvectors (f, r) of X'X / n.

    Raises `DataError` where X has entries that are not finite, or a column so much smaller than
    the others that it would be taken for zero.
    """
    _check_finite(X)
    n, f = X.shape
    if not X.any():
        return np.zeros(0), np.zeros((f, 0))
    squares, V = np.linalg.eigh(X @ X.T / n if n < f else X.T @ X / n)
    kept = squares > CUTOFF * squares[-1]
    sizes = (X**2).mean(axis=0)
    lost = np.flatnonzero((sizes > 0) & (sizes <= CUTOFF * squares[-1]))
    if lost.size:
        raise DataError(
            f"column {lost[0] + 1} of {f} has less than {CUTOFF**0.5:.0e} of the size of the "
            "others and would be lost to rounding; set scale: standard for this party"
        )
    squares, V = squares[kept], V[:, kept]
    return squares, X.T @ V * (n * squares) ** -0.5 if n < f else V


def _check_finite(X: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(X).all(axis=0))
    if bad.size:
        raise DataError(
            f"column {bad[0] + 1} of {X.shape[1]} has entries that are not finite; set impute or "
            "correct the file"
        )
