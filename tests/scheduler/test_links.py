"""Links against closed formulas, exact integrals and the laws of chance; one trace for all."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_scheduler import Fluctuation, Link, LinkModel, UnitCosts, connector, measured
from vfl_scheduler.links import draw

SLICE_S = 0.25


def link_of(fluctuation=None, *, seed=1, name="a->b", host="", bandwidth=1e6, **options):
    return Link(
        LinkModel(bandwidth, fluctuation=fluctuation, **options), seed=seed, name=name, host=host
    )


def test_draws_are_the_published_sequence_of_splitmix64():
    assert [draw(1234567, k) for k in range(5)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip


def test_a_message_takes_its_bits_over_the_bandwidth_and_the_latency():
    link = link_of(bandwidth=10e6, latency_s=0.05)
    assert link.carry(2.0, 1_250_000) == [pytest.approx(2.0 + 1.0 + 0.05, abs=1e-12)]


def test_a_message_starts_when_the_one_before_has_left():
    link = link_of(latency_s=3.0)
    sent = [(0.0, 125_000), (0.5, 250_000), (9.0, 125_000)]  # 1 s, 2 s, 1 s
    assert [link.carry(*one) for one in sent] == [[4.0], [6.0], [13.0]]


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 200_000)), min_size=1, max_size=20),
    st.integers(0, 10**9),
)
def test_messages_arrive_in_order_whatever_happens_to_them(gaps, seed):
    link = link_of(
        Fluctuation(0.4, 10, ("slice", SLICE_S)),
        seed=seed, latency_s=0.1, loss=0.3, duplication=0.3, outages=((1.0, 2.0), (4.0, 4.5)),
    )  # fmt: skip
    now, before = 0.0, 0.0
    for gap, size in gaps:
        now += gap
        for arrives in link.carry(now, size):
            assert arrives >= max(before, now + 8 * size / 1e6 + 0.1) - 1e-9
            before = arrives


def test_a_slow_round_takes_the_factor_longer():
    link = link_of(Fluctuation(0.5, 10, "round"))
    free = 0.0
    for round_ in range(200):
        (arrives,) = link.carry(free, 125_000, round_)
        assert arrives - free == pytest.approx(10.0 if link.slow(round_) else 1.0, rel=1e-9)
        free = arrives


def integral(link, start, bits, outages):
    """When the last bit leaves: slice by slice in fractions, from what `slow` says of each."""
    width, at, left = Fraction(SLICE_S), Fraction(start), Fraction(bits)
    borders = sorted(Fraction(edge) for outage in outages for edge in outage)
    while True:
        place = at // width
        quiet = any(Fraction(a) <= at < Fraction(b) for a, b in outages)
        rate = Fraction(0) if quiet else Fraction(10**6) / (10 if link.slow(int(place)) else 1)
        end = min([(place + 1) * width, *(edge for edge in borders if edge > at)])
        if left <= rate * (end - at) and not quiet:
            return float(at + left / rate)
        left -= rate * (end - at)
        at = end


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 300_000)), min_size=1, max_size=6),
    st.integers(0, 10**9),
    st.sampled_from([(), ((0.5, 0.75),), ((0.1, 0.3), (0.3, 1.9), (2.55, 7.1))]),
)
def test_a_transfer_over_slices_and_outages_is_the_integral_of_the_rate(gaps, seed, outages):
    link = link_of(Fluctuation(0.5, 10, ("slice", SLICE_S)), seed=seed, outages=outages)
    now, free = 0.0, 0.0
    for gap, size in gaps:
        now += gap
        free = integral(link, max(now, free), 8 * size, outages)
        assert link.carry(now, size) == [pytest.approx(free, rel=1e-9)]


def test_nothing_leaves_during_an_outage():
    link = link_of(outages=((1.0, 5.0),))
    assert link.carry(0.0, 250_000) == [6.0]  # one second before, one after
    assert link_of(outages=((1.0, 5.0),)).carry(3.0, 125_000) == [6.0]


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("granularity", ["message", "round", ("slice", 1.0)])
def test_the_share_of_slow_draws_is_the_probability(probability, granularity):
    link, n = link_of(Fluctuation(probability, 10, granularity)), 40_000
    slow = sum(link.slow(k) for k in range(n))
    assert abs(slow - n * probability) <= 6 * math.sqrt(n * probability * (1 - probability))


def test_draws_of_neighbours_and_of_other_seeds_and_names_are_independent():
    n, model = 40_000, Fluctuation(0.5, 10, "round")
    first = link_of(model)
    one = [first.slow(k) for k in range(n)]
    others = [link_of(model, seed=2), link_of(model, name="b->a"), link_of(model, host="h")]
    for other in [*([link.slow(k) for k in range(n)] for link in others), one[1:] + one[:1]]:
        same = sum(a == b for a, b in zip(one, other, strict=True))
        assert abs(same - n / 2) <= 6 * math.sqrt(n / 4)


@given(st.permutations(range(30)), st.integers(0, 10**9))
def test_the_trace_is_the_same_in_whatever_order_it_is_asked_for(order, seed):
    def trace(rounds, link):
        return {r: link.carry(1000.0 * (k + 1), 125_000, r) for k, r in enumerate(rounds)}

    model = Fluctuation(0.5, 10, "round")
    forward, shuffled = (link_of(model, seed=seed) for _ in range(2))
    for k, (round_, arrivals) in enumerate(trace(order, shuffled).items()):
        took = arrivals[0] - 1000.0 * (k + 1)
        assert took == pytest.approx(10.0 if forward.slow(round_) else 1.0, rel=1e-6)
    assert [shuffled.slow(k) for k in range(30)] == [forward.slow(k) for k in range(30)]


def test_links_of_one_host_are_slow_together_but_not_where_messages_are_drawn():
    rounds = range(64)
    for granularity, alike in [("round", True), (("slice", 1.0), True), ("message", False)]:
        model = LinkModel(1e6, fluctuation=Fluctuation(0.5, 10, granularity))
        connect = connector(model, seed=7, hub="bank")
        pairs = [("p0", "bank"), ("bank", "p0"), ("p0", "arbiter"), ("p1", "bank")]
        up, down, aside, other = (
            [link.slow(k) for k in rounds] for link in (connect(*pair) for pair in pairs)
        )
        assert (up == down == aside) is alike
        assert up != other


def test_without_a_hub_each_direction_has_its_own_state():
    connect = connector(LinkModel(1e6, fluctuation=Fluctuation(0.5)), seed=7)
    there, back = connect("a", "b"), connect("b", "a")
    assert [there.slow(k) for k in range(64)] != [back.slow(k) for k in range(64)]


def test_a_lost_message_is_late_by_time_outs_and_repetitions_and_holds_up_the_next():
    link = link_of(loss=0.5, latency_s=0.1)
    model, n, lost, free = LinkModel(1e6, 0.1, loss=0.5), 20_000, 0, 0.0
    for _ in range(n):
        (arrives,) = link.carry(0.0, 125_000)
        again = (arrives - 0.1 - free - 1.0) / (1.0 + model.retransmit_s)
        assert again == pytest.approx(round(again), abs=1e-6)
        lost, free = lost + round(again), arrives - 0.1
    # Of a geometric law with p = 1/2: mean 1, variance 2.
    assert abs(lost - n) <= 6 * math.sqrt(2 * n)


@pytest.mark.parametrize(("latency_s", "expected"), [(0.0, 0.2), (0.05, 0.2), (0.5, 2.0)])
def test_the_time_out_of_a_lost_copy_is_two_round_trips_or_a_fifth_of_a_second(latency_s, expected):
    assert LinkModel(1e6, latency_s).retransmit_s == expected


def test_a_duplicate_takes_the_link_a_second_time():
    link, n = link_of(duplication=0.25, latency_s=0.5), 20_000
    twice, free = 0, 0.0
    for _ in range(n):
        arrivals = link.carry(0.0, 125_000)
        assert arrivals == [pytest.approx(free + k + 1.5) for k in range(len(arrivals))]
        twice, free = twice + len(arrivals) - 1, arrivals[-1] - 0.5
    assert abs(twice - n / 4) <= 6 * math.sqrt(n * 3 / 16)


def test_a_seed_is_the_same_trace_in_another_process():
    code = """
