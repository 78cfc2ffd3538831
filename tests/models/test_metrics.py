"""Metrics of counts and classes against scikit-learn's own and closed formulas."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vfl.models import metrics
from vfl.models.families import GAUSSIAN, LOGISTIC, POISSON, SOFTMAX


def test_the_poisson_deviance_is_that_of_the_family():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 1))
    y = rng.poisson(np.exp(z)).astype(float)
    found = metrics.metrics_of(POISSON, z, y)
    one = np.ones(300)
    assert found["deviance"] == pytest.approx(POISSON.deviance(z, y, one), rel=1e-12)
    start = np.broadcast_to(POISSON.start(y, one), y.shape)
    explained = 1 - found["deviance"] / POISSON.deviance(start, y, one)
    assert found["d2"] == pytest.approx(explained, rel=1e-12)


@pytest.mark.parametrize("z", [-1e3, 1e3])
def test_predictions_beyond_the_range_of_floats_have_a_deviance(z):
    with warnings.catch_warnings(action="error"):
        found = metrics.metrics_of(POISSON, np.full((3, 1), z), np.array([[0.0], [1.0], [2.0]]))
    assert found["deviance"] > 100


def test_equal_counts_explain_nothing():
    assert set(metrics.counts(np.full(3, 2.0), np.full(3, 2.0))) == {"deviance"}
    assert set(metrics.counts(np.zeros(3), np.ones(3))) == {"deviance"}


def test_classes_have_the_macro_auc_of_scikit_learn():
    rng = np.random.default_rng(1)
    z, y = rng.standard_normal((300, 4)), rng.integers(0, 4, 300)
    found = metrics.metrics_of(SOFTMAX, z, np.eye(4)[y])
    p = SOFTMAX.mean(z)
    assert found["auc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert found["accuracy"] == np.mean(z.argmax(axis=1) == y)
    assert found["log_loss"] == pytest.approx(SOFTMAX.loss(z, np.eye(4)[y], np.ones(300)))


def test_a_class_that_is_not_held_out_is_left_out_of_the_auc():
    rng = np.random.default_rng(2)
    p, y = SOFTMAX.mean(rng.standard_normal((100, 3))), rng.integers(0, 2, 100)
    with warnings.catch_warnings(action="error"):
        found = metrics.multinomial(y, p)
        alone = metrics.multinomial(np.ones(5, int), p[:5])
    each = [roc_auc_score(y == c, p[:, c]) for c in (0, 1)]
    assert found["auc"] == pytest.approx(np.mean(each))
    assert set(alone) == {"accuracy", "log_loss"}


def test_two_classes_by_softmax_are_scored_as_one_by_logistic():
    rng = np.random.default_rng(3)
    z, y = rng.standard_normal((200, 1)), rng.integers(0, 2, 200)
    one = metrics.metrics_of(LOGISTIC, z, y[:, None].astype(float))
    two = metrics.metrics_of(SOFTMAX, np.hstack([0 * z, z]), np.eye(2)[y])
    assert two == pytest.approx(one)


def test_a_gaussians_metrics_are_those_of_a_regression():
    rng = np.random.default_rng(4)
    z, y = rng.standard_normal((2, 50, 1))
    assert metrics.metrics_of(GAUSSIAN, z, y) == metrics.regression(y[:, 0], z[:, 0])
