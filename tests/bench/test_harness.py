import itertools

import pytest

from vfl_bench import harness
from vfl_bench.clock import stolen_seconds
from vfl_bench.harness import MIN_ROUNDS, Contender, Seconds, Work, measure, timed
from vfl_bench.suites.common import Settings, beside_one_thread, relative_error


class Clock:
    """In the place of `time` in the harness: only work that says so takes any."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now / 2

    def slow(self, *seconds):
        """A call that takes these times in turn."""
        each = itertools.cycle(seconds)

        def run():
            self.now += next(each)

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(harness, "time", clock)
    return clock


def test_a_contender_three_times_as_slow_shows_a_ratio_of_three(clock):
    slow, slower = clock.slow(0.04, 0.05, 0.03), clock.slow(0.12, 0.15, 0.09)
    work = Work("w", "call", (Contender("a", slow, 1), Contender("b", slower, 1)))
    ours, theirs = measure(work, 0.95)  # begins with the second time of each
    assert ours.ratio_to["b"] == pytest.approx(3.0)
    assert theirs.ratio_to["a"] == pytest.approx(1 / 3)
    assert (ours.low, ours.real_time, ours.high) == pytest.approx((3.25e4, 4e4, 4.75e4))
    assert ours.cpu_time == pytest.approx(2e4)
    assert ours.iterations == theirs.iterations == 6


def test_time_is_told_for_an_item_and_not_for_a_call(clock):
    one, ten = Contender("one", clock.slow(0.02), 1), Contender("ten", clock.slow(0.02), 10)
    one, ten = measure(Work("w", "item", (one, ten)), 0.0)
    assert one.ratio_to["ten"] == pytest.approx(0.1)
    assert ten.iterations == MIN_ROUNDS


def test_contenders_take_turns_and_errors_are_measured_once_and_last():
    calls = []

    def contender(name):
        def error():
            calls.append(f"error of {name}")
            return 0.5

        return Contender(name, lambda: calls.append(name), 1, error=error)

    rows = measure(Work("w", "call", (contender("a"), contender("b"))), 0.0)
    assert calls == ["a", "b"] * (MIN_ROUNDS + 1) + ["error of a", "error of b"]
    assert [row.facts["relative_error"] for row in rows] == [0.5, 0.5]


def test_a_contender_that_times_itself_is_believed():
    seconds = itertools.count(1)  # the warm-up takes the first
    work = Work("w", "item", (Contender("far", lambda: Seconds(next(seconds), 0.5), 10),))
    (row,) = measure(work, 0.0)
    assert (row.low, row.real_time, row.high) == (2.5e5, 3e5, 3.5e5)
    assert row.cpu_time == 5e4


def test_only_an_answer_in_seconds_replaces_the_clock():
    assert timed(lambda: (3.0, 3.0)).real < 1.0
    assert timed(lambda: Seconds(3.0, 2.0)) == (3.0, 2.0)


def test_facts_of_a_contender_come_on_top_of_those_of_the_work():
    contenders = (
        Contender("a", int, 1, figures=lambda us: {"doubled": 2 * us}),
        Contender("b", int, 1, {"threads": 2}),
    )
    a, b = measure(Work("w", "call", contenders, {"threads": 1, "key_bits": 3072}), 0.0)
    lost = a.facts["stolen_processors"]
    assert a.facts == {"threads": 1, "key_bits": 3072, "stolen_processors": lost}
    assert b.facts == {"threads": 2, "key_bits": 3072, "stolen_processors": lost}
    assert a.figures == {"doubled": 2 * a.real_time}
    assert b.figures == {}


def test_what_the_host_kept_is_told_in_processors(clock, monkeypatch):
    kept = iter([7.0, 7.25])
    monkeypatch.setattr(harness, "stolen_seconds", lambda: next(kept))
    (row,) = measure(Work("w", "call", (Contender("a", clock.slow(0.125), 1),)), 0.5)
    assert row.facts["stolen_processors"] == pytest.approx(0.5)


def test_the_count_of_stolen_time_never_falls():
    before = stolen_seconds()
    assert 0.0 <= before <= stolen_seconds()


def test_more_threads_stand_beside_one_thread_in_the_same_work():
    counts = []

    def run(threads):
        return lambda: counts.append(threads)

    contenders = tuple(beside_one_thread(run, 4, 1))
    rows = measure(Work("w", "call", contenders), 0.0)
    assert counts == [4, 1] * (MIN_ROUNDS + 1)
    assert [(row.peer, row.facts["threads"]) for row in rows] == [("vfl", 4), ("vfl 1 thread", 1)]
    assert set(rows[0].ratio_to) == {"vfl 1 thread"}
    assert [c.peer for c in beside_one_thread(run, 1, 1)] == ["vfl"]
    assert Settings(threads=(4, 2)).counts == [1, 2, 4]


def test_the_relative_error_is_the_largest_deviation_by_the_largest_value():
    assert relative_error([1.0, -4.5], [1.25, -4.0]) == 0.125