from vfl_scheduler import Fluctuation, Link, LinkModel
model = LinkModel(1e6, 0.1, Fluctuation(0.5, 10, ("slice", 0.3)), loss=0.2, duplication=0.2)
link = Link(model, seed=11, name="a->b")
print([link.carry(0.1 * k, 1000 * k, k) for k in range(40)])
"""
    traces = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: LinkModel(0.0), "bandwidth"),
        (lambda: LinkModel(math.inf), "bandwidth"),
        (lambda: LinkModel(1e6, -0.1), "latency_s"),
        (lambda: LinkModel(1e6, math.nan), "latency_s"),
        (lambda: LinkModel(1e6, loss=1.0), "loss"),
        (lambda: LinkModel(1e6, duplication=1.1), "duplication"),
        (lambda: LinkModel(1e6, outages=((3.0, 2.0),)), "outages"),
        (lambda: LinkModel(1e6, outages=((1.0, 3.0), (2.0, 4.0))), "outages"),
        (lambda: LinkModel(1e6, outages=((1.0, math.inf),)), "outages"),
        (lambda: Fluctuation(1.5), "probability"),
        (lambda: Fluctuation(0.5, 0.5), "factor"),
        (lambda: Fluctuation(0.5, 10, "hour"), "granularity"),
        (lambda: Fluctuation(0.5, 10, ("slice", 0.0)), "granularity"),
        (lambda: UnitCosts({"encrypt": -1.0}), "encrypt"),
        (lambda: UnitCosts(slowdown={"p0": math.nan}), "p0"),
    ],
)
def test_what_no_link_can_be_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_unit_costs_are_those_of_the_work_else_of_its_stage_times_how_slow_the_party_is():
    costs = UnitCosts({"encrypt": 2.0, "Lattice.encrypt": 5.0}, {"p0": 3.0})
    assert costs("bank", "encrypt", "Paillier.encrypt", 0.1) == 2.0
    assert costs("bank", "encrypt", "Lattice.encrypt", 0.1) == 5.0
    assert costs("p0", "encrypt", "Lattice.encrypt", 0.1) == 15.0
    assert costs("p0", "align", "sort", 0.1) == 0.0
    assert measured("p0", "align", "sort", 0.1) == 0.1
