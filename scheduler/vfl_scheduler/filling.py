"""What policies that fill in have in common: whose last contribution may stand in."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_scheduler.decisions import Decision, Proceed, Reuse
from vfl_scheduler.gather import Policy

if TYPE_CHECKING:
    from vfl_scheduler.gather import GatherState
    from vfl_scheduler.overdue import Deadline


@dataclass(frozen=True, kw_only=True)
class Filling(Policy):
    """Missing parties are filled in with contributions at most `max_age` passes old.

    Bounded staleness (Ho et al. 2013, "More effective distributed ML via a stale synchronous
    parallel parameter server"): the bound is what convergence rests on. None is no bound. A party
    without anything to stand in is waited for.
    """

    deadline: Deadline
    max_age: int | None = 1

    def decide(self, state: GatherState) -> Decision:
        missing = state.missing
        if not missing:
            return Proceed(frozenset(state.arrived))
        overdue = self.deadline.overdue(state)
        if overdue and self.deadline.unexcused(state):
            return self.deadline.wait(state)
        if not all(self.replaceable(state, party) for party in missing):
            state.obliged = True
            return self.deadline.wait(state)
        if not overdue and not missing <= state.lost:
            until_s = self.patience(state)
            if until_s > state.now_s:
                return self.deadline.wait(state, until_s)
        return filled(state, missing)

    @abstractmethod
    def patience(self, state: GatherState) -> float:
        """Until when to wait for new contributions that can be done without. Past times end it."""

    def replaceable(self, state: GatherState, party: str) -> bool:
        """Whether the last contribution of `party` may stand in."""
        age = state.age(party)
        fits = age is not None and (self.max_age is None or age <= self.max_age)
        return fits or self.deadline.excuses(state, party)


def filled(state: GatherState, missing: frozenset[str]) -> Proceed | Reuse:
    """Go on with the last known contributions of `missing`."""
    if not state.arrived:
        return Reuse(missing)
    return Proceed(frozenset(state.arrived), missing)
