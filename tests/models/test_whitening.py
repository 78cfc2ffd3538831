"""Blocks of the fixed Hessian against explicit inverses and least squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl.errors import DataError
from vfl.models.families import LOGISTIC, SOFTMAX
from vfl.models.whitening import OwnBlock, Whitening

SHAPES = [(50, 6), (6, 50), (9, 9), (20, 1), (1, 4)]
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def columns(n, f, seed=0, condition=1.0):
    """Columns whose singular values reach down to 1 / condition of the largest."""
    rng = np.random.default_rng(seed)
    U, _, Vt = np.linalg.svd(rng.standard_normal((n, f)), full_matrices=False)
    return U * np.geomspace(1, 1 / condition, len(Vt)) @ Vt * np.sqrt(n)


def bound(X, curvature, blocks, l2):
    return blocks * curvature * X.T @ X / len(X) + l2 * np.eye(X.shape[1])


@by_shape
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_bound_becomes_the_identity_and_the_ridge_a_diagonal(shape, l2):
    X = columns(*shape, condition=100)
    made = Whitening.fit(X, 0.25, 3, l2)
    assert made.columns.shape == (shape[0], min(shape))
    np.testing.assert_allclose(made.columns, X @ made.basis, atol=1e-12)
    identity = made.basis.T @ bound(X, 0.25, 3, l2) @ made.basis
    np.testing.assert_allclose(identity, 0.75 * np.eye(min(shape)), atol=1e-9)
    ridge = l2 / 0.75 * made.basis.T @ made.basis
    np.testing.assert_allclose(ridge, np.diag(made.ridge), atol=1e-9)


@by_shape
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_a_plain_step_in_coordinates_is_a_newton_step_of_the_bound(shape, l2):
    rng = np.random.default_rng(1)
    X, d = columns(*shape, condition=10), rng.standard_normal((shape[0], 2))
    made = Whitening.fit(X, 0.5, 2, l2)
    u = rng.standard_normal((len(made.ridge), 2))
    w = made.weights(u)
    step = made.step(u, d)
    gradient = X.T @ d / len(d) + l2 * w
    expected = w - np.linalg.pinv(bound(X, 0.5, 2, l2), rcond=1e-9, hermitian=True) @ gradient
    np.testing.assert_allclose(made.weights(u - step), expected, atol=1e-9)


@by_shape
def test_weights_come_back_from_their_coordinates(shape):
    made = Whitening.fit(columns(*shape), 1.0, 2, 0.1)
    u = np.random.default_rng(2).standard_normal((len(made.ridge), 3))
    np.testing.assert_allclose(made.coordinates(made.weights(u)), u, atol=1e-10)


def test_a_warm_start_keeps_the_scores_of_any_weights():
    X = np.column_stack([columns(40, 3), np.zeros(40), columns(40, 3)[:, 0]])
    made = Whitening.fit(X, 1.0, 2, 0.0)
    w = np.random.default_rng(3).standard_normal((5, 2))
    assert len(made.ridge) == 3
    np.testing.assert_allclose(made.columns @ made.coordinates(w), X @ w, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    alike=st.floats(0, 5),
    l2=st.sampled_from([0.0, 1e-3, 1.0]),
    family=st.sampled_from([LOGISTIC, SOFTMAX]),
)
def test_all_blocks_together_stay_below_the_identity(seed, widths, alike, l2, family):
    """The Hessian in all blocks' coordinates, at any score, has no eigenvalue above one."""
    rng = np.random.default_rng(seed)
    n, k = 30, 3 if family is SOFTMAX else 1
    weight = rng.exponential(size=n)
    target = np.eye(k)[rng.integers(0, k, n)]
    z = 2 * rng.standard_normal((n, k))
    common = alike * rng.standard_normal((n, 1))
    blocks = [rng.standard_normal((n, f)) + common for f in widths]
    curvature = family.curvature(target, weight)
    made = [Whitening.fit(X, curvature, len(widths), l2) for X in blocks]
    X = np.hstack([m.columns for m in made])
    p = family.mean(z)
    local = p[:, :, None] * np.eye(k) - p[:, :, None] * p[:, None, :]
    if family is LOGISTIC:
        local = (p * (1 - p))[:, :, None]
    hessian = np.einsum("na,nkl,nb,n->kalb", X, local, X, weight, optimize=True)
    hessian = hessian.reshape(k * X.shape[1], -1) / (n * made[0].bound)
    hessian += np.kron(np.eye(k), np.diag(np.concatenate([m.ridge for m in made])))
    assert np.linalg.eigvalsh(hessian).max() <= 1 + 1e-9


