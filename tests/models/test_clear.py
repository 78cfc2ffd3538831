"""Block training in the clear against scikit-learn and scipy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from vfl.errors import DataError
from vfl.models.clear import fit_blocks
from vfl.models.families import GAUSSIAN, LOGISTIC, POISSON, SOFTMAX, balanced, normalised

FAMILIES = [LOGISTIC, GAUSSIAN, POISSON, SOFTMAX]
by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


def drawn(family, widths, *, n=2000, alike=0.5, condition=1.0, seed=0):
    """([own, passive blocks ...], targets): standardised columns that share a common part.

    `condition`: the same within each block, by mixing its columns, before standardisation.
    """
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1))
    blocks = []
    for f in widths:
        Q = np.linalg.qr(rng.standard_normal((f, f)))[0]
        mixed = (rng.standard_normal((n, f)) + alike * common) @ Q
        X = mixed * np.geomspace(1, 1 / condition, f) @ Q.T
        blocks.append((X - X.mean(axis=0)) / X.std(axis=0))
    X = np.hstack(blocks)
    z = X @ rng.standard_normal((X.shape[1], 3 if family is SOFTMAX else 1))
    z /= z.std()
    if family is LOGISTIC:
        return blocks, (rng.random((n, 1)) < LOGISTIC.mean(2 * z)).astype(float)
    if family is POISSON:
        return blocks, rng.poisson(np.exp(0.5 * z)).astype(float)
    if family is SOFTMAX:
        return blocks, np.eye(3)[np.argmax(2 * z + rng.gumbel(size=z.shape), axis=1)]
    y = z + rng.standard_normal((n, 1))
    return blocks, (y - y.mean()) / y.std()


def reference(family, X, target, weight, l2, intercept=True):
    """(coefficients (f, k), intercept (k,)) of scikit-learn."""
    n = len(X)
    if family is GAUSSIAN:
        made = Ridge(alpha=l2 * n, fit_intercept=intercept, solver="svd")
        made.fit(X, target[:, 0], weight)
    elif family is POISSON:
        made = PoissonRegressor(
            alpha=l2, fit_intercept=intercept, solver="newton-cholesky", tol=1e-10, max_iter=1000
        ).fit(X, target[:, 0], weight)
    else:
        C = 1 / (l2 * n) if l2 else np.inf
        y = target.argmax(axis=1) if family is SOFTMAX else target[:, 0]
        made = LogisticRegression(
            C=C, fit_intercept=intercept, tol=1e-10, max_iter=10000, solver="newton-cg"
        ).fit(X, y, weight)
    return np.atleast_2d(made.coef_).T, np.atleast_1d(made.intercept_)


def joined(fit):
    return np.vstack([fit.own, *fit.blocks])


@by_family
@pytest.mark.parametrize("passives", [1, 2, 3])
@pytest.mark.parametrize(("condition", "l2"), [(1, 1e-3), (1e3, 1e-3), (1, 0.0), (1e3, 0.0)])
def test_coefficients_and_deviance_are_scikit_learns(family, passives, condition, l2):
    blocks, target = drawn(family, [4, 7, 5, 3][: passives + 1], condition=condition)
    own, *others = blocks
    weight = np.ones(len(own))
    fit = fit_blocks(others, own, target, weight, family, l2=l2, rounds=500, tolerance=1e-6)
    coefficients, intercept = reference(family, np.hstack(blocks), target, weight, l2)
    assert fit.converged
    if family is SOFTMAX and not l2:  # all classes' scores may move together
        coefficients = coefficients - coefficients.mean(axis=1, keepdims=True)
        intercept = intercept - intercept.mean()
    np.testing.assert_allclose(joined(fit), coefficients, atol=1e-2)
    np.testing.assert_allclose(fit.intercept, intercept, atol=1e-2)
    z = np.hstack(blocks) @ coefficients + intercept
    best = family.deviance(z, target, weight)
    assert family.deviance(fit.scores, target, weight) == pytest.approx(best, rel=1e-3)
    np.testing.assert_allclose(
        fit.scores, np.hstack(blocks) @ joined(fit) + fit.intercept, atol=1e-8
    )


@by_family
def test_row_weights_are_scikit_learns(family):
    blocks, target = drawn(family, [3, 4])
    rng = np.random.default_rng(1)
    weight = (
        balanced(target.argmax(axis=1) if family is SOFTMAX else target[:, 0])
        if family in {LOGISTIC, SOFTMAX}
        else normalised(rng.exponential(size=len(target)))
    )
    fit = fit_blocks(
        blocks[1:], blocks[0], target, weight, family, l2=1e-2, rounds=2000, tolerance=1e-6
    )
    coefficients, intercept = reference(family, np.hstack(blocks), target, weight, 1e-2)
    assert fit.converged
    np.testing.assert_allclose(joined(fit), coefficients, atol=1e-3)
    np.testing.assert_allclose(fit.intercept, intercept, atol=1e-3)


@by_family
def test_without_an_intercept_scores_start_at_zero(family):
    blocks, target = drawn(family, [3, 4])
    weight = np.ones(len(target))
    fit = fit_blocks(
        blocks[1:], blocks[0], target, weight, family, l2=1e-2, intercept=False,
        rounds=2000, tolerance=1e-6,
    )  # fmt: skip
    coefficients, _ = reference(family, np.hstack(blocks), target, weight, 1e-2, intercept=False)
    np.testing.assert_allclose(joined(fit), coefficients, atol=1e-3)
    assert not fit.intercept.any()
    assert fit.losses[0] == family.loss(np.zeros_like(target), target, weight)


@by_family
def test_the_first_loss_is_that_of_the_intercept_and_the_last_that_of_the_scores(family):
    blocks, target = drawn(family, [3, 4])
    weight = np.ones(len(target))
    fit = fit_blocks(blocks[1:], blocks[0], target, weight, family, l2=0.1, rounds=7, tolerance=0)
    assert fit.rounds == 7 and len(fit.losses) == 8 and not fit.converged
    start = np.broadcast_to(family.start(target, weight), target.shape)
    assert fit.losses[0] == pytest.approx(family.loss(start, target, weight), rel=1e-12)
    last = family.loss(fit.scores, target, weight) + 0.05 * np.sum(fit.own**2)
    assert fit.losses[-1] == pytest.approx(last, rel=1e-12)


@by_family
def test_more_columns_than_rows_have_scipys_solution(family):
    blocks, target = drawn(family, [5, 40, 30], n=25)
    weight, X, l2 = np.ones(25), np.hstack(blocks), 0.05
    # Scores settle long before weights do: blocks can trade weights that no score shows.
    fit = fit_blocks(
        blocks[1:], blocks[0], target, weight, family, l2=l2, rounds=3000, tolerance=1e-8
    )
    k = target.shape[1]

    def objective(flat):
        w = flat.reshape(-1, k)
        z = X @ w[:-1] + w[-1]
        d = family.residual(z, target) / 25
        value = family.loss(z, target, weight) + l2 / 2 * np.sum(w[:-1] ** 2)
        return value, np.vstack([X.T @ d + l2 * w[:-1], d.sum(axis=0)]).ravel()

    found = minimize(
        objective, np.zeros((X.shape[1] + 1) * k), jac=True, method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    assert fit.converged
    np.testing.assert_allclose(joined(fit), found.x.reshape(-1, k)[:-1], atol=1e-3)
    total = fit.losses[-1] + l2 / 2 * sum(np.sum(w**2) for w in fit.blocks)
    assert total == pytest.approx(found.fun, abs=1e-6)


@pytest.mark.parametrize("family", [LOGISTIC, SOFTMAX], ids=lambda f: f.name)
def test_separable_rows_without_a_ridge_end_at_the_last_round(family):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((200, 4))
    target = (X[:, :1] > 0).astype(float)
    target = np.hstack([target, 1 - target]) if family is SOFTMAX else target
    fit = fit_blocks(
        [X[:, 2:]], X[:, :2], target, np.ones(200), family, l2=0.0, rounds=300, tolerance=1e-4
    )
    assert fit.rounds == 300 and not fit.converged
    assert np.isfinite(fit.scores).all() and np.isfinite(fit.losses).all()
    assert fit.losses[-1] < 0.02 < fit.losses[0]


@by_family
def test_constant_and_repeated_columns_change_nothing(family):
    (own, other), target = drawn(family, [3, 4])
    weight, options = np.ones(len(own)), {"l2": 0.0, "rounds": 2000, "tolerance": 1e-7}
    plain = fit_blocks([other], own, target, weight, family, **options)
    zeros = np.zeros((len(own), 1))
    more = [np.hstack([X, X[:, :1], zeros, X @ np.ones((X.shape[1], 1))]) for X in (own, other)]
    fit = fit_blocks([more[1], zeros], more[0], target, weight, family, **options)
    np.testing.assert_allclose(fit.scores, plain.scores, atol=1e-4)
    assert not fit.blocks[1].any() and not fit.blocks[0][5].any()


@by_family
def test_one_column_each_or_none_of_the_own(family):
    (own, other), target = drawn(family, [1, 1])
    weight, options = np.ones(len(own)), {"l2": 1e-3, "rounds": 2000, "tolerance": 1e-6}
    fit = fit_blocks([other], own, target, weight, family, **options)
    expected, _ = reference(family, np.hstack([own, other]), target, weight, 1e-3)
    np.testing.assert_allclose(joined(fit), expected, atol=1e-3)
    fit = fit_blocks([own, other], own[:, :0], target, weight, family, **options)
    np.testing.assert_allclose(joined(fit), expected, atol=1e-3)


@by_family
def test_columns_that_say_nothing_leave_the_intercept(family):
    target = drawn(family, [1])[1]
    nothing, weight = np.zeros((len(target), 2)), np.ones(len(target))
    fit = fit_blocks([nothing], nothing, target, weight, family, l2=0.1)
    assert fit.converged and fit.rounds <= 3 and not joined(fit).any()
    np.testing.assert_allclose(fit.intercept, family.start(target, weight), atol=1e-12)


@pytest.mark.parametrize("strength", [1.0, 2.0, 4.0])
def test_counts_of_any_spread_are_fitted_without_a_warning(strength):
    """The mean count is far below e^z of the largest rows, so first steps are too long."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((1500, 6))
    z = X @ rng.standard_normal(6)
    counts = rng.poisson(np.exp(strength * z / z.std())).astype(float)[:, None]
    weight = np.ones(1500)
    with warnings.catch_warnings(action="error"):
        fit = fit_blocks(
            [X[:, 2:4], X[:, 4:]], X[:, :2], counts, weight, POISSON,
            l2=1e-3, rounds=3000, tolerance=1e-5,
        )  # fmt: skip
    coefficients, intercept = reference(POISSON, X, counts, weight, 1e-3)
    best = POISSON.deviance(X @ coefficients + intercept, counts, weight)
    assert fit.converged
    assert POISSON.deviance(fit.scores, counts, weight) == pytest.approx(best, rel=1e-3)
    np.testing.assert_allclose(joined(fit), coefficients, atol=1e-2)


