"""The protocols compute what the papers say: the same weights as an independent implementation."""

from __future__ import annotations

import csv
import math
from collections import Counter

import msgspec
import numpy as np
import plaintext
import pytest

import vfl
from vfl.errors import AlignmentError, DataError, SecurityError
from vfl.parties import coordinated
from vfl.protocols.guards import OPENED_BITS
from vfl_crypto.oracles.mock import MockScheme

# Both sides round opened gradients to 16 significant bits. Between two float64 programs only the
# order of additions differs (1e-15), unless that moves an entry over a rounding border: then one
# quantum, 2^-16 of the largest entry, times the learning rate, may show. 1e-9 says that none did.
SAME = 1e-9


def weights_of(run) -> tuple[dict[str, np.ndarray], float]:
    models = {
        p.name: msgspec.json.decode((run.folder / p.name / "model.json").read_bytes())
        for p in run.job.parties
        if p.data
    }
    (intercept,) = models["bank"]["intercept"]
    return {k: np.array(m["weights"])[:, 0] for k, m in models.items()}, intercept


def check_same(run, expected, tolerance=SAME):
    theta, intercept, epochs, _ = expected
    found, b = weights_of(run)
    assert found.keys() == theta.keys()
    for party, weights in theta.items():
        assert np.abs(weights).max() > 0.001  # there is something to compare
        np.testing.assert_allclose(found[party], weights, rtol=0, atol=tolerance)
    assert b == pytest.approx(intercept, abs=tolerance)
    assert run.result.epochs == epochs


def model_of(kind, **options):
    return {"logistic": vfl.LogisticRegression, "linear": vfl.LinearRegression}[kind](**options)


