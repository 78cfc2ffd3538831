"""Dispatch, gather until a predicate holds, then proceed or give up: the one shape of every round.

A `Gather` is fed events with the time they happened at and answers each with its policy's decision.
It owns no clock, socket or task, so a schedule can be replayed from a list of events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfl_scheduler.decisions import Decision


@dataclass
class GatherState:
    """What has happened in one round. Times in seconds on the caller's clock."""

    expected: frozenset[str]
    started_s: float
    now_s: float
    arrived: dict[str, float] = field(default_factory=dict)

    @property
    def missing(self) -> frozenset[str]:
        return self.expected - self.arrived.keys()


class Policy(ABC):
    """When to stop waiting. Stateless within a round: everything it may look at is in the state."""

    @abstractmethod
    def decide(self, state: GatherState) -> Decision:
        """The decision after the latest event of `state`."""


class Gather:
    """One round's gathering under a policy."""

    def __init__(self, policy: Policy, expected: Iterable[str], now_s: float) -> None:
        self._policy = policy
        self.state = GatherState(frozenset(expected), started_s=now_s, now_s=now_s)

    def start(self) -> Decision:
        return self._policy.decide(self.state)

    def arrival(self, party: str, now_s: float) -> Decision:
        """A contribution came in. A second one of the same party changes nothing."""
        if party not in self.state.expected:
            raise ValueError(f"{party} is not expected in this round")
        self.state.now_s = now_s
        self.state.arrived.setdefault(party, now_s)
        return self._policy.decide(self.state)

    def tick(self, now_s: float) -> Decision:
        """Time passed without an arrival."""
        self.state.now_s = now_s
        return self._policy.decide(self.state)
