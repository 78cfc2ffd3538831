"""Whole schedules of the coordinated protocol without tensors or keys: who waits how long for whom.

    schedule = Schedule(passes=50, batches=14, guest=load, hosts={"p0": load, "p1": load})
    run = simulate(policy, schedule, star(LinkModel(10e6), seed=1))
    run.communication_s, run.share("p0"), run.oldest("p0")

It drives the same `Rounds` as a real run. A host has one exchange in flight (residual, as many
gradients and steps as the guest said, new scores), so the whole of it is computed when it begins;
the queue holds nothing but what the guest notices. The arbiter opens gradients as they come, those
of different parties at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from vfl_scheduler.decisions import Abort, AskMore, Decision, Drop, Wait
from vfl_scheduler.links import Link, LinkModel
from vfl_scheduler.rounds import At, Ended, Rounds

if TYPE_CHECKING:
    from vfl_scheduler.gather import Policy

GUEST, ARBITER = "guest", "arbiter"

Connect = Callable[[str, str], Link]


@dataclass(frozen=True)
class Sizes:
    """Bytes of a party's messages: the scores and the gradient it sends, what it is sent."""

    scores: int
    residual: int
    gradient: int
    step: int


@dataclass(frozen=True)
class Seconds:
    """What a party's work takes.

    scores    to compute and encrypt its scores of a batch, the last step made
    residual  the guest's: to add everybody's scores up
    gradient  to multiply its columns by the residual
    opening   the arbiter's: to decrypt this party's gradient and compute its step
    local     to correct its gradient by its own movement, for each step after the first
    """

    scores: float = 0.0
    residual: float = 0.0
    gradient: float = 0.0
    opening: float = 0.0
    local: float = 0.0


@dataclass(frozen=True)
class Load:
    """What a party sends and computes each round."""

    sizes: Sizes
    seconds: Seconds = field(default_factory=Seconds)


@dataclass(frozen=True)
class Schedule:
    passes: int
    batches: int
    guest: Load
    hosts: Mapping[str, Load]

    def after(self, at: At) -> At | None:
        """The round after `at`; None after the last one."""
        after = at.after(self.batches)
        return after if after.number < self.passes else None


class Scored(NamedTuple):
    """A host computed its scores for a round, with the weights it had just then."""

    party: str
    at: At


class Stepped(NamedTuple):
    """A party moved its weights by the gradient on the residual of round `at`.

    `local`: how many of its steps on the same residual came before.
    """

    party: str
    at: At
    local: int = 0


class Summed(NamedTuple):
    """The guest made the residual of a round. `filled`: party -> pass its scores were made for."""

    at: At
    arrived: tuple[str, ...]
    filled: dict[str, int]


Happening = Scored | Summed | Stepped


class Record(NamedTuple):
    """A round: its times in seconds, who was new in it, the ages of the others in passes.

    `decided_s`: the guest stopped waiting. `ended_s`: it has its own steps. `steps`: that every
    party takes on its residual.
    """

    at: At
    started_s: float
    decided_s: float
    ended_s: float
    arrived: tuple[str, ...]
    ages: dict[str, int]
    missing: tuple[str, ...]
    steps: int


@dataclass
class Simulated:
    """A schedule as it went.

    log      everything that has an effect on weights, in the order in which it happened
    ended_s  when everybody had made the last step, or the run was given up
    guest_s  the guest's own computing
    """

    records: list[Record] = field(default_factory=list)
    log: list[Happening] = field(default_factory=list)
    ended_s: float = 0.0
    guest_s: float = 0.0
    aborted: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()

    @property
    def communication_s(self) -> float:
        """Seconds of the critical path that are not the guest's computing."""
        return self.ended_s - self.guest_s

    def share(self, host: str) -> float:
        """Of the rounds, those in which the host's scores were new."""
        return sum(host in record.arrived for record in self.records) / len(self.records)

    def oldest(self, host: str) -> int:
        """The largest age in passes at which the host's scores stood in."""
        return max((record.ages.get(host, 0) for record in self.records), default=0)


def star(model: LinkModel, *, seed: int) -> Connect:
    """Links of one model: a host's fluctuate together, those of guest and arbiter not at all."""
    steady = replace(model, fluctuation=None)

    def connect(sender: str, receiver: str) -> Link:
        ends = {sender, receiver} - {GUEST, ARBITER}
        name = f"{sender}->{receiver}"
        if not ends:
            return Link(steady, seed=seed, name=name)
        return Link(model, seed=seed, name=name, host=ends.pop())

    return connect


def simulate(policy: Policy, schedule: Schedule, connect: Connect) -> Simulated:
    return _Run(policy, schedule, connect).go()


class _Wires(NamedTuple):
    """The links of one host to and from the guest."""

    scores: Link
    residual: Link


class _Desk(NamedTuple):
    """The links of one party to and from the arbiter."""

    gradient: Link
    step: Link


