"""Our own: wait where accuracy asks for it, and otherwise only where waiting is cheap."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vfl_scheduler.decisions import Proceed, Reuse
from vfl_scheduler.filling import Filling

if TYPE_CHECKING:
    from vfl_scheduler.decisions import Decision
    from vfl_scheduler.gather import GatherState

APART = 2.0  # latencies this many times apart are of two kinds
YOUNG = 1  # passes
AHEAD = 2  # rounds
SLACK = 1.1  # latencies of one kind scatter


@dataclass(frozen=True, kw_only=True)
class Adaptive(Filling):
    """The bound on accuracy: no contribution is older than `max_age` passes, and each party's is
    new in at least the share `min_fresh` of rounds; who is behind is waited for.

    A contribution that misses its round costs its party a whole exchange. So a round that has to
    wait for somebody waits for everybody, except who is slow just now, and such rounds follow one
    another until everybody is `AHEAD` of what is due. A round that has to wait for nobody waits for
    those who are fast just now and whose last contributions are no longer young. Just now: the
    latest latency beside the mean of all parties' recent ones.

    Who waits for links could have stepped on. So each round's result serves as many steps as one
    fits into what rounds lately waited, at most `local_steps` (FedBCD: Liu et al. 2019, arXiv
    1912.11187, with a number that follows the clock). All parties take them at the same time, so
    where all links are alike the wait that is left does not grow with their number.
    """

    max_age: int | None = 3
    min_fresh: float = 0.25
    local_steps: int = 1

    def decide(self, state: GatherState) -> Decision:
        decision = super().decide(state)
        if self.local_steps > 1 and isinstance(decision, Proceed | Reuse):
            return replace(decision, steps=self.steps(state))
        return decision

    def steps(self, state: GatherState) -> int:
        """To be taken on what comes of this round."""
        waits, steps = state.history.waits, state.history.steps
        if not len(steps) or not steps.mean:
            return 1
        return max(1, min(self.local_steps, int(waits.mean / steps.mean)))

    def patience(self, state: GatherState) -> float:
        seen, latest = state.history.latencies, state.history.latest
        if not len(seen):
            return math.inf
        usual_s, until_s = seen.mean, state.now_s
        for party, asked_s in state.asked.items():
            takes_s = latest.get(party, math.inf)
            if state.obliged and takes_s < usual_s * APART:
                return math.inf
            if takes_s * APART < usual_s and (state.age(party) or 0) > YOUNG:
                until_s = max(until_s, asked_s + SLACK * takes_s)
        return until_s

    def replaceable(self, state: GatherState, party: str) -> bool:
        rounds = state.history.rounds
        due = self.min_fresh * (rounds + 1)
        if state.history.obliged:
            due = max(due, min(due + AHEAD, rounds))
        if state.history.fresh.get(party, 0) < due:
            return self.deadline.excuses(state, party)
        return super().replaceable(state, party)
