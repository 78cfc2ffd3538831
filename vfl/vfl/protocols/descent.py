"""One fit as the active party follows it: what it sees at each probe, and where it goes next.

Scores are opened modulo 2^11; `MAX_SCORE` lies far below, and far above any log-odds or log-count
that a likelihood could tell from certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from vfl.errors import JobError
from vfl.models.nesterov import Advance, Controller, Retreat, Stop, Trail
from vfl.protocols.joint import Point

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vfl.models.nesterov import Move
    from vfl.models.whitening import OwnBlock
    from vfl.protocols.shared import SharedTraining

    Vector = NDArray[np.float64]

MAX_SCORE: Final = 500.0


@dataclass(frozen=True)
class Task:
    """One fit: weight (n,) has mean 1, and 0 where a row does not train.

    `watched` (n,) weighs the rows whose likelihood may end the fit; `evaluate` turns the last
    scores (n, k) into what is kept of the fit.
    """

    weight: Vector
    evaluate: Callable[[Vector], dict[str, float]]
    watched: Vector | None = None


class Fit(msgspec.Struct, frozen=True):
    """How one fit went, at the active party."""

    metrics: dict[str, float]
    losses: list[float]  # mean negative log-likelihood at each probe, exact
    movements: list[float]  # root mean square change of the scores
    converged: bool


class Descent:
    """One fit at the active party: where it stands, and what it saw at the last probe."""

    def __init__(
        self, training: SharedTraining, own: OwnBlock, target: Vector, task: Task, rounds: int,
        point: Point,
    ) -> None:  # fmt: skip
        self._family = training.family
        self._own = own
        self._target = target
        self._task = task
        self._controller = Controller(
            rounds, training.tolerance, training.family.damped, training.patience
        )
        self._trail = Trail()
        self._losses: list[float] = []
        self._movements: list[float] = []
        self.point = point
        self.round = 0

    def decide(self, z: Vector) -> tuple[Move, Vector]:
        """The next move from scores z (n, k) at the probe, and weighted residuals there."""
        family, task = self._family, self._task
        far = np.abs(z).max() > MAX_SCORE
        if far and not family.damped:
            raise JobError(
                f"scores left +-{MAX_SCORE:.0f}: a column has outliers, or nothing holds the "
                "weights back; cap the column, or set model.l2 above 0"
            )
        loss = np.inf if far else family.loss(z, self._target, task.weight)
        residual = family.residual(z, self._target) * task.weight[:, None]
        slope, movement, turn = self._trail.motion(z)
        self._losses.append(loss)
        if self.round:
            self._movements.append(movement)
        validation = None
        if task.watched is not None:
            validation = family.loss(z, self._target, task.watched)
        own = self.point.own
        move = self._controller.decide(
            loss + self._own.penalty(own.v), slope + self._own.slope(own.start, own.v), movement,
            validation, turn=turn,
        )  # fmt: skip
        residual = family.residual(z, self._target) * task.weight[:, None]
        if isinstance(move, Advance):
            self._trail.advance(z, residual, move)
        elif isinstance(move, Retreat):
            self._trail.retreat()
        return move, residual

    @property
    def scores(self) -> Vector:
        """(n, k) where the last step began."""
        assert self._trail.start is not None
        return self._trail.start

    def fit(self, z: Vector, move: Move) -> Fit:
        converged = isinstance(move, Stop) and move.converged
        return Fit(self._task.evaluate(z), self._losses, self._movements, converged)

    def to_dict(self) -> dict[str, Any]:
        return {
            "round": self.round, "point": self.point.to_dict(), "trail": self._trail.to_dict(),
            "controller": self._controller.to_dict(), "losses": self._losses,
            "movements": self._movements,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        self.round = state["round"]
        self.point = Point.from_dict(state["point"])
        self._trail.restore(state["trail"])
        self._controller.restore(state["controller"])
        self._losses, self._movements = state["losses"], state["movements"]
