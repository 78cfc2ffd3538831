"""What becomes of a party that has not answered within the deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vfl_scheduler.decisions import Abort, AskMore, Decision, Drop, Wait

if TYPE_CHECKING:
    from vfl_scheduler.gather import GatherState

OnLost = Literal["abort", "wait", "surrogate", "drop"]


@dataclass(frozen=True)
class Deadline:
    """`seconds` after its request was sent, a party is overdue, and by `on_lost`:

    abort      the job ends; everything stored stays for a resumed one
    wait       it is asked again, the same bytes, at every deadline
    surrogate  its last contribution stands in however old it is; without one the job ends
    drop       it takes no part any more; the others train on
    """

    seconds: float
    on_lost: OnLost = "abort"

    def overdue(self, state: GatherState) -> frozenset[str]:
        """Who has not answered in time, of those asked and not yet given up."""
        first_s = next(iter(state.asked.values()), float("inf"))
        if state.now_s < first_s + self.seconds:  # the oldest request
            return frozenset()
        return frozenset(p for p, s in state.asked.items() if state.now_s >= s + self.seconds)

    def wait(self, state: GatherState, until_s: float = float("inf")) -> Decision:
        """Wait until `until_s` or the next deadline; or what becomes of who is overdue."""
        overdue = self.unexcused(state)
        if overdue and self.on_lost == "wait":
            return AskMore(overdue, state.now_s + self.seconds)
        if overdue and self.on_lost == "drop":
            return Drop(overdue)
        if overdue or state.missing <= state.lost:
            return Abort(overdue or state.missing)
        ends = (asked_s + self.seconds for asked_s in state.asked.values())
        return Wait(min(until_s, next((s for s in ends if s > state.now_s), float("inf"))))

    def unexcused(self, state: GatherState) -> frozenset[str]:
        """Who is overdue and cannot be replaced by what it once sent."""
        overdue = self.overdue(state)
        if self.on_lost != "surrogate" or not overdue:
            return overdue
        return frozenset(party for party in overdue if not self.excuses(state, party))

    def excuses(self, state: GatherState, party: str) -> bool:
        """Whether a missing party was given up, and what it once sent stands in."""
        if self.on_lost != "surrogate" or state.age(party) is None:
            return False
        return party in state.lost or party in self.overdue(state)
