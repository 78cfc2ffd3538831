"""Rounds under frames that are lost, repeated, reordered and late, and parties that restart.

A seeded driver plays one active party that owns `Rounds`, and passive parties that follow the
protocol of the arbiter level: a result is applied once, a new contribution follows. Frames are
carried at least once, in any order. After a while links heal. Whatever happened,

- a party applies each result at most once, and none that is older than one it applied;
- a round that ended does not change, and used no contribution that was made for another one;
- all rounds end, or the run names who is missing.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from vfl_scheduler import (
    Abort,
    Adaptive,
    AllArrived,
    AskMore,
    At,
    Backup,
    BoundedStaleness,
    Deadline,
    Drop,
    LatencyDeadline,
    Rounds,
    Wait,
)

BATCHES, ROUNDS = 3, 12
SCHEDULES = 2100
LOST = ("wait", "abort", "surrogate", "drop")


def policies(deadline):
    return [
        AllArrived(deadline),
        Backup(deadline=deadline),
        Backup(deadline=deadline, backups=2, fill="null"),
        Backup(deadline=deadline, max_age=None),
        BoundedStaleness(deadline=deadline, max_age=2),
        LatencyDeadline(deadline=deadline),
        Adaptive(deadline=deadline),
    ]


def at(index):
    return At(*divmod(index, BATCHES))


@dataclass
class Passive:
    """Durable: which results it applied, and its last contribution. A restart loses the rest."""

    name: str
    applied: list[int] = field(default_factory=list)
    contribution: int = 0  # the round its last one was made for
    up: bool = True

    def receives(self, result):
        """The contribution that it answers a result with; None to an old one."""
        if self.applied and result <= self.applied[-1]:
            return self.contribution if result == self.applied[-1] else None
        self.applied.append(result)
        self.contribution = result + 1
        return self.contribution if self.contribution < ROUNDS else None


class World:
    def __init__(self, seed):
        self.draw = random.Random(seed)
        names = [f"p{index}" for index in range(self.draw.randint(2, 6))]
        on_lost = self.draw.choice(LOST)
        deadline = Deadline(self.draw.choice([2.0, 20.0, 200.0]), on_lost)
        self.policy = self.draw.choice(policies(deadline))
        self.bad = self.draw.choice([0.0, 0.2, 0.5])  # how often anything goes wrong
        self.heals_s = self.draw.uniform(0.0, 60.0)
        self.rounds: Rounds[tuple[str, int]] = Rounds(self.policy, names)
        self.passives = {name: Passive(name) for name in names}
        self.sent: dict[str, int | None] = dict.fromkeys(names)  # the newest result each was sent
        self.ended: list = []
        self.snapshots: list = []
        self.newest: int | None = None
        self.missing: frozenset[str] = frozenset()
        self.dropped: frozenset[str] = frozenset()
        self.wake_s = float("inf")
        self.queue: list = []
        self.count = 0
        self.now_s = 0.0

    def later(self, delay_s, happen, *what):
        self.count += 1
        heapq.heappush(self.queue, (self.now_s + delay_s, self.count, happen, what))

    def wrong(self):
        return self.now_s < self.heals_s and self.draw.random() < self.bad

    def carry(self, deliver, *what):
        """At least once: what gets lost is sent again, the same bytes; what is not may go twice."""
        delay_s = self.draw.expovariate(1.0) * (20.0 if self.wrong() else 1.0)
        if self.wrong():
            self.later(1.0, self.carry, deliver, *what)
            return
        self.later(delay_s, self.arrives, deliver, *what)
        if self.wrong():
            self.later(delay_s * self.draw.uniform(0.0, 5.0), self.arrives, deliver, *what)

    def arrives(self, deliver, name, what):
        if not self.passives[name].up and deliver == self.at_passive:
            self.later(1.0, self.arrives, deliver, name, what)  # nobody is at home: it is kept
            return
        deliver(name, what)

    def at_passive(self, name, result):
        passive = self.passives[name]
        contribution = passive.receives(result)
        if self.wrong():
            passive.up = False
            self.later(self.draw.uniform(0.1, 30.0), self.restart, name)
        if contribution is not None:
            self.carry(self.at_active, name, contribution)

    def restart(self, name):
        """It repeats its last contribution: the result it was made after is stored."""
        passive = self.passives[name]
        passive.up = True
        if passive.contribution < ROUNDS:
            self.carry(self.at_active, name, passive.contribution)

    def at_active(self, name, made):
        decision = self.rounds.arrival(name, at(made), (name, made), self.now_s)
        if decision is not None:
            self.follow(decision)
        self.answer()

    def answer(self):
        if self.newest is None:
            return
        for name in self.rounds.answer(self.now_s):
            self.sent[name] = self.newest
            self.carry(self.at_passive, name, self.newest)

    def begin(self, index):
        self.follow(self.rounds.begin(at(index), self.now_s))
        self.answer()

    def follow(self, decision):
        while isinstance(decision, AskMore | Drop):
            if isinstance(decision, Drop):
                self.dropped |= decision.parties
                decision = self.rounds.drop(decision.parties)
                continue
            for name in sorted(decision.parties):
                result = self.sent[name]
                if result is not None:
                    self.carry(self.at_passive, name, result)
            decision = self.rounds.ask(decision.parties, self.now_s)
        self.wake_s = float("inf")
        if isinstance(decision, Wait):
            assert decision.until_s > self.now_s
            self.wake_s = decision.until_s
        elif isinstance(decision, Abort):
            assert decision.missing
            self.missing = decision.missing
        else:
            ended = self.rounds.end(decision, self.now_s)
            self.newest = len(self.ended)
            self.ended.append(ended)
            self.snapshots.append((dict(ended.arrived), dict(ended.filled), dict(ended.ages)))
            self.answer()
            if len(self.ended) < ROUNDS:
                self.later(self.draw.choice([0.0, 0.5]), self.begin, len(self.ended))

    def run(self):
        for name in self.passives:
            self.carry(self.at_active, name, 0)
        self.begin(0)
        while not self.missing:
            if self.queue and self.queue[0][0] <= self.wake_s:
                self.now_s, _, happen, what = heapq.heappop(self.queue)
                happen(*what)
            elif self.wake_s < float("inf"):
                self.now_s = self.wake_s
                self.follow(self.rounds.tick(self.now_s))
            else:
                break
            assert self.count < 20_000, "it goes on for ever"
        return self

    def check(self):
        for ended, snapshot in zip(self.ended, self.snapshots, strict=True):
            assert snapshot == (ended.arrived, ended.filled, ended.ages)
        for index, ended in enumerate(self.ended):
            assert ended.at == at(index)
            assert not ended.arrived.keys() & ended.filled.keys()
            assert all(value == (name, index) for name, value in ended.arrived.items())
            for name, (owner, made) in ended.filled.items():
                assert owner == name and made < index and at(made).batch == ended.at.batch
                assert ended.ages[name] == ended.at.number - at(made).number
            bound = getattr(self.policy, "max_age", None)
            if bound is not None and self.policy.deadline.on_lost != "surrogate":
                assert max(ended.ages.values(), default=0) <= bound
        for passive in self.passives.values():
            assert passive.applied == sorted(set(passive.applied))
        if self.missing:
            assert self.policy.deadline.on_lost in ("abort", "surrogate")
            assert self.missing <= self.passives.keys()
            return
        assert len(self.ended) == ROUNDS
        for name in self.rounds.parties:  # everybody ends on the last result
            assert self.passives[name].applied[-1] == ROUNDS - 1
        if self.policy.deadline.on_lost == "drop":
            assert self.dropped == self.passives.keys() - set(self.rounds.parties)


@pytest.mark.parametrize("part", range(7))
def test_each_step_is_made_once_and_every_schedule_ends(part):
    for seed in range(part, SCHEDULES, 7):
        try:
            World(seed).run().check()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_schedules_meet_what_they_are_for():
    worlds = [World(seed).run() for seed in range(300)]
    assert sum(bool(world.missing) for world in worlds) >= 10
    assert sum(bool(world.dropped) for world in worlds) >= 10
    assert sum(len(world.ended) == ROUNDS for world in worlds) >= 150
    assert sum(world.rounds.counts.late > 0 for world in worlds) >= 60
    assert sum(world.rounds.counts.repeated > 0 for world in worlds) >= 60


def test_duplicates_have_no_effect():
    """Every arrival twice, and once more later: the rounds are those of each arriving once."""

    def rounds_of(times):
        rounds: Rounds[int] = Rounds(Backup(deadline=Deadline(1e6)), ["a", "b", "c"])
        draw, log, old = random.Random(5), [], []
        for index in range(30):
            decision = rounds.begin(at(index), float(index))
            names = draw.sample("abc", 3)
            for name in names:
                for _ in range(times):
                    new = rounds.arrival(name, at(index), index, index + 0.5)
                    decision = new if new is not None else decision
                    old.append((name, index))
                if not isinstance(decision, Wait):
                    break
            if times > 1:
                for name, made in old[-9:]:
                    again = rounds.arrival(name, at(made), made, index + 0.5)
                    assert again == decision
            ended = rounds.end(decision, index + 0.6)
            log.append(
                (ended.arrived, ended.filled, ended.ages, sorted(rounds.answer(index + 0.6)))
            )
        return log

    assert rounds_of(1) == rounds_of(2) == rounds_of(3)
