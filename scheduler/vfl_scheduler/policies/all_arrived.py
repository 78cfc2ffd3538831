"""Wait for everybody, but not for ever."""

from __future__ import annotations

from dataclasses import dataclass

from vfl_scheduler.decisions import Abort, Decision, Proceed, Wait
from vfl_scheduler.gather import GatherState, Policy


@dataclass(frozen=True)
class AllArrived(Policy):
    """Proceed when all expected parties delivered; abort `deadline_s` after the start."""

    deadline_s: float

    def decide(self, state: GatherState) -> Decision:
        if not state.missing:
            return Proceed(frozenset(state.arrived))
        end_s = state.started_s + self.deadline_s
        if state.now_s >= end_s:
            return Abort(state.missing)
        return Wait(until_s=end_s)
