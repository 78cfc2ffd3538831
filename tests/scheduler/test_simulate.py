"""Whole schedules: times by closed formulas, the log by replaying it, and how long it takes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_scheduler import (
    Adaptive,
    AllArrived,
    At,
    Backup,
    BoundedStaleness,
    Deadline,
    LatencyDeadline,
    Rounds,
)
from vfl_scheduler.links import Fluctuation, LinkModel
from vfl_scheduler.simulate import (
    GUEST,
    Load,
    Schedule,
    Scored,
    Seconds,
    Sizes,
    Stepped,
    Summed,
    simulate,
    star,
)

PATIENT = Deadline(1e6, "wait")
SIZES = Sizes(scores=100_000, residual=90_000, gradient=60_000, step=1_000)
POLICIES = [
    AllArrived(PATIENT),
    Backup(deadline=PATIENT),
    Backup(deadline=PATIENT, backups=2, fill="null"),
    BoundedStaleness(deadline=PATIENT, max_age=2),
    LatencyDeadline(deadline=PATIENT),
    Adaptive(deadline=PATIENT),
    Adaptive(deadline=PATIENT, local_steps=5),
]


def hosts(count=3, load=None):
    return {f"p{index}": load or Load(SIZES) for index in range(count)}


def fluctuating(granularity, seed=1, probability=0.5, **model):
    fluctuation = Fluctuation(probability, 10.0, granularity)
    return star(LinkModel(10e6, fluctuation=fluctuation, **model), seed=seed)


def test_a_clean_schedule_takes_what_its_messages_and_work_add_up_to():
    work = Seconds(scores=0.3, residual=0.2, gradient=0.7, opening=0.05)
    schedule = Schedule(3, 4, Load(SIZES, work), hosts(load=Load(SIZES, work)))
    run = simulate(AllArrived(PATIENT), schedule, star(LinkModel(1e6, 0.01), seed=1))
    bit = 8 / 1e6
    up, down = SIZES.scores * bit + 0.01, SIZES.residual * bit + 0.01
    opened = (SIZES.gradient + SIZES.step) * bit + 0.02
    host = down + 0.7 + opened + 0.05 + 0.3 + up  # from a residual to the next scores
    last = down + 0.7 + opened + 0.05
    assert run.ended_s == pytest.approx(0.3 + up + 0.2 + 11 * (host + 0.2) + last)
    assert run.guest_s == pytest.approx(12 * (0.3 + 0.2 + 0.7))
    assert run.communication_s == pytest.approx(run.ended_s - run.guest_s)
    assert len(run.records) == 12 and [run.share(name) for name in hosts()] == [1.0] * 3
    assert [run.oldest(name) for name in hosts()] == [0] * 3


def test_every_step_more_takes_a_gradient_up_and_a_step_down(monkeypatch):
    monkeypatch.setattr(Adaptive, "steps", lambda *_: 3)
    policy = Adaptive(deadline=PATIENT, min_fresh=1.0, local_steps=3)
    work = Seconds(scores=0.3, residual=0.2, gradient=0.7, opening=0.05, local=0.04)
    schedule = Schedule(3, 4, Load(SIZES, work), hosts(load=Load(SIZES, work)))
    run = simulate(policy, schedule, star(LinkModel(1e6, 0.01), seed=1))
    bit = 8 / 1e6
    up, down = SIZES.scores * bit + 0.01, SIZES.residual * bit + 0.01
    step = (SIZES.gradient + SIZES.step) * bit + 0.02 + 0.05
    last = down + 0.7 + 3 * step + 2 * 0.04
    assert run.ended_s == pytest.approx(0.3 + up + 0.2 + 11 * (last + 0.3 + up + 0.2) + last)
    assert run.guest_s == pytest.approx(12 * (0.3 + 0.2 + 0.7 + 2 * 0.04))
    assert {record.steps for record in run.records} == {3}
    stepped = [event for event in run.log if isinstance(event, Stepped)]
    assert len(stepped) == 12 * 4 * 3


def test_slow_links_are_used_for_more_steps_and_fast_ones_for_one():
    schedule = Schedule(20, 3, Load(SIZES), hosts())
    slow = {name: Load(Sizes(3_000_000, 3_000_000, 60_000, 1_000)) for name in hosts()}
    policy = Adaptive(deadline=PATIENT, min_fresh=1.0, local_steps=8)
    few, many = (
        simulate(policy, which, star(LinkModel(10e6, 0.01), seed=1)).records[10:]
        for which in (schedule, Schedule(20, 3, Load(SIZES), slow))
    )
    # 190 kB over 10 Mbit/s take 0.17 s, 6 MB 4.8 s; a step, of 61 kB, 0.07 s
    assert {record.steps for record in few} == {2}
    assert {record.steps for record in many} == {8}


def test_waiting_for_all_is_waiting_for_the_slowest():
    slow = Load(SIZES, Seconds(gradient=5.0))
    schedule = Schedule(2, 5, Load(SIZES), {**hosts(2), "slow": slow})
    alone = Schedule(2, 5, Load(SIZES), {"slow": slow})
    both = [
        simulate(AllArrived(PATIENT), which, star(LinkModel(1e6), seed=1)).ended_s
        for which in (schedule, alone)
    ]
    assert both[0] == pytest.approx(both[1])


@pytest.mark.parametrize("granularity", ["message", "round", ("slice", 10.0)])
def test_going_on_without_stragglers_saves_time_and_keeps_its_bounds(granularity):
    schedule = Schedule(30, 5, Load(SIZES), hosts())
    vanilla, backup, adaptive = (
        simulate(policy, schedule, fluctuating(granularity))
        for policy in (AllArrived(PATIENT), Backup(deadline=PATIENT), Adaptive(deadline=PATIENT))
    )
    assert backup.communication_s < 0.9 * vanilla.communication_s
    assert adaptive.communication_s < 0.6 * vanilla.communication_s
    for host in schedule.hosts:
        assert adaptive.share(host) >= 0.25 and adaptive.oldest(host) <= 3
        assert backup.oldest(host) <= 1


def test_a_schedule_repeats_itself():
    schedule = Schedule(10, 3, Load(SIZES), hosts())
    one, two = (
        simulate(Adaptive(deadline=PATIENT), schedule, fluctuating("message", loss=0.2))
        for _ in range(2)
    )
    assert (one.log, one.records, one.ended_s) == (two.log, two.records, two.ended_s)


def replay(run, schedule):
    """What every log must be: each party's steps and scores in turn, on residuals that exist."""
    rounds = [At(*divmod(index, schedule.batches)) for index in range(len(run.records))]
    summed: list[At] = []
    scored = {(host, At(0, 0)): False for host in schedule.hosts}
    waiting = dict.fromkeys(schedule.hosts, At(0, 0))  # host -> the round it is to score for
    stepped = dict.fromkeys([*schedule.hosts, GUEST], At(-1, 0))
    steps = {record.at: record.steps for record in run.records}
    last: dict[str, tuple[At, int]] = {}
    held: dict[str, dict[int, set[int]]] = {host: {} for host in schedule.hosts}
    for happening in run.log:
        match happening:
            case Scored(host, at):
                assert waiting.pop(host) == at
                scored[host, at] = True
                held[host].setdefault(at.batch, set()).add(at.number)
            case Summed(at, arrived, filled):
                assert at == rounds[len(summed)]
                assert stepped[GUEST] == (summed[-1] if summed else At(-1, 0))
                assert all(scored[host, at] for host in arrived)
                for host, made in filled.items():
                    assert host not in arrived and made in held[host][at.batch]
                summed.append(at)
            case Stepped(party, at, local):
                if local:
                    assert last[party] == (at, local - 1)
                else:
                    assert at in summed and at > stepped[party]  # never twice, never an older one
                stepped[party], last[party] = at, (at, local)
                after = schedule.after(at)
                if party != GUEST and after and local + 1 == steps[at]:
                    waiting[party] = after
    assert summed == rounds
    if not run.aborted:
        assert len(rounds) == schedule.passes * schedule.batches
        assert set(stepped.values()) == {rounds[-1]}  # everybody ends on the same residual
        assert set(last.values()) == {(rounds[-1], run.records[-1].steps - 1)}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(POLICIES), st.integers(1, 4), st.integers(1, 6), st.integers(1, 4),
    st.sampled_from(["message", "round", ("slice", 3.0)]), st.integers(0, 1000),
    st.floats(0, 0.5), st.booleans(), st.sampled_from([0.0, 0.3]),
)  # fmt: skip
def test_a_log_can_be_replayed(
    policy, count, passes, batches, granularity, seed, loss, works, duplication
):
    work = Seconds(0.1, 0.2, 0.3, 0.05) if works else Seconds()
    schedule = Schedule(passes, batches, Load(SIZES, work), hosts(count, Load(SIZES, work)))
    connect = fluctuating(granularity, seed, loss=loss, duplication=duplication)
    replay(simulate(policy, schedule, connect), schedule)


