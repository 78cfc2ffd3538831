"""What a schedule does to a model: its log of events, carried out on data in the clear.

A schedule (`vfl_scheduler.simulate`) knows times and parties and no row. Here each of its events is
done with the weights of that moment, as `vfl.protocols.arbiter` does it under encryption:

    Scored   u_k = s X_k theta_k over the rows of a batch, kept by the pass it was made for
    Summed   d = sum of the scores that arrived or stand in + s X_B theta_B - target
    Stepped  theta_p <- theta_p - the arbiter's RMSProp step on X_p^T d_p / m + l2 theta_p,
             d_p = d + s X_p (theta_p - theta_p at its first step on d)

A party has one exchange in flight, so its weights do not change between residual and first step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vfl.models import linear
from vfl.models.optimizer import Optimizer
from vfl_scheduler.simulate import GUEST, Scored, Summed

if TYPE_CHECKING:
    from vfl_bench.stragglers.stand_ins import Data
    from vfl_scheduler import At
    from vfl_scheduler.simulate import Happening

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Descent:
    """The published optimiser, RMSProp at 0.05, with the decay that FATE 1.x has when not told
    otherwise: 0.05 / sqrt(1 + pass). Its ridge was not published.
    """

    learning_rate: float = 0.05
    decay: float = 1.0
    l2: float = 1e-3
    slope: float = 0.25  # of the logistic residual's expansion


class Party:
    """One party's columns X (n, f), its weights (f,), and its part of the arbiter's optimiser.

    RMSProp works entry by entry, so an optimiser a party is the arbiter's one over all.
    """

    def __init__(self, X: Array, penalised: Array, descent: Descent) -> None:
        self.X, self.theta = X, np.zeros(X.shape[1])
        self._begin = self.theta
        self._ridge, self._slope = descent.l2 * penalised, descent.slope
        self._optimizer = Optimizer("rmsprop", descent.learning_rate, descent.decay)

    def score(self, rows: slice) -> Array:
        return self.X[rows] @ self.theta

    def step(self, rows: slice, residual: Array, number: int, local: int) -> None:
        """The step on a residual that comes after `local` others on it."""
        if not local:
            self._begin = self.theta
        else:
            residual = residual + self._slope * (self.X[rows] @ (self.theta - self._begin))
        gradient = residual @ self.X[rows] / len(residual) + self._ridge * self.theta
        self.theta = self.theta - self._optimizer.step(gradient, number)


class Replay:
    """One training run of `data`, event by event."""

    def __init__(self, data: Data, descent: Descent) -> None:
        self._data, self._slope = data, descent.slope
        self._target = data.label / 2
        self._batches = linear.batches(data.shape.rows, data.shape.batch)
        own = data.train[GUEST]
        ones = np.ones((len(own), 1))  # the intercept, without a penalty
        self.parties = {
            name: Party(X, np.ones(X.shape[1]), descent) for name, X in data.train.items()
        }
        penalised = np.append(np.ones(own.shape[1]), 0.0)
        self.parties[GUEST] = Party(np.hstack([own, ones]), penalised, descent)
        self.products = 0  # of an encrypted residual's entry with one of a matrix
        self._scores: dict[tuple[str, At], Array] = {}
        self._residuals: dict[At, Array] = {}

    def run(self, log: Iterable[Happening]) -> list[float]:
        """The held-out AUC after each pass: with the weights as its successor's first round closes.

        Steps of the pass that land later than that count for the next one.
        """
        found, current = [], 0
        for event in log:
            if isinstance(event, Summed) and event.at.number > current:
                found.append(self.auc())
                current = event.at.number
            self._do(event)
        return [*found, self.auc()]

    def auc(self) -> float:
        """Of the sum of all parties' scores, on the held-out rows."""
        from sklearn.metrics import roc_auc_score

        held_out = self._data.held_out
        z = sum(X @ self.parties[name].theta[: X.shape[1]] for name, X in held_out.items())
        return float(roc_auc_score(self._data.positive, z))

    def _do(self, event: Happening) -> None:
        at = event.at
        rows = self._batches[at.batch]
        if isinstance(event, Scored):
            self._scores[event.party, at] = self._slope * self.parties[event.party].score(rows)
        elif isinstance(event, Summed):
            made = dict.fromkeys(event.arrived, at.number) | event.filled
            residual = self._slope * self.parties[GUEST].score(rows) - self._target[rows]
            for party, number in made.items():
                residual += self._scores[party, at._replace(number=number)]
            self._residuals[at] = residual
        else:
            mover = self.parties[event.party]
            mover.step(rows, self._residuals[at], at.number, event.local)
            self.products += 0 if event.local else mover.X[rows].size
