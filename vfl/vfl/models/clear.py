"""Vertical generalised linear models in the clear, by the very steps that are taken on shares.

What a run on shares must reach up to its rounding: each passive block whitened, the active
party's own block with its intercept, accelerated steps of all blocks at once as `Controller`
decides them. Only tests, `vfl verify` and benchmarks may use it: it sees all columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl.models.iterate import PlainIterate
from vfl.models.nesterov import Advance, Controller, Stop, Trail
from vfl.models.whitening import OwnBlock, Whitening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.models.families import Family

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Weights own (f_A, k) and of each block (f_p, k), intercept (k,), scores (n, k).

    `losses`: the mean loss and the ridge of the own weights at each probe, the first at the
    start and the last at these weights. `rounds`: steps taken, back ones included.
    """

    own: Array
    blocks: list[Array]
    intercept: Array
    scores: Array
    losses: list[float]
    rounds: int
    converged: bool


def fit_blocks(
    blocks: Sequence[Array],
    own: Array,
    target: Array,
    weight: Array,
    family: Family,
    *,
    l2: float,
    intercept: bool = True,
    rounds: int = 100,
    tolerance: float = 1e-4,
) -> Fit:
    """Train on passive blocks (n, f_p) and the active party's own columns (n, f_A).

    target (n, k) and weight (n,) with mean 1, as `family` takes them. Raises `DataError` for
    columns that are not finite or would be lost, and for targets that the family refuses.
    """
    begin = family.start(target, weight)
    curvature, parties = family.curvature(target, weight), len(blocks) + 1
    A = OwnBlock.fit(own, curvature, parties, l2, intercept)
    others = [Whitening.fit(X, curvature, parties, l2) for X in blocks]
    own_start = np.zeros((len(A.ridge), len(begin)))
    if intercept:
        own_start[-1] = begin
    a = PlainIterate.at(own_start)
    us = [PlainIterate.at(np.zeros((len(W.ridge), len(begin)))) for W in others]
    controller = Controller(rounds, tolerance, family.damped)
    trail = Trail()
    losses: list[float] = []
    while True:
        z = A.columns @ a.v
        for W, u in zip(others, us, strict=True):
            z += W.columns @ u.v
        losses.append(family.loss(z, target, weight) + A.penalty(a.v))
        slope, movement, turn = trail.motion(z)
        move = controller.decide(losses[-1], slope + A.slope(a.start, a.v), movement, turn=turn)
        if isinstance(move, Stop):
            break
        if isinstance(move, Advance):
            d = weight[:, None] * family.residual(z, target)
            trail.advance(z, d, move)
            a = a.advance(A.step(a.v, d), move)
            us = [u.advance(W.step(u.v, d), move) for W, u in zip(others, us, strict=True)]
        else:
            trail.retreat()
            a, *us = [iterate.retreat(move) for iterate in (a, *us)]
    return Fit(
        own=a.v[: own.shape[1]],
        blocks=[W.weights(u.v) for W, u in zip(others, us, strict=True)],
        intercept=a.v[-1] if intercept else np.zeros(len(begin)),
        scores=z, losses=losses, rounds=controller.count, converged=move.converged,
    )  # fmt: skip
