"""What becomes of a party that does not answer, and of one that comes back."""

from __future__ import annotations

import pytest

from vfl_scheduler import (
    Abort,
    AllArrived,
    AskMore,
    At,
    Backup,
    Deadline,
    Drop,
    Proceed,
    Reuse,
    Rounds,
    Wait,
)

ABC = ["a", "b", "c"]


def one_pass(on_lost, policy=AllArrived):
    """Rounds after a pass of one batch to which everybody contributed; the next one began at 10."""
    rounds: Rounds[str] = Rounds(policy(deadline=Deadline(5.0, on_lost)), ABC)
    rounds.begin(At(0, 0), 0.0)
    for name in ABC:
        decision = rounds.arrival(name, At(0, 0), f"{name}0", 1.0)
    rounds.end(decision, 1.0)
    assert sorted(rounds.answer(10.0)) == ABC
    assert rounds.begin(At(1, 0), 10.0) == Wait(15.0)
    rounds.arrival("a", At(1, 0), "a1", 11.0)
    return rounds


def test_abort_names_who_is_missing():
    rounds = one_pass("abort")
    assert rounds.tick(14.999) == Wait(15.0)
    assert rounds.tick(15.0) == Abort(frozenset("bc"))


def test_wait_asks_again_at_every_deadline():
    rounds = one_pass("wait")
    assert rounds.tick(15.0) == AskMore(frozenset("bc"), 20.0)
    assert rounds.ask(frozenset("bc"), 15.0) == Wait(20.0)
    assert rounds.arrival("b", At(1, 0), "b1", 16.0) == Wait(20.0)
    assert rounds.tick(20.0) == AskMore(frozenset("c"), 25.0)
    rounds.ask(frozenset("c"), 20.0)
    assert rounds.arrival("c", At(1, 0), "c1", 24.0) == Proceed(frozenset(ABC))


def test_a_surrogate_stands_in_from_the_deadline_on():
    rounds = one_pass("surrogate")
    decision = rounds.tick(15.0)
    assert decision == Proceed(frozenset("a"), frozenset("bc"))
    assert rounds.end(decision, 15.0).filled == {"b": "b0", "c": "c0"}
    assert rounds.lost == {"b", "c"}
    rounds.answer(15.0)
    rounds.begin(At(2, 0), 15.0)  # who was given up is not waited for again
    decision = rounds.arrival("a", At(2, 0), "a2", 16.0)
    assert decision == Proceed(frozenset("a"), frozenset("bc"))
    assert rounds.end(decision, 16.0).ages == {"b": 2, "c": 2}


def test_a_lost_party_that_returns_is_answered_at_once_and_waited_for_again():
    rounds = one_pass("surrogate")
    rounds.end(rounds.tick(15.0), 15.0)
    rounds.answer(15.0)
    rounds.begin(At(2, 0), 15.0)
    rounds.arrival("b", At(1, 0), "b1", 15.5)
    assert rounds.lost == {"c"} and rounds.answer(15.5) == ["b"] and rounds.counts.late == 1
    decision = rounds.arrival("a", At(2, 0), "a2", 16.0)
    ended = rounds.end(decision, 16.0)
    assert ended.filled == {"b": "b1", "c": "c0"} and ended.ages == {"b": 1, "c": 2}
    rounds.answer(16.0)
    rounds.begin(At(3, 0), 16.0)
    assert isinstance(rounds.arrival("a", At(3, 0), "a3", 17.0), Wait)
    assert rounds.arrival("b", At(3, 0), "b3", 18.0) == Proceed(frozenset("ab"), frozenset("c"))


def test_nobody_came_and_everything_is_held():
    rounds = one_pass("surrogate")
    rounds.arrival("b", At(1, 0), "b1", 11.0)
    rounds.end(rounds.arrival("c", At(1, 0), "c1", 11.0), 11.0)
    rounds.answer(11.0)
    rounds.begin(At(2, 0), 11.0)
    assert rounds.tick(16.0) == Reuse(frozenset(ABC))


def test_a_surrogate_that_does_not_exist_ends_the_job():
    rounds: Rounds[str] = Rounds(AllArrived(Deadline(5.0, "surrogate")), ABC)
    rounds.begin(At(0, 0), 0.0)
    rounds.arrival("b", At(0, 0), "b0", 1.0)
    assert rounds.tick(5.0) == Abort(frozenset("ac"))


def test_who_is_dropped_takes_no_part_any_more():
    rounds = one_pass("drop")
    assert rounds.tick(15.0) == Drop(frozenset("bc"))
    decision = rounds.drop(frozenset("bc"))
    assert decision == Proceed(frozenset("a"))
    assert rounds.end(decision, 15.0).filled == {}
    assert rounds.answer(15.0) == ["a"]
    assert rounds.arrival("b", At(1, 0), "b1", 15.5) is None
    assert rounds.answer(15.5) == [] and rounds.counts.repeated == 1
    rounds.begin(At(2, 0), 16.0)
    assert rounds.arrival("a", At(2, 0), "a2", 17.0) == Proceed(frozenset("a"))


@pytest.mark.parametrize("on_lost", ["abort", "wait", "drop"])
def test_deadlines_hold_for_whom_a_policy_could_do_without(on_lost):
    """Two of three make a round here, but one that never answers is no straggler."""
    rounds = one_pass(on_lost, Backup)
    rounds.end(rounds.arrival("b", At(1, 0), "b1", 11.0), 11.0)
    rounds.answer(11.0)
    rounds.begin(At(2, 0), 14.0)
    rounds.arrival("a", At(2, 0), "a2", 14.5)
    decision = rounds.tick(15.0)  # c was asked at 10
    assert (
        decision
        == {
            "abort": Abort(frozenset("c")),
            "wait": AskMore(frozenset("c"), 20.0),
            "drop": Drop(frozenset("c")),
        }[on_lost]
    )


def test_a_late_contribution_leaves_nobody_unasked():
    """All that was asked for has come, some of it late: what it is answered with is awaited."""
    rounds: Rounds[str] = Rounds(Backup(deadline=Deadline(5.0)), ["a", "b"])
    for batch in range(2):
        rounds.begin(At(0, batch), 0.0)
        rounds.arrival("a", At(0, batch), "a", 0.0)
        if batch == 0:
            rounds.end(rounds.arrival("b", At(0, batch), "b", 0.0), 0.0)
            rounds.answer(0.0)
    rounds.end(rounds.arrival("b", At(0, 1), "b", 0.0), 0.0)
    rounds.answer(0.0)
    rounds.begin(At(1, 0), 0.0)
    rounds.end(rounds.arrival("a", At(1, 0), "a", 1.0), 1.0)  # b's is one pass old
    rounds.answer(1.0)
    rounds.begin(At(2, 1), 1.0)
    assert rounds.arrival("a", At(2, 1), "a", 2.0) == Wait(5.0)  # b's is two passes old
    assert rounds.arrival("b", At(1, 0), "b", 4.0) == Wait(9.0)  # it is asked anew, at 4
    assert rounds.answer(4.0) == ["b"]
    assert rounds.arrival("b", At(2, 1), "b", 8.0) == Proceed(frozenset("ab"))
