"""Where one block of weights stands between two accelerated steps; in the clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.models.nesterov import Advance, Retreat

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlainIterate:
    """(f, k) each: the probe v, the accepted w, and where the last step began and went."""

    v: Array
    w: Array
    start: Array
    direction: Array

    @classmethod
    def at(cls, point: Array) -> Self:
        """At rest."""
        return cls(point, point, point, np.zeros_like(point))

    def advance(self, direction: Array, move: Advance) -> Self:
        """From v against the direction, and on by the momentum."""
        w = self.v - move.step_size * direction
        return type(self)(w + move.momentum * (w - self.w), w, self.v, direction)

    def retreat(self, move: Retreat) -> Self:
        """Back to where the last step began, and from there without momentum."""
        w = self.start - move.step_size * self.direction
        return type(self)(w, w, self.start, self.direction)

    def to_dict(self) -> dict[str, Any]:
        return {name: array.tolist() for name, array in vars(self).items()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        return cls(**{name: np.array(values) for name, values in state.items()})
