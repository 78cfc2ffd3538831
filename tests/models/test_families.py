"""Families against scikit-learn, scipy and finite differences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mean_poisson_deviance
from sklearn.utils.class_weight import compute_sample_weight

from vfl.errors import DataError, JobError
from vfl.models.families import (
    GAUSSIAN,
    LOGISTIC,
    POISSON,
    SOFTMAX,
    balanced,
    family_of,
    normalised,
)

FAMILIES = [LOGISTIC, GAUSSIAN, POISSON, SOFTMAX]
by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


def drawn(family, seed=0, n=40):
    """Scores, targets and weights of that family."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.standard_normal((n, 4 if family is SOFTMAX else 1))
    target = {
        "logistic": lambda: rng.integers(0, 2, (n, 1)).astype(float),
        "gaussian": lambda: rng.standard_normal((n, 1)),
        "poisson": lambda: rng.poisson(np.exp(z)).astype(float),
        "softmax": lambda: np.eye(4)[np.arange(n) % 4],
    }[family.name]()
    return z, target, normalised(rng.exponential(size=n))


@by_family
def test_the_residual_is_the_derivative_of_the_loss(family):
    z, target, weight = drawn(family)
    slope = weight[:, None] * family.residual(z, target) / len(z)
    for place in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[place] = 1e-5
        up, down = (family.loss(z + s, target, weight) for s in (step, -step))
        assert slope[place] == pytest.approx((up - down) / 2e-5, abs=1e-8)


@by_family
def test_the_loss_is_the_negative_log_likelihood_of_scipy(family):
    z, target, weight = drawn(family)
    likelihood = {
        "logistic": lambda: scipy.stats.bernoulli.logpmf(target, scipy.special.expit(z))[:, 0],
        "gaussian": lambda: scipy.stats.norm.logpdf(target, z)[:, 0],
        "poisson": lambda: scipy.stats.poisson.logpmf(target, np.exp(z))[:, 0],
        "softmax": lambda: (target * scipy.special.log_softmax(z, axis=1)).sum(axis=1),
    }[family.name]()
    expected = -np.average(likelihood, weights=weight)
    assert family.loss(z, target, weight) == pytest.approx(expected, rel=1e-12)


