"""Wait for everybody, but not for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_scheduler.decisions import Decision, Proceed
from vfl_scheduler.filling import filled
from vfl_scheduler.gather import GatherState, Policy

if TYPE_CHECKING:
    from vfl_scheduler.overdue import Deadline


@dataclass(frozen=True)
class AllArrived(Policy):
    """Proceed when all expected parties delivered, or were given up (`Deadline`)."""

    deadline: Deadline

    @property
    def fills(self) -> bool:
        return self.deadline.on_lost == "surrogate"

    def decide(self, state: GatherState) -> Decision:
        missing = state.missing
        if not missing:
            return Proceed(frozenset(state.arrived))
        if all(self.deadline.excuses(state, party) for party in missing):
            return filled(state, missing)
        return self.deadline.wait(state)