def test_bad_tables_are_refused():
    X, y, weight = np.ones((4, 1)), np.array([[0.0], [1.0], [0.0], [1.0]]), np.ones(4)
    with pytest.raises(DataError, match="counts below zero"):
        fit_blocks([X], X, -y, weight, POISSON, l2=0.1)
    with pytest.raises(DataError, match="single class"):
        fit_blocks([X], X, np.ones((4, 1)), weight, LOGISTIC, l2=0.1)
    with pytest.raises(DataError, match="not finite"):
        fit_blocks([X * np.nan], X, y, weight, LOGISTIC, l2=0.1)


@pytest.mark.parametrize("family", [LOGISTIC, SOFTMAX], ids=lambda f: f.name)
def test_a_ridge_that_the_active_party_does_not_see_costs_no_more_rounds(family):
    """Its loss rises while others' weights shrink; only a turning momentum may be restarted."""
    blocks, target = drawn(family, [4, 7, 5, 3], alike=1.5)
    fits = [
        fit_blocks(
            blocks[1:], blocks[0], target, np.ones(2000), family, l2=l2, rounds=500, tolerance=1e-6
        )
        for l2 in (0.0, 1e-3)
    ]
    assert fits[0].converged and fits[1].converged
    assert fits[1].rounds < 1.5 * fits[0].rounds


