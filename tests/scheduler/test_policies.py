"""Each policy's decisions on rounds written as lists of events: no clock, no socket."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_scheduler import (
    Abort,
    Adaptive,
    At,
    Backup,
    BoundedStaleness,
    Deadline,
    LatencyDeadline,
    Proceed,
    Reuse,
    Rounds,
    Wait,
)

PATIENT = Deadline(1000.0)
ABC = ["a", "b", "c"]


def started(policy, names="abc", *, passes=1, batches=1):
    """Rounds in which everybody contributed to `passes` passes, a second after being asked."""
    rounds, now_s = Rounds(policy, list(names)), 0.0
    for number in range(passes):
        for batch in range(batches):
            rounds.begin(At(number, batch), now_s)
            now_s += 1.0
            for name in names:
                decision = rounds.arrival(name, At(number, batch), number, now_s)
            rounds.end(decision, now_s)
            rounds.answer(now_s)
    return rounds, now_s


def everyone(names="abc"):
    return Proceed(frozenset(names))


FILLING = [
    Backup(deadline=PATIENT),
    BoundedStaleness(deadline=PATIENT),
    LatencyDeadline(deadline=PATIENT),
    Adaptive(deadline=PATIENT),
]


@pytest.mark.parametrize("policy", FILLING, ids=lambda policy: type(policy).__name__)
def test_a_first_pass_waits_for_everybody(policy):
    rounds = Rounds(policy, ABC)
    assert rounds.begin(At(0, 0), 0.0) == Wait(1000.0)
    assert rounds.arrival("a", At(0, 0), 0, 1.0) == Wait(1000.0)
    assert rounds.arrival("b", At(0, 0), 0, 900.0) == Wait(1000.0)
    assert rounds.arrival("c", At(0, 0), 0, 999.0) == everyone()


@pytest.mark.parametrize("policy", FILLING, ids=lambda policy: type(policy).__name__)
def test_a_first_pass_is_given_up_by_the_names_of_who_did_not_come(policy):
    rounds = Rounds(policy, ABC)
    rounds.begin(At(0, 0), 0.0)
    rounds.arrival("b", At(0, 0), 0, 1.0)
    assert rounds.tick(1000.0) == Abort(frozenset("ac"))


@pytest.mark.parametrize("policy", FILLING, ids=lambda policy: type(policy).__name__)
def test_a_batch_that_a_party_never_contributed_to_waits_for_it(policy):
    rounds, now_s = started(policy, batches=1)
    rounds.begin(At(0, 1), now_s)
    rounds.arrival("a", At(0, 1), 0, now_s + 1)
    assert isinstance(rounds.arrival("b", At(0, 1), 0, now_s + 500), Wait)


@pytest.mark.parametrize("backups", range(5))
def test_the_first_parties_make_a_round(backups):
    """K - beta of K; at least one, however many backups there are."""
    rounds, now_s = started(Backup(deadline=PATIENT, backups=backups), "abcd")
    decision = rounds.begin(At(1, 0), now_s)
    for arrived in range(1, 5):
        assert isinstance(decision, Wait)
        decision = rounds.arrival("abcd"[arrived - 1], At(1, 0), 1, now_s + arrived)
        if arrived >= max(1, 4 - backups):
            break
    assert decision == Proceed(frozenset("abcd"[:arrived]), frozenset("abcd"[arrived:]))
    ended = rounds.end(decision, now_s + arrived)
    assert ended.filled == dict.fromkeys("abcd"[arrived:], 0) and set(ended.ages.values()) <= {1}


def test_backups_may_be_left_out_of_the_sum():
    rounds = Rounds(Backup(deadline=PATIENT, backups=1, fill="null"), ABC)
    assert isinstance(rounds.begin(At(0, 0), 0.0), Wait)
    assert isinstance(rounds.arrival("c", At(0, 0), 0, 1.0), Wait)
    decision = rounds.arrival("a", At(0, 0), 0, 2.0)
    assert decision == Proceed(frozenset("ac"))  # in a first pass too: nothing has to be held
    assert rounds.end(decision, 2.0).filled == {}


@pytest.mark.parametrize("max_age", [1, 2, 5])
def test_a_contribution_stands_in_for_exactly_so_many_passes(max_age):
    rounds, now_s = started(Backup(deadline=PATIENT, max_age=max_age))
    for number in range(1, max_age + 2):
        rounds.begin(At(number, 0), now_s)
        rounds.arrival("a", At(number, 0), number, now_s)
        decision = rounds.arrival("b", At(number, 0), number, now_s)
        if number <= max_age:
            assert decision == Proceed(frozenset("ab"), frozenset("c"))
            assert rounds.end(decision, now_s).ages == {"c": number}
            rounds.answer(now_s)
    assert isinstance(decision, Wait)
    decision = rounds.arrival("c", At(1, 0), 1, now_s)  # late by max_age passes, young enough
    assert decision == Proceed(frozenset("ab"), frozenset("c"))
    assert rounds.end(decision, now_s).ages == {"c": max_age}


def test_without_a_bound_a_contribution_stands_in_for_ever():
    rounds, now_s = started(Backup(deadline=PATIENT, max_age=None))
    for number in range(1, 300):
        rounds.begin(At(number, 0), now_s)
        rounds.arrival("a", At(number, 0), number, now_s)
        decision = rounds.arrival("b", At(number, 0), number, now_s)
        assert decision == Proceed(frozenset("ab"), frozenset("c"))
        rounds.end(decision, now_s)
        rounds.answer(now_s)


def test_bounded_staleness_goes_on_with_the_first():
    rounds, now_s = started(BoundedStaleness(deadline=PATIENT))
    assert isinstance(rounds.begin(At(1, 0), now_s), Wait)
    decision = rounds.arrival("c", At(1, 0), 1, now_s)
    assert decision == Proceed(frozenset("c"), frozenset("ab"))
    rounds.end(decision, now_s)
    rounds.answer(now_s)
    rounds.begin(At(2, 0), now_s)
    assert isinstance(rounds.arrival("c", At(2, 0), 2, now_s), Wait)  # a and b would be 2 old
    assert isinstance(rounds.arrival("a", At(2, 0), 2, now_s), Wait)
    assert rounds.arrival("b", At(2, 0), 2, now_s) == everyone()


def test_a_deadline_follows_the_latencies_seen():
    policy = LatencyDeadline(deadline=PATIENT, quantile=0.5, slack=3.0)
    rounds, now_s = started(policy, passes=4)  # each took a second
    assert rounds.begin(At(4, 0), now_s) == Wait(now_s + 3.0)
    assert rounds.arrival("a", At(4, 0), 4, now_s + 1) == Wait(now_s + 3.0)
    assert rounds.tick(now_s + 3.0) == Proceed(frozenset("a"), frozenset("bc"))


def test_a_round_to_which_nobody_came_in_time_uses_what_is_held():
    rounds, now_s = started(LatencyDeadline(deadline=PATIENT))
    rounds.begin(At(1, 0), now_s)
    decision = rounds.tick(now_s + 1.2)
    assert decision == Reuse(frozenset("abc"))
    ended = rounds.end(decision, now_s + 1.2)
    assert (ended.arrived, ended.ages) == ({}, dict.fromkeys("abc", 1))


def alternating(policy, fast_s, slow_s, rounds_of_a_kind, total):
    """One batch; c is fast or slow for so many rounds in turn. Yields (round, how it ended)."""
    rounds, now_s = Rounds(policy, ABC), 0.0
    due: dict[str, tuple[float, At]] = {}

    def ask(names, at, count):
        for name in names:
            slow = name == "c" and (count // rounds_of_a_kind) % 2
            due[name] = now_s + (slow_s if slow else fast_s), at

    ask(ABC, At(0, 0), 0)
    for count in range(total):
        decision = rounds.begin(At(count, 0), now_s)
        while isinstance(decision, Wait):
            name = min(due, key=due.__getitem__)
            if due[name][0] > decision.until_s:
                now_s = decision.until_s
                decision = rounds.tick(now_s)
                continue
            now_s, at = due.pop(name)
            decision = rounds.arrival(name, at, at.number, now_s)
            if not isinstance(decision, Proceed | Reuse):
                ask(rounds.answer(now_s), At(count, 0), count)
        yield count, rounds.end(decision, now_s)
        now_s += 0.01
        ask(rounds.answer(now_s), At(count + 1, 0), count + 1)


def test_adaptive_waits_for_the_fast_and_not_for_the_slow():
    """While c takes 50 times as long, a and b stay new without it, until its bound is reached."""
    policy = Adaptive(deadline=PATIENT, max_age=60, min_fresh=0.0)
    log = alternating(policy, 1.0, 50.0, 100, 200)
    slow = [ended for count, ended in log if count >= 110]
    new = {name: sum(name in ended.arrived for ended in slow) for name in ABC}
    assert new["c"] <= 3 and min(new["a"], new["b"]) >= 8


def test_adaptive_does_not_wait_while_contributions_are_young():
    rounds, now_s = started(Adaptive(deadline=PATIENT, min_fresh=0.25), passes=1)
    assert rounds.begin(At(1, 0), now_s) == Reuse(frozenset("abc"))


def stepping(most, wait_s, step_s, rounds_of=6):
    """Rounds that wait so long for everybody and are followed by steps of so many seconds."""
    policy = Adaptive(deadline=PATIENT, min_fresh=1.0, local_steps=most)
    rounds, now_s, taken = Rounds(policy, ABC), 0.0, []
    for number in range(rounds_of):
        decision = rounds.begin(At(number, 0), now_s)
        now_s += wait_s
        for name in ABC:
            decision = rounds.arrival(name, At(number, 0), number, now_s)
        ended = rounds.end(decision, now_s)
        rounds.answer(now_s)
        assert ended.steps == decision.steps
        taken.append(ended.steps)
        now_s += step_s * ended.steps
    return taken


@pytest.mark.parametrize(
    ("most", "wait_s", "step_s", "steps"),
    [
        (8, 3.5, 1.0, 3), (8, 100.0, 1.0, 8), (8, 0.5, 1.0, 1), (8, 0.0, 1.0, 1),
        (1, 100.0, 1.0, 1), (3, 2.0, 0.5, 3), (8, 1.0, 0.0, 1),
    ],
)  # fmt: skip
def test_adaptive_takes_the_steps_that_fit_into_the_wait(most, wait_s, step_s, steps):
    """Once both are known, from the second round on; a step that takes no time tells nothing."""
    assert stepping(most, wait_s, step_s) == [1] + [steps] * 5


def test_the_wait_of_long_ago_is_forgotten():
    policy = Adaptive(deadline=PATIENT, min_fresh=1.0, local_steps=8)
    history = Rounds(policy, ABC).history
    for wait_s in [100.0] * 10 + [1.0] * 64:
        history.waits.observe(wait_s)
    assert history.waits.mean == 1.0


@pytest.mark.parametrize("policy", FILLING, ids=lambda policy: type(policy).__name__)
def test_policies_take_one_step_unless_told_otherwise(policy):
    assert policy.local_steps == 1
    rounds, now_s = started(policy, passes=3)
    rounds.begin(At(3, 0), now_s)
    for name in ABC:
        decision = rounds.arrival(name, At(3, 0), 3, now_s + 50.0)
    assert decision == everyone() and decision.steps == 1


traces = st.lists(st.sampled_from([0.1, 1.0, 10.0]), min_size=30, max_size=30)


@given(
    traces, traces,
    st.integers(1, 4), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), st.integers(1, 3),
)  # fmt: skip
def test_adaptive_keeps_its_bounds_on_any_trace(one, two, max_age, min_fresh, batches):
    policy = Adaptive(deadline=PATIENT, max_age=max_age, min_fresh=min_fresh)
    rounds, now_s = Rounds(policy, ["a", "b"]), 0.0
    trace = {"a": iter(one * 4), "b": iter(two * 4)}
    due = {name: (next(trace[name]), At(0, 0)) for name in "ab"}
    fresh = dict.fromkeys("ab", 0)
    for count in range(40):
        at = At(*divmod(count, batches))
        decision = rounds.begin(at, now_s)
        while isinstance(decision, Wait):
            name = min(due, key=due.__getitem__)
            if due[name][0] > decision.until_s:
                now_s = decision.until_s
                decision = rounds.tick(now_s)
                continue
            now_s, made = due.pop(name)
            decision = rounds.arrival(name, made, made.number, now_s)
            if isinstance(decision, Wait):
                for party in rounds.answer(now_s):
                    due[party] = now_s + next(trace[party], 1.0), at
        ended = rounds.end(decision, now_s)
        assert max(ended.ages.values(), default=0) <= max_age
        for name in ended.arrived:
            fresh[name] += 1
        assert min(fresh.values()) >= min_fresh * (count + 1) - 1e-9
        assert all(ended.filled[name] == at.number - age for name, age in ended.ages.items())
        for party in rounds.answer(now_s):
            due[party] = now_s + next(trace[party], 1.0), At(*divmod(count + 1, batches))
    assert not math.isinf(now_s)
