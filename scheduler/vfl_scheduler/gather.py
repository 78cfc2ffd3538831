"""Dispatch, gather until a predicate holds, then proceed or ask for more: the shape of every round.

A `Gather` is fed events with the time they happened at and answers each with its policy's decision.
It owns no clock, socket or task, so a schedule can be replayed from a list of events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vfl_scheduler.latency import Latencies

if TYPE_CHECKING:
    from vfl_scheduler.decisions import Decision
    from vfl_scheduler.overdue import Deadline


RECENT = 64  # rounds


@dataclass
class History:
    """What earlier rounds showed.

    latencies  from request to contribution, late ones included
    latest     party -> its latest one
    rounds     that have ended
    waits      for contributions, each of the last rounds
    steps      of those after each of the last rounds, what one took
    fresh      party -> rounds that used its new contribution
    obliged    whether the last round had to wait for somebody
    """

    latencies: Latencies = field(default_factory=Latencies)
    latest: dict[str, float] = field(default_factory=dict)
    rounds: int = 0
    waits: Latencies = field(default_factory=lambda: Latencies(RECENT))
    steps: Latencies = field(default_factory=lambda: Latencies(RECENT))
    fresh: dict[str, int] = field(default_factory=dict)
    obliged: bool = False


def _nothing_held(_: str) -> int | None:
    return None


@dataclass
class GatherState:
    """What has happened in one round. Times in seconds on the caller's clock.

    asked    when each outstanding request was sent, the oldest first
    lost     who was given up at the deadline of an earlier request
    age      party -> passes since the contribution was made that could stand in for it; None
             where there is none
    obliged  whether the round had to wait for somebody it could not do without
    """

    expected: frozenset[str]
    started_s: float
    now_s: float
    asked: dict[str, float]
    arrived: dict[str, float] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    age: Callable[[str], int | None] = _nothing_held
    history: History = field(default_factory=History)
    obliged: bool = False

    @property
    def missing(self) -> frozenset[str]:
        return self.expected - self.arrived.keys()


class Policy(ABC):
    """When to stop waiting. Stateless: everything it may look at is in the state."""

    deadline: Deadline
    local_steps: int = 1
    """The most steps that are taken on what comes of a round."""

    @property
    def fills(self) -> bool:
        """Whether a round may go on without a new contribution of everybody."""
        return True

    @abstractmethod
    def decide(self, state: GatherState) -> Decision:
        """The decision after the latest event of `state`."""


class Gather:
    """One round's gathering under a policy."""

    def __init__(self, policy: Policy, state: GatherState) -> None:
        self._policy = policy
        self.state = state

    @classmethod
    def of(cls, policy: Policy, expected: Iterable[str], now_s: float) -> Gather:
        """A round of its own, in which everybody is asked now."""
        names = frozenset(expected)
        asked = dict.fromkeys(sorted(names), now_s)
        return cls(policy, GatherState(names, started_s=now_s, now_s=now_s, asked=asked))

    def start(self) -> Decision:
        return self._policy.decide(self.state)

    def arrival(self, party: str, now_s: float) -> Decision:
        """A contribution came in. A second one of the same party changes nothing."""
        if party not in self.state.expected:
            raise ValueError(f"{party} is not expected in this round")
        self.state.now_s = now_s
        self.state.arrived.setdefault(party, now_s)
        self.state.asked.pop(party, None)
        return self._policy.decide(self.state)

    def tick(self, now_s: float) -> Decision:
        """Time passed, or what could stand in for the missing changed."""
        self.state.now_s = now_s
        return self._policy.decide(self.state)

    def ask(self, parties: Iterable[str], now_s: float) -> Decision:
        """`parties` were asked again."""
        for party in sorted(parties):
            self.state.asked.pop(party, None)
            self.state.asked[party] = now_s
        return self.tick(now_s)

    def drop(self, parties: frozenset[str]) -> Decision:
        """`parties` take no part any more."""
        self.state.expected -= parties
        for party in parties:
            self.state.asked.pop(party, None)
        return self._policy.decide(self.state)
