"""How long the next step is, decided by the one party that sees the scores.

Accelerated gradient on whitened columns (Nesterov 1983; momentum t / (t + 3) as in Su, Boyd and
Candes 2016), with restarts (O'Donoghue and Candes 2015, section 3.2):

    w <- v - step * gradient(v),    v <- w + momentum * (w - its predecessor)

The controller sees only what a probe v shows: the exact loss L, without the ridge of others'
weights, and scores. A rise of L may therefore be right, and two signs tell why it rose:

- The turn. The scores of w follow from those of v, and the momentum is to blame where w moves
  along the gradient and not against it: O'Donoghue and Candes' gradient scheme, which knows of
  all ridges, measured in scores. Momentum restarts where L rises and this says so; L alone would
  restart at every step that shrinks weights, which made runs up to three times as long.
- The slope. As L is convex, a rise along a direction of negative slope says that L curves more
  there than the step assumed. A family without a bound on its curvature then goes back to where
  the step began and tries half of it. Steps do not grow again: each attempt that fails costs a
  product and the momentum, which in trials cost more rounds than longer steps saved.

Steps and momenta are multiples of 2^-8: shares are scaled by integers.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

UNIT = 256
"""Steps and momenta are multiples of 1 / UNIT."""

NOISE = 1e-6
"""A smaller rise of the loss, in its own size or 1, may be the rounding of scores: no retreat."""


@dataclass(frozen=True)
class Advance:
    """Take the next step from the probe; after a restart its momentum is 0."""

    step_size: float
    momentum: float


@dataclass(frozen=True)
class Retreat:
    """v = w = start - step_size * gradient(start), where the last step began; no new gradient.

    Step size 0 goes back to the start itself, after which training stops.
    """

    step_size: float


@dataclass(frozen=True)
class Stop:
    """Keep the last probe. Not converged: rounds ran out, or no step was short enough."""

    converged: bool


Move = Advance | Retreat | Stop


@dataclass
class Controller:
    """One decision a probe, the first at the start itself.

    rounds     steps at most; where the last one was too long, a way back to its start on top
    tolerance  root mean square change of the scores by a step of length one and a momentum of
               3/4, in their own unit (log-odds, standard deviations of the label, logarithms of
               counts); two smaller changes in a row end the training as converged. Right after a
               restart steps are short because momentum is gone, not because the end is near: in
               a flat direction they grow as 1 / (1 - momentum), and are judged by what they will be
    damped     the family's curvature has no bound
    patience   probes in a row without a better validation loss, which also end it as converged.
               The last probe is kept and not the best: its shares are overwritten by then, so
               let patience be small
    """

    rounds: int
    tolerance: float
    damped: bool = False
    patience: int | None = None
    count: int = field(default=0, init=False)
    _step: int = field(default=UNIT, init=False)
    _since: int = field(default=0, init=False)
    _quiet: int = field(default=0, init=False)
    _stale: int = field(default=0, init=False)
    _last: float | None = field(default=None, init=False)
    _best: float | None = field(default=None, init=False)

    def decide(
        self,
        loss: float,
        slope: float,
        movement: float,
        validation: float | None = None,
        *,
        turn: float = math.inf,
    ) -> Move:
        """The move from a probe whose last step began at `start`.

        loss        at the probe, with the deciding party's own penalty
        slope       derivative of that loss at `start` along the movement
        movement    root mean square change of the scores since `start`
        validation  loss of held-out rows at the probe
        turn        above 0 where the momentum points uphill; if not known, each rise restarts

        `Trail` measures slope, movement and turn; at the first probe they are not read.
        """
        if not self._step:
            return Stop(converged=False)
        if self._overshot(loss, slope):
            return self._shorter()
        if self._settled(movement) or self._exhausted(validation):
            return Stop(converged=True)
        if self.count >= self.rounds:
            return Stop(converged=False)
        if self._last is not None and loss > self._last and turn > 0:
            self._since = 0
        momentum = _momentum(self._since)
        self._since += 1
        self._last = loss
        self.count += 1
        return Advance(self._step / UNIT, momentum)

    def _overshot(self, loss: float, slope: float) -> bool:
        if not math.isfinite(loss):
            return True
        if self._last is None or not self.damped:
            return False
        return slope < 0 and loss - self._last > NOISE * max(1.0, abs(self._last))

    def _shorter(self) -> Move:
        if self._last is None:
            return Stop(converged=False)
        self._step = self._step // 2 if self.count < self.rounds else 0
        self._since = self._quiet = 0
        self.count += 1
        return Retreat(self._step / UNIT)

    def _settled(self, movement: float) -> bool:
        rolling = min(1.0, (1 - 0.75) / (1 - _momentum(max(self._since - 1, 0))))
        small = self._last is not None and movement < self.tolerance * rolling * self._step / UNIT
        self._quiet = self._quiet + 1 if small else 0
        return self._quiet == 2

    def _exhausted(self, validation: float | None) -> bool:
        if validation is None or self.patience is None:
            return False
        if self._best is None or validation < self._best:
            self._best, self._stale = validation, 0
        else:
            self._stale += 1
        return self._stale >= self.patience

    def to_dict(self) -> dict[str, Any]:
        """What changes while training; finite numbers and None, so JSON keeps it exactly."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state[name])


