"""A deadline a round, from how long contributions took lately (Dean and Barroso 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_scheduler.filling import Filling

if TYPE_CHECKING:
    from vfl_scheduler.gather import GatherState


@dataclass(frozen=True, kw_only=True)
class LatencyDeadline(Filling):
    """Wait `slack` times the `quantile` of recent latencies, then fill in."""

    quantile: float = 0.5
    slack: float = 1.2

    def patience(self, state: GatherState) -> float:
        seen = state.history.latencies
        if not len(seen):
            return float("inf")
        return state.started_s + self.slack * seen.quantile(self.quantile)
