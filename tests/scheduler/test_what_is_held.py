"""The table of surrogates and the window of latencies, each against a plain oracle."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_scheduler import Surrogates
from vfl_scheduler.latency import Latencies


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 9))))
def test_the_newest_contribution_is_held_whatever_comes_late(refreshes):
    table: Surrogates[int] = Surrogates()
    for index, (party, batch, made) in enumerate(refreshes):
        before = table.made(party, batch)
        assert table.refresh(party, batch, made, index) == (before is None or made > before)
    for party in "ab":
        for batch in range(3):
            came = [(made, -index) for index, (p, b, made) in enumerate(refreshes)
                    if (p, b) == (party, batch)]  # fmt: skip
            if not came:
                assert table.made(party, batch) is None
                with pytest.raises(KeyError):
                    table.value(party, batch)
                continue
            made, index = max(came)  # the newest; of two for one pass the first
            assert (table.made(party, batch), table.value(party, batch)) == (made, -index)


def test_a_party_or_everything_can_be_forgotten():
    table: Surrogates[str] = Surrogates()
    for party in "ab":
        for batch in range(2):
            table.refresh(party, batch, 3, f"{party}{batch}")
    table.forget("a")
    assert [table.made(p, b) for p in "ab" for b in range(2)] == [None, None, 3, 3]
    table.clear()
    assert table.made("b", 0) is None
    assert table.refresh("b", 0, 1, "again")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 20), st.floats(0, 1))
def test_quantiles_are_those_of_the_sorted_window(latencies, size, share):
    window = Latencies(size)
    for latency in latencies:
        window.observe(latency)
    recent = sorted(latencies[-size:])
    assert len(window) == len(recent)
    assert window.mean == pytest.approx(math.fsum(recent) / len(recent))
    at_most = window.quantile(share)
    assert at_most in recent
    assert sum(x <= at_most for x in recent) >= share * len(recent) - 1e-9
    assert at_most == recent[0] or sum(x < at_most for x in recent) < share * len(recent) + 1e-9


@pytest.mark.parametrize("wrong", [-1e-9, math.inf, math.nan])
def test_what_is_no_duration_is_refused(wrong):
    window = Latencies()
    with pytest.raises(ValueError, match="no latency"):
        window.observe(wrong)
    with pytest.raises(ValueError, match="no latency was observed"):
        window.quantile(0.5)
    with pytest.raises(ValueError, match="no latency was observed"):
        _ = window.mean