def _momentum(since: int) -> float:
    """Of the step so many steps after a restart."""
    return min(round(UNIT * since / (since + 3)), UNIT - 1) / UNIT


_STATE = ("count", "_step", "_since", "_quiet", "_stale", "_last", "_best")


@dataclass
class Trail:
    """Scores (n, k) of the last step, from which a probe's motion is measured.

    start     of the probe at which the last step began, None before the first
    residual  weighted, there
    end       of w there
    momentum  of the step
    """

    start: Array | None = None
    residual: Array | None = None
    end: Array | None = None
    momentum: float = 0.0

    def motion(self, z: Array) -> tuple[float, float, float]:
        """(slope without penalties, movement, turn) of the step that led to scores z (n, k).

        The turn is (v - w') (w' - w) per row in scores, w' the end of this step: the gradient at v
        is v - w' over the step size.
        """
        if self.start is None or self.residual is None or self.end is None:
            return 0.0, 0.0, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            change, end = z - self.start, self._reached(z)
            slope = np.sum(self.residual * change) / len(z)
            turn = np.sum((self.start - end) * (end - self.end)) / len(z)
            return float(slope), float(np.sqrt(np.mean(change**2))), float(turn)

    def advance(self, z: Array, residual: Array, move: Advance) -> None:
        """A step begins at the probe of scores z (n, k) and weighted residuals (n, k)."""
        self.end = self._reached(z)
        self.start, self.residual, self.momentum = z, residual, move.momentum

    def retreat(self) -> None:
        """The last step is taken again, shorter and without momentum."""
        self.momentum = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON, exactly."""
        state = {name: _stored(getattr(self, name)) for name in _SCORES}
        return {**state, "momentum": self.momentum}

    def restore(self, state: dict[str, Any]) -> None:
        self.start, self.residual, self.end = (_loaded(state[name]) for name in _SCORES)
        self.momentum = state["momentum"]

    def _reached(self, z: Array) -> Array:
        """Scores of w, from v = w + momentum (w - its predecessor)."""
        if self.end is None:
            return z
        return np.asarray((z + self.momentum * self.end) / (1 + self.momentum))


_SCORES = ("start", "residual", "end")


def _stored(array: Array | None) -> dict[str, Any] | None:
    """A third larger than its bytes."""
    if array is None:
        return None
    return {"shape": array.shape, "float64": base64.b64encode(array.tobytes()).decode()}


def _loaded(state: dict[str, Any] | None) -> Array | None:
    if state is None:
        return None
    return np.frombuffer(base64.b64decode(state["float64"])).reshape(state["shape"])
