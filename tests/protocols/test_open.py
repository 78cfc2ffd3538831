"""Level `open`: the descent that numpy does on pooled columns, and each its own gradient alone."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import vfl
from vfl import plaintext
from vfl.spec import (
    LinearRegression,
    LogisticRegression,
    MultinomialRegression,
    PoissonRegression,
)
from vfl.verify import _weights

ACCEPTED = {"accept_gradient_leak": True, "accept_score_leak": True}
SAME = {"sgd": 1e-4, "momentum": 3e-4, "rmsprop": 1e-3, "adam": 1e-3}  # of a weight
"""A gradient is off by 2^-17 of the residuals; what divides by its size adds the more to it."""


def fit(small, folder):
    """(run, theta of the run (f + 1, k), theta by numpy)."""
    run = vfl.run_job(small.job, folder=folder)
    pooled = plaintext.pool(small.job)
    return run, _weights(run, pooled), plaintext.train(small.job, pooled, run.result.epochs)


def relabelled(small, change):
    """The label of the tables and of the active party's file is `change` of what it was."""
    path = small.folder / "bank.csv"
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    rows = [[*row[:-1], change(row)] for row in rows]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return small


def counts(row):
    return int(np.clip(np.exp(0.4 * float(row[1])), 0, 30))


def colours(row):
    return ("red", "green", "blue")[int(np.clip(float(row[1]) // 2 + 1, 0, 2))]


MODELS = {
    "logistic": (LogisticRegression, None),
    "linear": (LinearRegression, None),
    "poisson": (PoissonRegression, counts),
    "multinomial": (MultinomialRegression, colours),
}


@pytest.mark.parametrize("passives", [1, 2, 3])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_weights_are_those_of_the_same_descent_on_pooled_columns(
    small_job, tmp_path, kind, passives, optimizer
):
    made, change = MODELS[kind]
    rate = {"sgd": 0.2, "momentum": 0.03, "rmsprop": 0.03, "adam": 0.1}[optimizer]
    if kind == "poisson" and optimizer in ("sgd", "momentum"):
        rate /= 10
    model = made(optimizer=optimizer, learning_rate=rate, epochs=6, batch_size=40, l2=0.01)
    small = small_job(
        passives=passives, model=model, security="open", rows=160, test_fraction=0.25, **ACCEPTED
    )
    if change:
        relabelled(small, change)
    run, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=SAME[optimizer])
    assert np.abs(expected).max() > 0.05
    assert run.result.epochs == 6
    assert run.result.ledger.clean and not run.result.undeclared