@pytest.mark.parametrize("passives", [1, 2, 3])
@pytest.mark.parametrize("alike", [0.0, 0.5, 1.5])
def test_a_thousandth_above_the_best_loss_takes_few_products(passives, alike, capsys):
    """And stochastic gradients, at the best of many rates, take many more."""
    blocks, target = drawn(LOGISTIC, [10, 20, 20, 20][: passives + 1], n=8192, alike=alike)
    weight, l2, X = np.ones(8192), 1e-3, np.hstack(blocks)
    coefficients, intercept = reference(LOGISTIC, X, target, weight, l2)
    ridge = l2 / 2 * np.sum(coefficients**2)
    best = LOGISTIC.loss(X @ coefficients + intercept, target, weight) + ridge

    def reached(rounds):
        fit = fit_blocks(
            blocks[1:], blocks[0], target, weight, LOGISTIC, l2=l2, rounds=rounds, tolerance=0
        )
        return fit.losses[-1] + l2 / 2 * sum(np.sum(w**2) for w in fit.blocks) < best + 1e-3

    ours = next(rounds for rounds in range(1, 200) if reached(rounds))
    sgd = 1000
    for rate in (0.3, 1.0, 0.1, 0.03):
        sgd = _sgd_batches(X, target, l2, best + 1e-3, rate, most=sgd)
    with capsys.disabled():
        print(f"\n{passives} passives, alike {alike}: {ours} rounds; SGD {sgd} batches of 1024")
    assert ours <= 100 and 2 * ours < sgd


def _sgd_batches(X, target, l2, goal, rate, most):
    """Batches of 1024 rows until an epoch ends at the goal; `most` where none does."""
    rng = np.random.default_rng(0)
    ones = np.column_stack([X, np.ones(len(X))])
    pen = np.append(np.full(X.shape[1], l2), 0.0)[:, None]
    w = np.zeros((ones.shape[1], 1))
    for batches in range(8, most, 8):
        order = rng.permutation(len(X)).reshape(8, -1)
        for rows in order:
            d = LOGISTIC.residual(ones[rows] @ w, target[rows])
            w = w - rate * (ones[rows].T @ d / len(rows) + pen * w)
        loss = LOGISTIC.loss(ones @ w, target, np.ones(len(X))) + np.sum(pen * w**2) / 2
        if loss < goal:
            return batches
    return most
