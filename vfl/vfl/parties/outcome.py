"""What training leaves at a party, whatever the level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcome:
    """Own weights (f, k), own part of the intercepts (k,), and how training went."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    epochs: int
    converged: bool = False
    changes: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    opened: int = 0  # vectors of training scores, by this model and those it started from