def outage(host, begin_s, end_s):
    """Links of which those of one host fail for a while."""
    fine = star(LinkModel(10e6), seed=1)
    gone = star(LinkModel(10e6, outages=((begin_s, end_s),)), seed=1)
    return lambda sender, receiver: (gone if host in (sender, receiver) else fine)(sender, receiver)


@pytest.mark.parametrize("policy", [AllArrived, Backup])
@pytest.mark.parametrize("on_lost", ["abort", "wait", "surrogate", "drop"])
def test_a_party_that_is_gone_for_a_while(policy, on_lost):
    schedule = Schedule(40, 2, Load(SIZES), hosts())
    kind = policy(deadline=Deadline(20.0, on_lost))
    run = simulate(kind, schedule, outage("p1", 5.0, 205.0))
    if on_lost == "abort":
        assert run.aborted == {"p1"} and 20.0 < run.ended_s <= 26.0
        assert len(run.records) < 80
        replay(run, schedule)
        return
    assert len(run.records) == 80 and not run.aborted
    assert run.dropped == ({"p1"} if on_lost == "drop" else set())
    if on_lost == "drop":
        assert run.records[-1].missing == () and "p1" not in run.records[-1].arrived
    else:
        replay(run, schedule)


def per_event(policy, parties, rounds_of=60):
    """CPU seconds of an event of `Rounds` alone; one party in eight is late by a round."""
    names = [f"p{index}" for index in range(parties)]
    rounds, events, now_s = Rounds(policy, names), 0, 0.0
    late: list[tuple[str, At]] = []
    begun = time.process_time()
    for number in range(rounds_of):
        at = At(number, 0)
        decision = rounds.begin(at, now_s)
        for party, made in late:
            decision = rounds.arrival(party, made, number, now_s + 0.5) or decision
            rounds.answer(now_s + 0.5)
        late = [(name, at) for name in names[number % 8 :: 8]] if number % 2 else []
        behind = {name for name, _ in late}
        for index, name in enumerate(names):
            if name not in behind and not hasattr(decision, "filled"):
                decision = rounds.arrival(name, at, number, now_s + 1 + index / 100)
                events += 1
        if not hasattr(decision, "filled"):
            for name, made in late:
                decision = rounds.arrival(name, made, number, now_s + 3.0)
                events += 1
            late = []
        now_s += 4.0
        rounds.end(decision, now_s)
        rounds.answer(now_s)
        events += 3
    return (time.process_time() - begun) / events


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_an_event_among_64_parties_costs_microseconds(policy):
    assert min(per_event(policy, 64) for _ in range(3)) < 100e-6  # a quiet machine: 8 to 25


@pytest.mark.parametrize("policy", [AllArrived(PATIENT), Adaptive(deadline=PATIENT)])
def test_ten_thousand_rounds_take_seconds(policy):
    schedule = Schedule(1000, 10, Load(SIZES), hosts())
    begun = time.process_time()
    run = simulate(policy, schedule, fluctuating("round"))
    assert len(run.records) == 10_000
    assert time.process_time() - begun < 3.0