def test_deviances_are_those_of_scikit_learn():
    z, target, weight = drawn(POISSON)
    expected = mean_poisson_deviance(target[:, 0], np.exp(z[:, 0]), sample_weight=weight)
    assert POISSON.deviance(z, target, weight) == pytest.approx(expected, rel=1e-12)
    z, target, weight = drawn(SOFTMAX)
    expected = 2 * log_loss(target.argmax(axis=1), SOFTMAX.mean(z), sample_weight=weight)
    assert SOFTMAX.deviance(z, target, weight) == pytest.approx(expected, rel=1e-12)
    z, target, weight = drawn(LOGISTIC)
    expected = 2 * log_loss(target[:, 0], LOGISTIC.mean(z)[:, 0], sample_weight=weight)
    assert LOGISTIC.deviance(z, target, weight) == pytest.approx(expected, rel=1e-12)
    z, target, weight = drawn(GAUSSIAN)
    expected = np.average((z - target)[:, 0] ** 2, weights=weight)
    assert GAUSSIAN.deviance(z, target, weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("family", "target", "z"),
    [
        (LOGISTIC, [[0.3], [0.9]], np.log([[0.3 / 0.7], [9.0]])),
        (GAUSSIAN, [[0.3], [-0.9]], [[0.3], [-0.9]]),
        (POISSON, [[3.0], [0.5]], np.log([[3.0], [0.5]])),
        (SOFTMAX, [[0.2, 0.3, 0.5]] * 2, np.log([[0.2, 0.3, 0.5]] * 2)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_scores_that_meet_the_targets_have_no_deviance(family, target, z):
    assert family.deviance(np.asarray(z), np.array(target), np.ones(2)) == pytest.approx(
        0, abs=1e-14
    )


@by_family
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_curvature_bounds_the_second_derivative_along_any_line(family, seed):
    if family.damped:
        return
    z, target, weight = drawn(family, seed)
    direction = np.random.default_rng(seed + 1).standard_normal(z.shape)
    slopes = [
        np.sum(weight[:, None] * family.residual(at, target) * direction)
        for at in (z - 1e-4 * direction, z + 1e-4 * direction)
    ]
    second = (slopes[1] - slopes[0]) / 2e-4
    assert second <= family.curvature(target, weight) * np.sum(direction**2) * (1 + 1e-6)


def test_curvatures_are_reached():
    one, two = np.ones(1), np.array([0.5, 1.5])
    assert LOGISTIC.curvature(np.zeros((1, 1)), one) == 0.25
    assert LOGISTIC.curvature(np.zeros((2, 1)), two) == 0.375
    assert GAUSSIAN.curvature(np.zeros((1, 1)), one) == 1.0
    assert SOFTMAX.curvature(np.eye(2), one) == 0.5
    assert POISSON.curvature(np.array([[1.0], [5.0]]), two) == pytest.approx(4.0, rel=1e-12)


@by_family
def test_the_start_has_no_slope(family):
    _, target, weight = drawn(family)
    start = family.start(target, weight)
    z = np.broadcast_to(start, target.shape)
    np.testing.assert_allclose(weight @ family.residual(z, target), 0, atol=1e-12)
    if family is SOFTMAX:
        assert start.sum() == pytest.approx(0, abs=1e-14)


@by_family
@pytest.mark.parametrize("size", [800.0, 1e200, np.inf, np.nan])
def test_huge_scores_give_no_warning_and_no_nan(family, size):
    _, target, weight = drawn(family)
    z = np.full(target.shape, size)
    z[::2] *= -1
    with warnings.catch_warnings(action="error"):
        for value in (family.loss(z, target, weight), family.deviance(z, target, weight)):
            assert value > 0 and not np.isnan(value)
        if size <= 800:
            assert not np.isnan(family.residual(z, target)).any()


def test_tiny_probabilities_keep_their_digits():
    z = np.array([[-50.0]])
    assert LOGISTIC.mean(z)[0, 0] == pytest.approx(np.exp(-50), rel=1e-14)
    assert LOGISTIC.loss(z, np.zeros((1, 1)), np.ones(1)) == pytest.approx(np.exp(-50), rel=1e-14)


def test_a_row_of_weight_zero_does_not_count():
    z, target, weight = drawn(POISSON)
    z[0], weight[0] = 1e5, 0.0
    assert np.isfinite(POISSON.loss(z, target, weight))


@pytest.mark.parametrize("bad", [[0.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_impossible_weights_are_refused(bad):
    with pytest.raises(DataError, match="row weights"):
        normalised(bad)


def test_weights_are_scaled_to_mean_one():
    np.testing.assert_allclose(normalised([1, 2, 3]), [0.5, 1.0, 1.5])
    np.testing.assert_allclose(normalised([1e308, 1e308]), [1.0, 1.0])
    np.testing.assert_allclose(normalised([5e-324, 5e-324]), [1.0, 1.0])


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_balanced_weights_are_scikit_learns(labels):
    found = balanced(labels)
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels), rtol=1e-12)
    assert found.mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("family", "target", "message"),
    [
        (POISSON, [[1.0], [-1.0]], "counts below zero"),
        (POISSON, [[1.0], [np.nan]], "not finite"),
        (POISSON, [[0.0], [0.0]], "all zero"),
        (LOGISTIC, [[0.0], [2.0]], "outside 0 and 1"),
        (LOGISTIC, [[0.0], [np.nan]], "outside 0 and 1"),
        (LOGISTIC, [[1.0], [1.0]], "single class"),
        (GAUSSIAN, [[1.0], [np.inf]], "not finite"),
        (SOFTMAX, [[1.0, 0.0], [1.0, 1.0]], "add up to one"),
        (SOFTMAX, [[1.0, 0, 0], [0.0, 0, 1]], "no row of class 1"),
    ],
)
def test_targets_of_another_family_are_refused(family, target, message):
    with pytest.raises(DataError, match=message):
        family.start(np.array(target), np.ones(2))


def test_a_class_whose_rows_weigh_nothing_is_unseen():
    with pytest.raises(DataError, match="no row of class 1"):
        SOFTMAX.start(np.eye(2), np.array([2.0, 0.0]))


def test_families_have_names():
    assert [family_of(f.name) for f in FAMILIES] == FAMILIES
    with pytest.raises(JobError, match="gamma"):
        family_of("gamma")


def test_intercept_only_models_are_scikit_learns():
    """A column of zeros leaves scikit-learn the intercept alone."""
    _, target, weight = drawn(SOFTMAX)
    nothing = np.zeros((len(target), 1))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(nothing, target.argmax(1), weight)
    np.testing.assert_allclose(SOFTMAX.start(target, weight), fitted.intercept_, atol=1e-6)