class _Run:
    def __init__(self, policy: Policy, schedule: Schedule, connect: Connect) -> None:
        self._schedule = schedule
        self._rounds: Rounds[int] = Rounds(policy, list(schedule.hosts))
        self._hosts = {
            host: _Wires(connect(host, GUEST), connect(GUEST, host)) for host in schedule.hosts
        }
        self._desks = {
            party: _Desk(connect(party, ARBITER), connect(ARBITER, party))
            for party in (*schedule.hosts, GUEST)
        }
        self._newest: At | None = None  # whose residual can be sent; None while the next is made
        self._ended: Ended[int] | None = None  # the newest one
        self._wake_s = math.inf
        self._queue: list[tuple[float, int, Callable[[str, At, float], None], str, At]] = []
        self._count = 0
        self._log: list[Happening] = []
        self._happened_s: list[float] = []  # the time of each
        self._out = Simulated()

    def go(self) -> Simulated:
        first, out = At(0, 0), self._out
        for host in self._schedule.hosts:
            self._contribute(host, first, 0.0)
        self._work(self._schedule.guest.seconds.scores, 0.0, self._begin, first)
        while not out.aborted:
            if self._queue and self._queue[0][0] <= self._wake_s:
                now_s, _, happen, party, at = heappop(self._queue)
                happen(party, at, now_s)
            elif self._wake_s < math.inf:
                self._follow(self._rounds.tick(self._wake_s), self._wake_s)
            else:
                break
        times = self._happened_s  # the sort is stable: causes stay before effects of the same time
        over_s = out.ended_s if out.aborted else math.inf
        order = sorted(range(len(times)), key=times.__getitem__)
        out.log = [self._log[index] for index in order if times[index] <= over_s]
        return out

    def _note(self, at_s: float, happening: Happening) -> None:
        self._happened_s.append(at_s)
        self._log.append(happening)

    def _later(
        self, at_s: float, happen: Callable[[str, At, float], None], party: str, at: At
    ) -> None:
        self._count += 1
        heappush(self._queue, (at_s, self._count, happen, party, at))

    def _work(
        self, seconds: float, now_s: float, then: Callable[[str, At, float], None], at: At
    ) -> None:
        """The guest computes."""
        self._out.guest_s += seconds
        self._later(now_s + seconds, then, GUEST, at)

    def _begin(self, _: str, at: At, now_s: float) -> None:
        self._follow(self._rounds.begin(at, now_s), now_s)

    def _arrive(self, host: str, at: At, now_s: float) -> None:
        decision = self._rounds.arrival(host, at, at.number, now_s)
        if decision is not None:
            self._follow(decision, now_s)
        if self._newest is not None:
            self._answer(self._newest, now_s)

    def _follow(self, decision: Decision, now_s: float) -> None:
        while isinstance(decision, AskMore | Drop):
            if isinstance(decision, AskMore):  # links repeat what they lose: nothing to carry
                decision = self._rounds.ask(decision.parties, now_s)
            else:
                self._out.dropped |= decision.parties
                decision = self._rounds.drop(decision.parties)
        self._wake_s = math.inf
        if isinstance(decision, Wait):
            self._wake_s = decision.until_s
        elif isinstance(decision, Abort):
            self._out.aborted, self._out.ended_s = decision.missing, now_s
        else:
            self._ended = ended = self._rounds.end(decision, now_s)
            self._note(now_s, Summed(ended.at, tuple(ended.arrived), ended.filled))
            self._newest = None
            self._work(self._schedule.guest.seconds.residual, now_s, self._summed, ended.at)

    def _summed(self, _: str, at: At, now_s: float) -> None:
        """The residual is there: everybody who waits for it, and the guest, step."""
        self._newest = at
        self._answer(at, now_s)
        seconds, steps = self._schedule.guest.seconds, self._steps
        stepped_s = self._descend(GUEST, self._schedule.guest, at, now_s)
        self._record(stepped_s)
        self._out.guest_s += seconds.gradient + (steps - 1) * seconds.local
        after = self._schedule.after(at)
        if after is None:
            self._out.ended_s = max(self._out.ended_s, stepped_s)
        else:
            self._work(seconds.scores, stepped_s, self._begin, after)

    @property
    def _steps(self) -> int:
        """To be taken on the newest residual."""
        assert self._ended is not None
        return self._ended.steps

    def _descend(self, party: str, load: Load, at: At, now_s: float) -> float:
        """All steps of a party that has the newest residual now; when the last one is made."""
        seconds, sizes, index = load.seconds, load.sizes, self._index(at)
        wires, ready_s = self._desks[party], now_s + seconds.gradient
        for local in range(self._steps):
            opened_s = wires.gradient.carry(ready_s, sizes.gradient, index)[0] + seconds.opening
            now_s = wires.step.carry(opened_s, sizes.step, index)[0]
            self._note(now_s, Stepped(party, at, local))
            ready_s = now_s + seconds.local
        return now_s

    def _record(self, stepped_s: float) -> None:
        ended = self._ended
        assert ended is not None
        arrived = tuple(ended.arrived)
        missing: tuple[str, ...] = ()
        if len(arrived) + len(ended.filled) < len(self._rounds.parties):
            known = ended.arrived.keys() | ended.filled.keys()
            missing = tuple(party for party in self._rounds.parties if party not in known)
        self._out.records.append(
            Record(
                ended.at, ended.started_s, ended.ended_s, stepped_s, arrived, ended.ages, missing,
                ended.steps,
            )
        )  # fmt: skip

    def _answer(self, newest: At, now_s: float) -> None:
        """Everything that follows at a host from a residual that is sent to it now."""
        for host in self._rounds.answer(now_s):
            load, wire = self._schedule.hosts[host], self._hosts[host].residual
            got_s = wire.carry(now_s, load.sizes.residual, self._index(newest))[0]
            stepped_s = self._descend(host, load, newest, got_s)
            after = self._schedule.after(newest)
            if after is None:
                self._out.ended_s = max(self._out.ended_s, stepped_s)
            else:
                self._contribute(host, after, stepped_s)

    def _contribute(self, host: str, at: At, now_s: float) -> None:
        load = self._schedule.hosts[host]
        scored_s = now_s + load.seconds.scores
        self._note(scored_s, Scored(host, at))
        wire = self._hosts[host].scores
        for arrives_s in wire.carry(scored_s, load.sizes.scores, self._index(at)):
            self._later(arrives_s, self._arrive, host, at)

    def _index(self, at: At) -> int:
        return at.number * self._schedule.batches + at.batch
