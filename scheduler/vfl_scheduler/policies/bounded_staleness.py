"""Bounded staleness: whoever is there goes on, as long as nobody is too far behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_scheduler.filling import Filling

if TYPE_CHECKING:
    from vfl_scheduler.gather import GatherState


@dataclass(frozen=True, kw_only=True)
class BoundedStaleness(Filling):
    """One new contribution makes a round where no other would be older than `max_age` passes."""

    def patience(self, state: GatherState) -> float:
        return state.now_s if state.arrived else float("inf")
