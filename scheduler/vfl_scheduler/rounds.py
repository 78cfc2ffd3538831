"""All rounds of the one party that gathers: what came in time, what came late, who is answered.

Every other party has one exchange in flight. It contributes to a round, is sent that round's
result, takes its step and contributes to the round after. If its contribution comes when its round
is over, it refreshes the table and the party is sent the newest result at once: so slow parties
skip rounds instead of queueing them, and no link carries what nobody will use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from vfl_scheduler.gather import Gather, GatherState, History
from vfl_scheduler.surrogate import Surrogates

if TYPE_CHECKING:
    from vfl_scheduler.decisions import Decision, Proceed, Reuse
    from vfl_scheduler.gather import Policy

V = TypeVar("V")


class At(NamedTuple):
    """A round: the pass over all rows, and the batch of rows in it."""

    number: int
    batch: int

    def after(self, batches: int) -> At:
        """The round after this one, in passes of so many batches."""
        last = self.batch + 1 == batches
        return At(self.number + 1, 0) if last else At(self.number, self.batch + 1)


NEVER = At(-1, -1)


@dataclass(frozen=True)
class Ended(Generic[V]):
    """What a round goes on with: new contributions, old ones, and the ages of these in passes.

    Every party takes `steps` steps on what comes of it.
    """

    at: At
    started_s: float
    ended_s: float
    arrived: dict[str, V]
    filled: dict[str, V]
    ages: dict[str, int]
    steps: int


@dataclass
class Counts:
    """Contributions that made no round: late ones refreshed the table, repeated ones nothing."""

    late: int = 0
    repeated: int = 0


class Rounds(Generic[V]):
    """Feed it what arrives; it keeps the table, the latencies and the round at hand."""

    def __init__(self, policy: Policy, parties: list[str]) -> None:
        self.parties = list(parties)
        self.counts = Counts()
        self.history = History()
        self.lost: set[str] = set()  # given up, and not heard since
        self.surrogates: Surrogates[V] = Surrogates()
        self._policy = policy
        self._at = NEVER
        self._gather: Gather | None = None
        self._values: dict[str, V] = {}  # that arrived for this round
        self._newest = dict.fromkeys(parties, NEVER)  # round of the newest contribution
        self._early: dict[str, tuple[At, V]] = {}
        self._asked: dict[str, float] = {}  # outstanding requests, the oldest first
        self._last: tuple[float, int] | None = None  # when one ended, steps after it
        self._unanswered: list[str] = []  # who contributed to a round that is over
        self._latencies: list[tuple[str, float]] = []  # that the next round will know of

    def begin(self, at: At, now_s: float) -> Decision:
        """A round starts, later than all before. What came early for it counts."""
        if self._at == NEVER:
            self._asked = dict.fromkeys(self.parties, now_s)
        for party, latency in self._latencies:
            self.history.latencies.observe(latency)
            self.history.latest[party] = latency
        self._latencies.clear()
        if self._last:
            ended_s, steps = self._last
            self.history.steps.observe(max(now_s - ended_s, 0.0) / steps)
        self._at, self._values = at, {}
        state = GatherState(
            frozenset(self.parties), started_s=now_s, now_s=now_s, asked=self._asked,
            lost=frozenset(self.lost), age=self._age, history=self.history,
        )  # fmt: skip
        self._gather = Gather(self._policy, state)
        for party, (meant, value) in list(self._early.items()):
            if meant <= at:
                del self._early[party]
                self._sort_in(party, meant, value, now_s)
        return self._gather.start()

    def arrival(self, party: str, at: At, value: V, now_s: float) -> Decision | None:
        """A contribution came in, made for round `at`. None while no round is open.

        Another one of the same party for the same or an earlier round has no effect.
        """
        if party not in self.parties or at <= self._newest[party]:
            self.counts.repeated += 1
            return self.tick(now_s) if self._gather else None
        self._newest[party] = at
        asked_s = self._asked.pop(party, None)
        if asked_s is not None:
            self._latencies.append((party, now_s - asked_s))
        self.lost.discard(party)
        if at > self._at:
            self._early[party] = at, value
        else:
            self._sort_in(party, at, value, now_s)
        return self.tick(now_s) if self._gather else None

    def renewed(self, party: str, at: At, value: V) -> None:
        """An earlier contribution came again, encrypted anew: it may stand in."""
        if party in self.parties:
            self.surrogates.refresh(party, at.batch, at.number, value)

    def refuse(self, party: str, at: At, now_s: float) -> None:
        """A contribution came that cannot be used: only its sender is answered."""
        if party in self.parties and at > self._newest[party]:
            self._newest[party] = at
            self._asked.pop(party, None)
            self.lost.discard(party)
            self._unanswered.append(party)
            self._asked[party] = now_s

    @property
    def missing(self) -> frozenset[str]:
        """Whose contribution to the open round has not come."""
        return self._open().state.missing

    def tick(self, now_s: float) -> Decision:
        """Time passed."""
        return self._open().tick(now_s)

    def ask(self, parties: frozenset[str], now_s: float) -> Decision:
        """`parties` were asked again."""
        return self._open().ask(parties, now_s)

    def drop(self, parties: frozenset[str]) -> Decision:
        """`parties` take no part any more."""
        self.parties = [party for party in self.parties if party not in parties]
        self.lost -= parties
        for party in parties:
            self.surrogates.forget(party)
        return self._open().drop(parties)

    def end(self, decision: Proceed | Reuse, now_s: float) -> Ended[V]:
        """Close the round as decided. Its contributions are those that may stand in later."""
        state, at = self._open().state, self._at
        names = [party for party in self.parties if party in decision.filled]
        filled = {party: self.surrogates.value(party, at.batch) for party in names}
        ages = {party: self._age(party) or 0 for party in names}
        arrived = {party: self._values[party] for party in self.parties if party in self._values}
        self._unanswered += arrived
        for party, value in arrived.items():
            self.surrogates.refresh(party, at.batch, at.number, value)
            self.history.fresh[party] = self.history.fresh.get(party, 0) + 1
        for party in self._policy.deadline.overdue(state):
            self.lost.add(party)
            del self._asked[party]
        self.history.rounds += 1
        self.history.obliged = state.obliged
        self.history.waits.observe(max(now_s - state.started_s, 0.0))
        self._last = now_s, decision.steps
        self._gather = None
        return Ended(at, state.started_s, now_s, arrived, filled, ages, decision.steps)

    def answer(self, now_s: float) -> list[str]:
        """Who is to be sent the newest result: all that contributed to a round that is over."""
        over = [party for party in self._unanswered if party in self.parties]
        self._unanswered.clear()
        for party in over:
            self._asked.pop(party, None)  # to the end: the oldest first
            self._asked[party] = now_s
        return over

    def _sort_in(self, party: str, at: At, value: V, now_s: float) -> None:
        if at == self._at and self._gather:
            self._values[party] = value
            self._gather.state.arrived[party] = now_s
        else:
            self.counts.late += 1
            self._unanswered.append(party)
            self._asked[party] = now_s  # it is answered at once: nobody is missing for good
            self.surrogates.refresh(party, at.batch, at.number, value)

    def _open(self) -> Gather:
        if self._gather is None:
            raise RuntimeError("no round is open")
        return self._gather

    def _age(self, party: str) -> int | None:
        made = self.surrogates.made(party, self._at.batch)
        return None if made is None else self._at.number - made