def test_constant_zero_and_repeated_columns_are_left_out():
    X = columns(30, 2)
    X = np.column_stack([X, X[:, 0], np.zeros(30), X.sum(axis=1)])
    assert len(Whitening.fit(X, 1.0, 2, 0.1).ridge) == 2
    nothing = Whitening.fit(np.zeros((5, 3)), 1.0, 2, 0.1)
    assert nothing.columns.shape == (5, 0) and nothing.weights(np.zeros((0, 2))).shape == (3, 2)
    assert Whitening.fit(np.zeros((5, 0)), 1.0, 2, 0.1).basis.shape == (0, 0)


def test_directions_a_thousandth_of_the_largest_are_kept_exactly():
    X = columns(200, 20, condition=1e3)
    made = Whitening.fit(X, 1.0, 1, 0.0)
    gram = made.columns.T @ made.columns / 200
    np.testing.assert_allclose(gram, np.eye(20), atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_entries_that_are_not_finite_are_refused(bad):
    X = columns(10, 3)
    X[4, 1] = bad
    for fit in (lambda: Whitening.fit(X, 1.0, 2, 0.1), lambda: OwnBlock.fit(X, 1.0, 2, 0.1, True)):
        with pytest.raises(DataError, match="column 2 of 3 has entries that are not finite"):
            fit()


@pytest.mark.parametrize("rows", [30, 2])
def test_a_column_too_small_to_be_seen_is_refused_and_not_dropped(rows):
    X = columns(30, 3)[:rows] * [1.0, 1e-7, 1.0]
    with pytest.raises(DataError, match=r"column 2 of 3 .* scale: standard"):
        Whitening.fit(X, 1.0, 2, 0.0)


def test_the_own_block_solves_a_ridge_regression_in_one_step():
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 1))
    own = OwnBlock.fit(X, 1.0, 1, 0.2, intercept=True)
    w = rng.standard_normal((4, 1))
    w = w - own.inverse @ own.gradient(w, own.columns @ w - y)
    centred = X - X.mean(axis=0)
    slopes = np.linalg.solve(centred.T @ centred / 40 + 0.2 * np.eye(3), centred.T @ y / 40)
    np.testing.assert_allclose(w[:3], slopes, atol=1e-12)
    np.testing.assert_allclose(w[3], y.mean() - X.mean(axis=0) @ slopes, atol=1e-12)


def test_the_own_penalty_has_its_slope_and_spares_the_intercept():
    own = OwnBlock.fit(columns(20, 2), 1.0, 1, 0.5, intercept=True)
    w, step = np.array([[1.0], [2.0], [9.0]]), np.array([[0.3], [-0.1], [4.0]])
    assert own.penalty(w) == pytest.approx(0.25 * (1 + 4))
    numeric = (own.penalty(w + 1e-6 * step) - own.penalty(w - 1e-6 * step)) / 2e-6
    assert own.slope(w, w + step) == pytest.approx(numeric, rel=1e-8)


def test_the_own_block_may_be_empty_collinear_or_in_any_units():
    empty = OwnBlock.fit(np.zeros((5, 0)), 0.25, 2, 0.1, intercept=True)
    np.testing.assert_allclose(empty.inverse, [[2.0]])
    assert OwnBlock.fit(np.zeros((5, 0)), 0.25, 2, 0.1, intercept=False).inverse.shape == (0, 0)
    X = columns(30, 2)
    made = OwnBlock.fit(np.column_stack([X, X[:, 0], np.ones(30)]), 1.0, 1, 0.0, intercept=True)
    H = made.columns.T @ made.columns / 30
    np.testing.assert_allclose(H @ made.inverse @ H, H, atol=1e-9)
    units = np.array([1e8, 1e-8])
    small, plain = (OwnBlock.fit(x, 1.0, 1, 0.0, False).inverse for x in (X * units, X))
    np.testing.assert_allclose(small * np.outer(units, units), plain, rtol=1e-6, atol=1e-12)