@pytest.mark.parametrize("passives", [1, 2, 3])
@pytest.mark.parametrize("kind", ["logistic", "linear"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_weights_are_those_of_an_independent_implementation(
    small_job, tmp_path, passives, kind, optimizer
):
    options = {"optimizer": optimizer, "epochs": 4, "l2": 0.02, "learning_rate": 0.07}
    small = small_job(passives=passives, model=model_of(kind, **options))
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    check_same(run, plaintext.fit(small.tables, logistic=kind == "logistic", **options))


@pytest.mark.parametrize(
    ("options", "job"),
    [
        ({"batch_size": 30}, {"accept_gradient_leak": True}),
        ({"batch_size": 45, "optimizer": "rmsprop"}, {"accept_gradient_leak": True}),
        ({"intercept": False}, {}),
        ({"l2": 0.0}, {}),
        ({"l2": 5.0, "optimizer": "sgd"}, {}),
        ({}, {"test_fraction": 0.0}),
        ({}, {"seed": -3, "test_fraction": 0.3}),
    ],
)
def test_every_option_of_the_model_does_what_it_says(small_job, tmp_path, options, job):
    small = small_job(passives=2, model=vfl.LogisticRegression(epochs=3, **options), **job)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    plain = {k: v for k, v in job.items() if k in ("test_fraction", "seed")}
    check_same(run, plaintext.fit(small.tables, logistic=True, epochs=3, **options, **plain))


def test_opening_sixteen_bits_moves_the_weights_by_less_than_a_thousandth(small_job, tmp_path):
    small = small_job(passives=2, model=vfl.LinearRegression(epochs=20, optimizer="sgd"))
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    exact = plaintext.fit(small.tables, logistic=False, epochs=20, optimizer="sgd", bits=None)
    check_same(run, exact, tolerance=1e-3)
    assert OPENED_BITS == 16


def test_linear_regression_without_penalty_reaches_the_least_squares_solution(small_job, tmp_path):
    model = vfl.LinearRegression(
        optimizer="sgd", learning_rate=0.3, epochs=400, l2=0.0, tolerance=1e-6
    )
    small = small_job(passives=1, model=model, test_fraction=0.0, rows=200)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    _, columns, label = plaintext.joined(small.tables, 0)
    X = np.hstack([(v - v.mean(0)) / v.std(0) for v in columns.values()])
    solution, *_ = np.linalg.lstsq(X, (label - label.mean()) / label.std(), rcond=None)
    found, intercept = weights_of(run)
    assert run.result.converged
    np.testing.assert_allclose(np.concatenate(list(found.values())), solution, atol=2e-4)
    assert abs(intercept) < 1e-4


def test_training_stops_at_the_first_epoch_that_moves_less_than_the_tolerance(small_job, tmp_path):
    model = vfl.LogisticRegression(optimizer="sgd", learning_rate=0.5, epochs=200, tolerance=0.02)
    small = small_job(model=model)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    options = {"optimizer": "sgd", "learning_rate": 0.5, "epochs": 200, "tolerance": 0.02}
    # some tens of epochs: a rounding border is met now and then, one quantum each time
    check_same(run, plaintext.fit(small.tables, logistic=True, **options), tolerance=1e-5)
    assert run.result.converged and 1 < run.result.epochs < 200
    assert run.result.changes[-1] <= 0.02 < run.result.changes[-2]


def test_the_order_in_which_a_job_lists_its_parties_does_not_matter(small_job, tmp_path):
    small = small_job(passives=3)
    forward = vfl.run_job(small.job, folder=tmp_path / "forward")
    turned = msgspec.structs.replace(small.job, parties=small.job.parties[::-1])
    backward = vfl.run_job(turned, folder=tmp_path / "backward")
    one, other = weights_of(forward), weights_of(backward)
    for party in one[0]:
        np.testing.assert_allclose(one[0][party], other[0][party], rtol=0, atol=SAME)
    assert forward.metrics == pytest.approx(backward.metrics, abs=1e-9)


def test_the_order_of_rows_in_the_files_does_not_matter(small_job, tmp_path):
    small = small_job(passives=2)
    run = vfl.run_job(small.job, folder=tmp_path / "one")
    again = small.tables
    for party in again.ids:
        order = np.random.default_rng(5).permutation(len(again.ids[party]))
        again.ids[party] = [again.ids[party][i] for i in order]
        again.columns[party] = again.columns[party][order]
    other = vfl.run_job(small_job(passives=2, tables=again).job, folder=tmp_path / "two")
    for party, weights in weights_of(run)[0].items():
        np.testing.assert_allclose(weights_of(other)[0][party], weights, rtol=0, atol=SAME)


@pytest.mark.parametrize("passives", [1, 2])
def test_predictions_are_the_joint_models_scores_of_the_joint_rows(small_job, tmp_path, passives):
    small = small_job(passives=passives, test_fraction=0.3)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    path = run.predict({p.name: p.data for p in small.job.parties if p.data})
    *_, held_out = plaintext.fit(small.tables, logistic=True, test_fraction=0.3)
    order, *_ = plaintext.joined(small.tables, 0)
    with path.open(newline="") as file:
        found = {row["id"]: float(row["prediction"]) for row in csv.DictReader(file)}
    assert found.keys() == small.tables.joint
    for name, z in zip(order[-len(held_out) :], held_out, strict=True):
        assert found[name] == pytest.approx(1 / (1 + math.exp(-z)), abs=1e-8)


def test_a_used_up_key_is_replaced_without_a_trace_in_the_weights(small_job, tmp_path, monkeypatch):
    small = small_job(passives=2, model=vfl.LogisticRegression(epochs=5))
    run = vfl.run_job(small.job, folder=tmp_path / "one")
    # 10 columns with the intercept, so each key is good for two epochs
    monkeypatch.setattr(coordinated, "make_scheme", lambda _: MockScheme(openings=20))
    rotated = vfl.run_job(small.job, folder=tmp_path / "two")
    for party, weights in weights_of(run)[0].items():
        assert np.array_equal(weights_of(rotated)[0][party], weights)
    ledger = (tmp_path / "two" / "bank" / "ledger.jsonl").read_text().splitlines()
    entries = [msgspec.json.decode(line) for line in ledger]
    kinds = Counter(e["kind"] for e in entries)
    assert kinds["train.epoch_end"] == 5
    assert kinds["train.key"] == 3  # after the second and the fourth; none after the last


def test_an_epoch_that_no_key_lasts_for_is_refused_before_anything_is_opened(
    small_job, tmp_path, monkeypatch
):
    small = small_job(passives=2, model=vfl.LogisticRegression(epochs=2))
    monkeypatch.setattr(coordinated, "make_scheme", lambda _: MockScheme(openings=9))
    with pytest.raises(SecurityError, match=r"10 more opened values .* allows 9.*batch_size"):
        vfl.run_job(small.job, folder=tmp_path / "run")
    assert "train.step" not in (tmp_path / "run" / "bank" / "ledger.jsonl").read_text()


@pytest.mark.parametrize("kind", ["logistic", "linear"])
def test_paillier_gives_the_mocks_weights_up_to_its_fixed_point(small_job, tmp_path, kind):
    # columns are multiplied with 16 fraction bits: an error of 2^-17 an entry, over 96 rows a
    # relative 1e-5 of the gradient, and 4 steps of rate 0.1
    options = {"optimizer": "sgd", "epochs": 4}
    model = model_of(kind, **options)
    small = small_job(passives=2, model=model, crypto="paillier", rows=80, features=1)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    check_same(
        run, plaintext.fit(small.tables, logistic=kind == "logistic", **options), tolerance=2e-5
    )
    assert run.result.security_bits >= 112


def test_ckks_gives_the_mocks_weights_up_to_its_noise(small_job, tmp_path):
    options = {"optimizer": "sgd", "epochs": 2}
    small = small_job(passives=1, model=vfl.LogisticRegression(**options), crypto="ckks", rows=80)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    check_same(run, plaintext.fit(small.tables, logistic=True, **options), tolerance=1e-3)


def test_a_share_that_leaves_no_row_for_training_is_an_error_that_says_so(small_job, tmp_path):
    small = small_job(
        model=vfl.LinearRegression(), rows=2, strangers=3, test_fraction=0.9, min_overlap=1
    )
    with pytest.raises(AlignmentError, match=r"test_fraction 0\.9 leaves none of the 2 joint rows"):
        vfl.run_job(small.job, folder=tmp_path / "run")


def test_a_label_too_large_to_be_standardised_is_an_error_that_names_it(small_job, tmp_path):
    small = small_job(model=vfl.LinearRegression())
    tables = small.tables
    tables.label = {name: value * 1e200 for name, value in tables.label.items()}
    small = small_job(model=vfl.LinearRegression(), tables=tables)
    with pytest.raises(DataError, match=r"bank: label 'y' of .* is too large"):
        vfl.run_job(small.job, folder=tmp_path / "run")
