"""Rounds as lists of events: the same events give the same decisions, on no clock at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_scheduler import Abort, AllArrived, Deadline, Gather, Proceed, Wait

NAMES = ("a", "b", "c", "d")


def decisions(expected, events, *, begin=100.0, deadline_s=10.0):
    """The decision log of a round: events are (party or None for a tick, seconds since begin)."""
    gather = Gather.of(AllArrived(Deadline(deadline_s)), expected, begin)
    log = [gather.start()]
    for party, at in events:
        log.append(gather.tick(begin + at) if party is None else gather.arrival(party, begin + at))
    return log


def test_a_round_waits_until_its_deadline_for_all():
    log = decisions("ab", [("a", 1.0), (None, 3.0), ("b", 4.0)])
    assert log == [Wait(110.0), Wait(110.0), Wait(110.0), Proceed(frozenset("ab"))]


def test_a_round_that_nobody_is_expected_in_proceeds_at_once():
    assert decisions("", []) == [Proceed(frozenset())]


def test_a_round_is_given_up_at_its_deadline_and_names_who_is_missing():
    log = decisions("abc", [("b", 9.0), (None, 9.999), (None, 10.0)])
    assert log[-2:] == [Wait(110.0), Abort(frozenset("ac"))]


def test_the_last_contribution_counts_even_if_it_comes_after_the_deadline():
    assert decisions("a", [("a", 11.0)])[-1] == Proceed(frozenset("a"))


def test_an_early_contribution_does_not_move_the_deadline():
    assert all(d == Wait(110.0) for d in decisions("abc", [("a", 5.0), ("b", 9.0), (None, 9.5)]))


def test_a_second_contribution_of_a_party_changes_nothing():
    log = decisions("ab", [("a", 1.0), ("a", 2.0), ("a", 3.0), ("b", 4.0)])
    assert log == [*[Wait(110.0)] * 4, Proceed(frozenset("ab"))]
    gather = Gather.of(AllArrived(Deadline(10.0)), "ab", 0.0)
    gather.arrival("a", 1.0)
    gather.arrival("a", 2.0)
    assert gather.state.arrived == {"a": 1.0}  # the first time counts


def test_a_party_that_is_not_in_the_round_is_an_error_and_leaves_no_trace():
    gather = Gather.of(AllArrived(Deadline(10.0)), "ab", 0.0)
    with pytest.raises(ValueError, match="c is not expected"):
        gather.arrival("c", 1.0)
    assert gather.state.arrived == {} and gather.state.now_s == 0.0


steps = st.lists(st.tuples(st.sampled_from([*NAMES, None]), st.floats(0, 3)), max_size=20)


@given(steps)
def test_replaying_the_events_of_a_round_gives_the_same_decisions(gaps):
    at, events = 0.0, []
    for party, gap in gaps:
        at += gap
        events.append((party, at))
    assert decisions(NAMES, events) == decisions(NAMES, events)


@given(steps)
def test_a_decision_depends_on_who_arrived_and_the_time_alone(gaps):
    at, events = 0.0, []
    for party, gap in gaps:
        at += gap
        events.append((party, at))
    arrived: set[str] = set()
    for (party, now), decision in zip(events, decisions(NAMES, events)[1:], strict=True):
        arrived |= {party} - {None}
        missing = frozenset(NAMES) - arrived
        if not missing:
            assert decision == Proceed(frozenset(NAMES))
        elif 100.0 + now >= 110.0:
            assert decision == Abort(missing)
        else:
            assert decision == Wait(110.0)


def test_decisions_are_values():
    assert len({Wait(1.0), Wait(1.0), Abort(frozenset("a")), Proceed(frozenset("a"))}) == 3
    with pytest.raises(AttributeError):
        Wait(1.0).until_s = 2.0
