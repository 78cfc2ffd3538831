"""What must hold before a gradient is opened, checked by each party on its own columns.

An opened gradient X^T d is f equations in the residuals of its n rows, each known to 16 bits.

- A row with a direction of its own can be read off: the leverage h_i = x_i (X^T X)^-1 x_i^T is the
  share of row i's residual that the columns can isolate (2205.04166 describes the case h_i = 1).
- Labels are few bits each, so few rows can be solved for even where no row stands out: 16 f bits
  about n labels leave one solution if they are many more, and lattice reduction finds it. So no
  more bits are opened than there are rows.
- Gradients of batches that differ in a few rows differ by what those rows add.

What stays: a sum over any group that a column marks is opened. A group of three is three rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import SecurityError
from vfl.spec import MIN_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_LEVERAGE = 0.5
MAX_ROUNDS = 100  # of one fit on shares, where neither the job nor the budget says less
OPENED_BITS = 16  # significant bits of an opened gradient


def leverage(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """h_i (n,) of each row of X (n, f), on the numerical column space of X."""
    U, singular, _ = np.linalg.svd(X, full_matrices=False)
    if not singular.size or singular[0] == 0.0:
        return np.zeros(len(X))
    rank = singular > singular[0] * max(X.shape) * np.finfo(np.float64).eps
    return np.asarray((U[:, rank] ** 2).sum(axis=1))


def opened_bits(outputs: int = 1, steps: int = 1) -> int:
    """Bits of a column that are opened about the residuals of a batch.

    Gradients on the same residuals differ by what the party knows: they are one gradient rounded at
    `steps` offsets, which tell in which of as many parts of a quantum an entry lies.
    """
    return (OPENED_BITS + (steps - 1).bit_length()) * max(1, outputs - 1)


def check_gradient_leak(
    party: str,
    X: NDArray[np.float64],
    batches: Sequence[slice],
    *,
    matrix_bits: int = 16,
    reshuffled: bool,
    accepted: bool,
    outputs: int = 1,
    steps: int = 1,
) -> None:
    """Refuse batches that change, are small, or in which a row has leverage above 1/2.

    X (n, f) are the party's own training columns, of which the cipher keeps `matrix_bits` fraction
    bits (by default Paillier's). A gradient is opened for each of the `outputs`, of which one
    follows from the others, and up to `steps` times on the same residuals. Raises `SecurityError`
    with counts, no rows.
    """
    if accepted:
        return
    if reshuffled:
        raise SecurityError(
            f"{party}: model.reshuffle would open gradients of batches that differ in few rows; "
            "leave it out, or set accept_gradient_leak: true"
        )
    X = np.rint(np.ldexp(X, matrix_bits))  # what a cipher multiplies by: small entries are 0
    for index, rows in enumerate(batches):
        size = rows.stop - rows.start
        if size < MIN_BATCH and len(batches) > 1:
            raise SecurityError(
                f"batch {index} has {size} rows; gradients of fewer than {MIN_BATCH} rows are not "
                "opened unless the batch is the whole table. Raise model.batch_size, "
                "or set accept_gradient_leak: true"
            )
        high = int((leverage(X[rows]) > MAX_LEVERAGE).sum())
        if high:
            raise SecurityError(
                f"{party}: {high} of {size} rows in batch {index} have a leverage above "
                f"{MAX_LEVERAGE} in this party's own {X.shape[1]} columns, so the opened gradient "
                "would show their residuals and with them their labels. Drop rare or heavy-tailed "
                "columns, use more rows, or set accept_gradient_leak: true"
            )
        bits = opened_bits(outputs, steps)
        if bits * X.shape[1] > size:
            raise SecurityError(
                f"{party}: a gradient of {X.shape[1]} columns opens "
                f"{bits * X.shape[1]} bits about {size} rows, from which their labels can "
                f"be solved; use at least {bits} rows a column (more rows, a larger "
                "model.batch_size, or fewer columns), or set accept_gradient_leak: true"
            )


def check_coefficient_leak(
    party: str, X: NDArray[np.float64], *, intercept: bool, accepted: bool
) -> None:
    """Refuse rows whose label a party could read off its own coefficients at the end.

    These are a sum of gradients: a flag that one row has gets the sign of that row's residual, and
    as many columns as rows tell all residuals apart. X (n, f) are the party's own columns of the
    rows that train; an intercept, whose gradient is zero at the end, counts as one of them. Raises
    `SecurityError` with counts, no rows.
    """
    if accepted:
        return
    means = X.mean(axis=0) if intercept else np.zeros(X.shape[1])
    squares, V = np.linalg.eigh(X.T @ X / len(X) - np.outer(means, means))
    kept = squares > max(X.shape) * np.finfo(np.float64).eps * max(squares.max(initial=0.0), 0.0)
    basis = V[:, kept] * squares[kept] ** -0.5
    leverages = ((X @ basis - means @ basis) ** 2).sum(axis=1) / len(X) + intercept / len(X)
    high = int((leverages > MAX_LEVERAGE).sum())
    if high:
        raise SecurityError(
            f"{party}: {high} of {len(leverages)} rows have a leverage above {MAX_LEVERAGE} in "
            f"this party's own {X.shape[1]} columns, so its coefficients would show their labels. "
            "Drop rare or heavy-tailed columns, use more rows, or set accept_gradient_leak: true"
        )


@dataclass(frozen=True)
class ScoreBudget:
    """How many vectors of training scores the active party may learn.

    It knows every residual it sent, so the scores of a row over the rounds are equations in the
    passive parties' columns of that row: with as many rounds as columns they would be solved. So
    rounds, over all fits, are at most half of the passive parties' independent columns.
    """

    accepted: bool  # accept_score_leak
    opened: int = 0  # by earlier runs on the same rows: warm starts

    def rounds(self, asked: int | None, columns: int, vectors: int, fits: int, warm: bool) -> int:
        """Rounds of one fit: as asked, or as many as the budget allows."""
        if asked is not None or self.accepted:
            return asked or MAX_ROUNDS
        left = columns // 2 - self.opened - warm * vectors
        return max(1, min(MAX_ROUNDS, left // (fits * vectors)))

    def check(
        self, party: str, columns: int, vectors: int, fits: int, rounds: int, warm: bool
    ) -> int:
        """Vectors opened when all is done, earlier runs included; `vectors` a row and round.

        Raises `SecurityError`.
        """
        opened = self.opened + (fits * rounds + warm) * vectors
        if not self.accepted and 2 * opened > columns:
            ways = [
                *(["lower model.epochs"] if rounds > 1 else []),
                *(["use fewer folds"] if fits > 1 else []),
                *(["leave warm_start out"] if self.opened else []),
                *(["use a label of fewer classes"] if vectors > 1 else []),
                "bring more columns", "or set accept_score_leak: true",
            ]  # fmt: skip
            raise SecurityError(
                f"{party}: this job would open {opened} scores of each training row (rounds: "
                f"{rounds}, fits: {fits}, scores a round: {vectors}, in earlier runs: "
                f"{self.opened}), and the passive parties together have {columns} independent "
                "columns; with more than half as many scores these begin to show: "
                + ", ".join(ways)
            )
        return opened
