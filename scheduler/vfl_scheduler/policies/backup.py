"""Backup workers with stale or null fill-in (arXiv 2207.11456, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vfl_scheduler.decisions import Decision, Proceed
from vfl_scheduler.filling import Filling

if TYPE_CHECKING:
    from vfl_scheduler.gather import GatherState


@dataclass(frozen=True, kw_only=True)
class Backup(Filling):
    """The first K - `backups` of K parties make a round.

    fill  "stale": the others' last contributions stand in; a first pass waits for all.
          "null": the others are left out of the sum, as the paper's comparison does.
    """

    backups: int = 1
    fill: Literal["stale", "null"] = "stale"

    def decide(self, state: GatherState) -> Decision:
        if self.fill == "null" and self._enough(state):
            return Proceed(frozenset(state.arrived))
        return super().decide(state)

    def patience(self, state: GatherState) -> float:
        return state.now_s if self._enough(state) else float("inf")

    def _enough(self, state: GatherState) -> bool:
        parties = len(state.expected)
        return len(state.arrived) >= max(1, min(parties - self.backups, parties - len(state.lost)))
