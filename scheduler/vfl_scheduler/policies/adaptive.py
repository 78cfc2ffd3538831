"""Our own: how many to wait for and how long, from what was seen, under a bound on accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_scheduler.filling import Filling

if TYPE_CHECKING:
    from vfl_scheduler.gather import GatherState

SLACK = 1.1  # times the best wait: latencies of one kind scatter


@dataclass(frozen=True, kw_only=True)
class Adaptive(Filling):
    """Wait as long as gets most new contributions a second (`Latencies.best_wait`).

    The bound on accuracy: no contribution is older than `max_age` passes, and each party's is new
    in at least the share `min_fresh` of rounds; who is behind is waited for.
    """

    max_age: int | None = 3
    min_fresh: float = 0.25

    def patience(self, state: GatherState) -> float:
        seen = state.history.latencies
        if not len(seen):
            return float("inf")
        return state.started_s + SLACK * seen.best_wait(len(state.expected))

    def replaceable(self, state: GatherState, party: str) -> bool:
        if self.deadline.excuses(state, party):
            return True
        due = self.min_fresh * (state.history.rounds + 1)
        fresh = state.history.fresh.get(party, 0)
        return fresh >= due and super().replaceable(state, party)
