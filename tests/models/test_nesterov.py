"""The controller's moves: on scripted probes, and as an optimiser of functions in the clear."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl.models.nesterov import NOISE, UNIT, Advance, Controller, Retreat, Stop, Trail

DOWN, MOVED = -1.0, 1.0
"""A negative slope; a movement above any tolerance here."""


def fed(controller, losses, slope=DOWN, movement=MOVED):
    return [controller.decide(loss, slope, movement) for loss in losses]


def minimised(controller, function, gradient, start):
    """(last probe, how it ended, all moves) with scores the variables themselves."""
    v = w = begin = np.asarray(start, float)
    g, trail, moves = np.zeros_like(v), Trail(), []
    while True:
        with np.errstate(over="ignore"):
            loss = function(v)
        slope, movement, turn = trail.motion(v[:, None])
        move = controller.decide(loss, slope * len(v), movement, turn=turn)
        moves.append(move)
        if isinstance(move, Stop):
            return v, move, moves
        if isinstance(move, Advance):
            begin, g = v, gradient(v)
            trail.advance(v[:, None], g[:, None], move)
            new = v - move.step_size * g
            v, w = new + move.momentum * (new - w), new
        else:
            trail.retreat()
            v = w = begin - move.step_size * g


def test_momentum_is_t_over_t_plus_three_in_units():
    moves = fed(Controller(2000, 0.0), [-float(t) for t in range(2000)])
    assert [m.momentum for m in moves[:4]] == [0.0, 0.25, 102 / 256, 0.5]
    for t, move in enumerate(moves):
        assert (move.momentum * UNIT).is_integer() and move.step_size == 1.0
        assert move.momentum == min(round(256 * t / (t + 3)), 255) / 256


@pytest.mark.parametrize("slope", [DOWN, 1.0])
def test_a_rise_restarts_the_momentum_where_curvature_is_bounded(slope):
    moves = fed(Controller(9, 0.0), [5.0, 4.0, 3.0, 3.1, 3.0], slope)
    assert [m.momentum for m in moves] == [0.0, 0.25, 102 / 256, 0.0, 0.25]


def test_a_rise_while_the_momentum_points_downhill_is_the_ridges():
    controller = Controller(9, 0.0)
    fed(controller, [5.0, 4.0])
    assert controller.decide(4.1, 1.0, MOVED, turn=-1e-9) == Advance(1.0, 102 / 256)
    assert controller.decide(4.2, 1.0, MOVED, turn=1e-9) == Advance(1.0, 0.0)
    assert controller.decide(4.1, 1.0, MOVED, turn=1.0) == Advance(1.0, 0.25)


def test_only_a_rise_against_the_slope_is_taken_back():
    controller = Controller(20, 0.0, damped=True)
    assert fed(controller, [5.0, 4.0])[-1] == Advance(1.0, 0.25)
    assert fed(controller, [4.5], slope=0.0) == [Advance(1.0, 0.0)]
    assert fed(controller, [4.4]) == [Advance(1.0, 0.25)]
    assert fed(controller, [4.5, 4.45]) == [Retreat(0.5), Retreat(0.25)]
    assert fed(controller, [4.3, 4.2]) == [Advance(0.25, 0.0), Advance(0.25, 0.25)]


def test_a_rise_within_rounding_restarts_and_is_not_taken_back():
    controller = Controller(20, 0.0, damped=True)
    rise = 4.0 * (1 + NOISE / 2)
    assert fed(controller, [5.0, 4.0, rise])[-1] == Advance(1.0, 0.0)
    assert fed(controller, [rise * (1 + 2 * NOISE)]) == [Retreat(0.5)]


@pytest.mark.parametrize("damped", [False, True])
@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_always_taken_back(damped, loss):
    controller = Controller(20, 0.0, damped)
    assert fed(controller, [1.0, loss], slope=math.nan) == [Advance(1.0, 0.0), Retreat(0.5)]


def test_without_a_short_enough_step_it_goes_back_and_stops():
    controller = Controller(100, 0.0)
    moves = fed(controller, [1.0] + [math.inf] * 9 + [1.0])
    assert moves[1:9] == [Retreat(2.0**-i) for i in range(1, 9)]
    assert moves[9:] == [Retreat(0.0), Stop(converged=False)]
    assert fed(Controller(100, 0.0), [math.inf]) == [Stop(converged=False)]


def test_a_last_step_that_was_too_long_is_still_taken_back():
    controller = Controller(2, 0.0, damped=True)
    moves = fed(controller, [3.0, 2.0, math.inf, 1.0])
    assert moves == [Advance(1.0, 0.0), Advance(1.0, 0.25), Retreat(0.0), Stop(converged=False)]


def test_rounds_are_steps():
    moves = fed(Controller(3, 0.0), [4.0, 3.0, 2.0, 1.0])
    assert [type(m) for m in moves] == [Advance, Advance, Advance, Stop]
    assert not moves[-1].converged
    assert fed(Controller(0, 0.0), [4.0]) == [Stop(converged=False)]


def rolling(controller, last, probes=12):
    """Until momentum 3/4 is reached."""
    assert fed(controller, [last - i for i in range(probes)])[-1].momentum >= 0.75
    return last - probes


def test_two_small_movements_in_a_row_end_it():
    controller = Controller(50, 1e-3)
    last = rolling(controller, 20.0)
    moves = [controller.decide(last, DOWN, m) for m in (9e-4, 1.1e-3, 9e-4, 9e-4)]
    assert [type(m) for m in moves] == [Advance] * 3 + [Stop]
    assert moves[-1].converged


def test_after_a_restart_small_movements_are_those_that_momentum_keeps_small():
    controller = Controller(50, 1e-3)
    last = rolling(controller, 20.0)
    assert controller.decide(last + 2, DOWN, MOVED, turn=1.0) == Advance(1.0, 0.0)
    moves = [controller.decide(last, DOWN, m) for m in (2.6e-4, 3.4e-4, 2.4e-4, 4.9e-4)]
    assert [type(m) for m in moves] == [Advance] * 3 + [Stop]


def test_movements_of_short_steps_count_by_the_full_step():
    controller = Controller(50, 1e-3, damped=True)
    fed(controller, [21.0, math.inf])  # half steps from here
    last = rolling(controller, 20.0)
    moves = [controller.decide(last, DOWN, m) for m in (6e-4, 6e-4, 6e-4, 4e-4, 4e-4)]
    assert [type(m) for m in moves] == [Advance] * 4 + [Stop]


def test_patience_ends_it_when_the_validation_loss_stays():
    controller = Controller(50, 0.0, patience=2)
    values = [3.0, 2.0, 2.5, 1.9, 1.9, 2.0]
    moves = [controller.decide(-i, DOWN, MOVED, v) for i, v in enumerate(values)]
    assert [type(m) for m in moves] == [Advance] * 5 + [Stop]
    assert moves[-1].converged
    patient = Controller(50, 0.0)
    assert all(isinstance(patient.decide(-i, DOWN, MOVED, 1.0), Advance) for i in range(9))


def test_a_probe_that_is_taken_back_does_not_try_patience():
    controller = Controller(50, 0.0, damped=True, patience=1)
    controller.decide(3.0, DOWN, MOVED, 1.0)
    assert isinstance(controller.decide(9.0, DOWN, MOVED, 5.0), Retreat)
    assert isinstance(controller.decide(2.0, DOWN, MOVED, 0.9), Advance)


PROBES = st.lists(
    st.tuples(
        st.floats(-10, 10) | st.just(math.inf), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1)
    ),
    max_size=30,
)


@given(before=PROBES, after=PROBES, damped=st.booleans())
def test_a_restored_controller_goes_on_as_if_nothing_had_happened(before, after, damped):
    one, other = (Controller(25, 0.1, damped, patience=4) for _ in range(2))
    for probe in before:
        one.decide(*probe)
    other.restore(json.loads(json.dumps(one.to_dict(), allow_nan=False)))
    assert other == one
    assert [other.decide(*p) for p in after] == [one.decide(*p) for p in after]


@given(probes=PROBES, damped=st.booleans())
def test_it_ends_whatever_the_probes_say(probes, damped):
    controller = Controller(10, 0.0, damped)
    moves = []
    for probe in probes * 10:
        moves.append(controller.decide(*probe))
        if isinstance(moves[-1], Stop):
            break
    else:
        assert len(probes) * 10 <= 20
    assert len(moves) <= 10 + 9 + 1
    for move in moves[:-1]:
        assert (move.step_size * UNIT).is_integer() and 0 <= move.step_size <= 1


@given(seed=st.integers(0, 2**32 - 1), moves=st.lists(st.integers(0, 256), max_size=8))
def test_a_trail_finds_slope_movement_and_turn_from_probes_alone(seed, moves):
    """Against v and w themselves, on steps of any momentum; 256 stands for a step taken back."""
    rng = np.random.default_rng(seed)
    trail = Trail()
    v = w = rng.standard_normal((5, 2))
    assert trail.motion(v) == (0.0, 0.0, 0.0)
    start = d = None
    for momentum in moves:
        if momentum == 256 and start is None:
            continue
        if momentum == 256:
            trail.retreat()
            v = w = start - 0.5 * d
        else:
            start, before, d = v, w, rng.standard_normal((5, 2))
            trail.advance(v, d, Advance(1.0, momentum / 256))
            w = start - d
            v = w + momentum / 256 * (w - before)
        slope, movement, turn = trail.motion(v)
        assert slope == pytest.approx(np.sum(d * (v - start)) / 5, abs=1e-9)
        assert movement == pytest.approx(np.sqrt(np.mean((v - start) ** 2)), abs=1e-9)
        assert turn == pytest.approx(np.sum((start - w) * (w - before)) / 5, abs=1e-9)


def test_a_trail_of_scores_without_end_gives_no_warning():
    trail = Trail()
    trail.advance(np.zeros((2, 1)), np.ones((2, 1)), Advance(1.0, 0.0))
    with warnings.catch_warnings(action="error"):
        trail.motion(np.array([[np.inf], [-np.inf]]))


def test_it_minimises_a_quadratic_far_sooner_than_plain_steps():
    """Plain steps need log(1e-3 / gap) * condition rounds, accelerated ones its square root."""
    scale = np.geomspace(1, 1e-4, 12)
    start = np.ones(12) / scale

    def function(v):
        return float(scale @ v**2) / 2

    v, end, moves = minimised(Controller(5000, 1e-5), function, lambda v: scale * v, start)
    assert end.converged and function(v) < 1e-6
    plain = start * (1 - scale) ** len(moves)
    assert function(v) < 1e-3 * function(plain)


def test_it_finds_its_way_where_the_curvature_was_guessed_too_low():
    """e^v - 30 v from v = 0 as if its curvature were 1: the first step would reach e^29."""
    v, end, moves = minimised(
        Controller(500, 1e-8, damped=True),
        lambda v: float(np.exp(v[0]) - 30 * v[0]), lambda v: np.exp(v) - 30, [0.0],
    )  # fmt: skip
    assert end.converged and v[0] == pytest.approx(math.log(30), abs=1e-7)
    assert any(isinstance(m, Retreat) for m in moves)


def test_a_ridge_that_the_controller_does_not_see_is_not_taken_for_an_overshoot():
    """From a warm start at large weights the visible loss must rise, and nothing is taken back."""
    ridge, v, w, trail, moves = 0.5, np.array([[3.0]]), np.array([[3.0]]), Trail(), []
    controller = Controller(500, 1e-9, damped=True)
    while True:
        slope, movement, turn = trail.motion(v)
        move = controller.decide(float((v[0, 0] - 3) ** 2) / 8, slope, movement, turn=turn)
        moves.append(move)
        if not isinstance(move, Advance):
            break
        residual = (v - 3) / 4
        trail.advance(v, residual, move)
        new = v - move.step_size * (residual + ridge * v)
        v, w = new + move.momentum * (new - w), new
    assert moves[-1] == Stop(converged=True) and v[0, 0] == pytest.approx(1.0, abs=1e-7)
    assert all(m.step_size == 1.0 for m in moves[:-1])
    assert [m.momentum for m in moves[:4]] == [0.0, 0.25, 102 / 256, 0.5]
