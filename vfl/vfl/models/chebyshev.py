"""Steps for a quadratic that nobody sees: the same for every table, so they tell nothing.

Second-order Richardson iteration with Chebyshev's coefficients (Golub and Varga 1961; Saad 2003,
section 12.3.2) for eigenvalues of the Hessian within [low, bound]:

    u <- u + b (u - its predecessor) - a gradient(u)

In whitened coordinates (`whitening`, of one block) all blocks of P parties have the identity as
their own part of the Hessian, so `bound` = P, and `low` is the smallest eigenvalue that the rounds
shrink by 10^5: with two parties it is 1 - rho of their largest canonical correlation rho. Errors
along smaller eigenvalues shrink too, but less; directions that two parties share exactly have
none. Accelerated gradient with momentum t / (t + 3) needs no such bound, and many more rounds:
its error along `low` after 200 rounds is 7 parts in 100.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

ROUNDS: Final = 200
"""Where the job says nothing: errors shrink by 10^5 along eigenvalues above P / 1074."""

UNIT: Final = 4096
_GAIN: Final = 1e5


class Step(NamedTuple):
    """Multiples of 1 / UNIT: shares are scaled by integers."""

    length: int  # a, rounded down: one too long grows along the largest eigenvalue
    momentum: int  # b


def low(rounds: int, bound: float) -> float:
    """The smallest eigenvalue along which errors shrink by 10^5, up to the rounding of steps."""
    return bound * min(0.5, (math.acosh(_GAIN) / (2 * rounds)) ** 2)


def steps(rounds: int, bound: float) -> list[Step]:
    """One for each round."""
    smallest = low(rounds, bound)
    centre, half = (bound + smallest) / 2, (bound - smallest) / 2
    ratio = half / centre
    found = [Step(int(UNIT / centre), 0)]
    for _ in range(rounds - 1):
        last, ratio = ratio, 1 / (2 * centre / half - ratio)
        found.append(Step(int(UNIT * 2 * ratio / half), round(UNIT * ratio * last)))
    return found
