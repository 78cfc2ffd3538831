"""One party's share of a block's weights, and the moves that both of its holders make alike.

Whitened weights u (r, k) of one passive party are shared between it and the active party, modulo
2^96, at 24 fraction bits. Gradients come at 44 bits; a step is a multiple of 2^-8:

    w' = v - step g            (2^28 v - s g) / 2^28
    v' = w' + momentum (w' - w)        ((2^8 + m) w' - m w) / 2^8

Each party does this on its own share: the values divided have at most 56 bits while |u| stays below
16, so 40 are left above them (`vfl_crypto.words`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from vfl_crypto.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.models.nesterov import Advance, Retreat

WEIGHT_BITS: Final = 96  # of the modulus
WEIGHT_FRACTION: Final = 24
GRADIENT_FRACTION: Final = 44
STEP_FRACTION: Final = 8


@dataclass(frozen=True, eq=False)
class Iterate:
    """Shares (k r,) of: the probe v, the accepted w, and the last step's start and gradient."""

    v: Words
    w: Words
    start: Words
    gradient: Words

    @classmethod
    def at(cls, point: Words) -> Self:
        """At rest."""
        return cls(point, point, point, Words.zeros(len(point), WEIGHT_BITS))

    @classmethod
    def zero(cls, count: int) -> Self:
        return cls.at(Words.zeros(count, WEIGHT_BITS))

    @classmethod
    def of(cls, u: NDArray[np.float64]) -> Self:
        """At u (r, k), which this party holds alone: the other one's share is zero."""
        scaled = np.rint(np.ldexp(u.T.reshape(-1), WEIGHT_FRACTION))
        return cls.at(Words.of(scaled.astype(np.int64), WEIGHT_BITS))

    def advance(self, gradient: Words, move: Advance) -> Self:
        """From v along the gradient there, and on by the momentum."""
        w = _stepped(self.v, gradient, move.step_size)
        m = _multiple(move.momentum)
        v = (w.times((1 << STEP_FRACTION) + m) - self.w.times(m)).shifted(STEP_FRACTION)
        return type(self)(v, w, self.v, gradient)

    def retreat(self, move: Retreat) -> Self:
        """Back to where the last step began, and from there without momentum."""
        w = _stepped(self.start, self.gradient, move.step_size)
        return type(self)(w, w, self.start, self.gradient)

    def to_dict(self) -> dict[str, Any]:
        """As hexadecimal numbers: exact in any reader of JSON."""
        return {name: [f"{i:x}" for i in words.to_list()] for name, words in vars(self).items()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        return cls(
            **{
                name: Words.of_list((int(i, 16) for i in values), WEIGHT_BITS)
                for name, values in state.items()
            }
        )


def _stepped(start: Words, gradient: Words, step_size: float) -> Words:
    more = GRADIENT_FRACTION - WEIGHT_FRACTION + STEP_FRACTION
    return (start.times(1 << more) - gradient.times(_multiple(step_size))).shifted(more)


def _multiple(value: float) -> int:
    return round(value * (1 << STEP_FRACTION))
