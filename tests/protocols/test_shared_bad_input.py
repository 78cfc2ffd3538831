"""Tables that are odd or bad: a documented result, or an error before the first ciphertext."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from glm import MODELS, apart, draw, in_the_clear, job_of, model_of, weights_of

import vfl
from vfl.errors import DataError, JobError, SecurityError
from vfl.protocols import blocks, descent
from vfl.spec import EarlyStopping

LOGISTIC = vfl.LogisticRegression(epochs=3, tolerance=0.0)


def run_of(tmp_path, tables, model=LOGISTIC, **options):
    """Of tables, or of a whole job."""
    job = job_of(tables, model, **options) if isinstance(tables, dict) else tables
    return vfl.run_job(job, folder=tmp_path / "run")


def refused(tmp_path, kind, match, tables, model=LOGISTIC, **options):
    """An error of this kind, and nothing encrypted was sent."""
    with pytest.raises(kind, match=match):
        run_of(tmp_path, tables, model, **options)
    lines = [line for path in tmp_path.glob("run/*/ledger.jsonl") for line in path.open()]
    entries = [msgspec.json.decode(line) for line in lines]
    assert not [e for e in entries for f in e["fields"] if f["protection"] == "encrypted"]


# a documented result


@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_separable_rows_end_in_finite_weights_that_separate_them(tmp_path, l2):
    """Without a ridge there is no optimum: the rounds run out, as the result says."""
    tables = draw("logistic", [2, 3], noise=0.0)
    run = run_of(tmp_path, tables, vfl.LogisticRegression(epochs=60, l2=l2), test_fraction=0.0)
    assert run.metrics["train_auc"] > 0.999
    assert run.result.converged == (l2 > 0)
    assert (np.diff(run.result.losses) < 1e-3).all()
    assert np.abs(weights_of(run.folder, tables)[0]).max() < 20


def test_a_constant_column_has_no_weight(tmp_path):
    tables = draw("logistic", [2, 3])
    tables["p0"]["p01"] = np.full(240, 7.0)
    run = run_of(tmp_path, tables)
    assert model_of(run.folder, "p0")[0][1, 0] == 0.0
    assert run.result.notes == ["p0: 1 of its columns do not vary; its model.json names them"]


@pytest.mark.parametrize("party", ["bank", "p0"])
@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_collinear_columns_end_in_the_solution_of_least_norm(tmp_path, party, l2):
    tables = draw("logistic", [2, 3])
    tables[party]["twice"] = 3.0 - 2.0 * tables[party][f"{party}0"]
    run = run_of(tmp_path, tables, vfl.LogisticRegression(epochs=12, tolerance=0.0, l2=l2))
    weights = model_of(run.folder, party)[0][:, 0]
    assert weights[0] == pytest.approx(-weights[-1], abs=1e-6) and abs(weights[0]) > 0.01
    assert apart(run, in_the_clear("logistic", run.job, tables), tables) < 1e-4


def test_more_columns_than_rows_train_within_the_budget_of_their_rank(tmp_path):
    tables = draw("logistic", [2, 100], n=60)
    model = vfl.LogisticRegression(tolerance=0.0, l2=1e-2)
    guards = {"accept_score_leak": False, "accept_gradient_leak": True}
    run = run_of(tmp_path, tables, model, **guards)
    assert run.result.epochs == 23  # of 48 rows, centred: rank 47
    assert run.metrics["train_auc"] == 1.0


@pytest.mark.parametrize("intercept", [True, False])
def test_an_active_party_may_have_no_columns(tmp_path, intercept):
    tables = draw("logistic", [0, 4])
    model = vfl.LogisticRegression(epochs=12, tolerance=0.0, intercept=intercept)
    run = run_of(tmp_path, tables, model)
    assert model_of(run.folder, "bank")[0].shape[0] == 0
    assert apart(run, in_the_clear("logistic", run.job, tables), tables) < 1e-4


def test_an_outlier_within_the_range_is_a_row_like_any_other(tmp_path):
    tables = draw("logistic", [2, 3])
    tables["p0"]["p00"][5] = 1e9
    run = run_of(tmp_path, tables, accept_gradient_leak=True)
    assert apart(run, in_the_clear("logistic", run.job, tables), tables) < 1e-4


# refused before anything is encrypted


def test_columns_that_all_stand_still_are_refused(tmp_path):
    tables = draw("logistic", [2, 3])
    for k in range(3):
        tables["p0"][f"p0{k}"] = np.full(240, float(k))
    refused(tmp_path, DataError, r"p0: none of its columns varies.*leave this party out", tables)


def test_weights_that_are_all_zero_are_refused(tmp_path):
    tables = draw("logistic", [2, 3], weighted=True)
    tables["bank"]["w"][:] = 0.0
    refused(tmp_path, DataError, r"bank: all 192 training rows .* the weight 0.*weight:", tables)


def test_weights_below_zero_are_refused(tmp_path):
    tables = draw("logistic", [2, 3], weighted=True)
    tables["bank"]["w"][3] = -1.0
    refused(tmp_path, DataError, r"bank: weight 'w' .* below zero in 1 rows", tables)


def test_weights_that_leave_one_class_are_refused(tmp_path):
    tables = draw("logistic", [2, 3])
    tables["bank"]["w"] = (tables["bank"]["y"] == 0) * 1.0
    refused(tmp_path, DataError, r"bank: label 'y' .*single class.*check .* row weights", tables)


@pytest.mark.parametrize(("value", "match"), [(-1, "below zero in 1 of"), (None, "constant over")])
def test_counts_that_are_none_are_refused(tmp_path, value, match):
    tables = draw("poisson", [2, 3])
    if value is None:
        tables["bank"]["y"][:] = 0
    else:
        tables["bank"]["y"][3] = value
    refused(tmp_path, DataError, rf"bank: label 'y' .*{match}", tables, MODELS["poisson"]())


def test_a_class_that_only_one_fold_has_is_refused(tmp_path):
    tables = draw("softmax", [2, 3])
    label = np.where(tables["bank"]["y"] == "cider", "ale", tables["bank"]["y"])
    label[5] = "cider"
    tables["bank"]["y"] = label
    match = r"bank: label 'y' .* without fold [123]: .*class 2.*ale, bitter, cider.*lower folds"
    model, options = MODELS["softmax"](epochs=2), {"folds": 3, "test_fraction": 0.0}
    refused(tmp_path, DataError, match, tables, model, **options)
    early = EarlyStopping(fraction=0.5, patience=1)
    model = MODELS["softmax"](epochs=2, early_stopping=early)
    said = {trouble(tmp_path / str(seed), tables, model, seed) for seed in range(6)}
    assert "" in said and len(said) == 2  # it depends on whether the one row is held back
    assert "lower folds or model.early_stopping.fraction" in max(said)


def trouble(folder, tables, model, seed):
    try:
        vfl.run_job(job_of(tables, model, seed=seed, test_fraction=0.0), folder=folder)
    except DataError as error:
        return str(error)
    return ""


def test_an_outlier_beyond_the_range_names_the_party(tmp_path, monkeypatch):
    """Whitened rows reach at most the root of their number: 512 deviations are 2^18 rows."""
    tables = draw("logistic", [2, 3])
    tables["p0"]["p00"][np.flatnonzero(tables["p0"]["id"] == "person-1")] = 1e9
    monkeypatch.setattr(blocks, "MATRIX_BITS", 20)  # 8 deviations
    match = r"p0: a row is so far from all others.*cap or drop"
    refused(tmp_path, DataError, match, tables, accept_gradient_leak=True)


def test_a_row_that_stands_out_is_refused_and_the_party_named(tmp_path):
    tables = draw("logistic", [2, 3])
    tables["p0"]["p00"][np.flatnonzero(tables["p0"]["id"] == "person-1")] = 1e9
    match = r"p0: 1 of 192 rows have a leverage above 0\.5.*accept_gradient_leak: true"
    refused(tmp_path, SecurityError, match, tables)


def test_more_columns_than_rows_are_refused(tmp_path):
    tables = draw("logistic", [2, 100], n=60)
    match = r"p0: 48 of 48 rows have a leverage above 0\.5 in this party's own 100 columns"
    refused(tmp_path, SecurityError, match, tables)


def test_a_value_that_cannot_be_scaled_names_party_and_column(tmp_path):
    tables = draw("logistic", [2, 3])
    tables["p0"]["p00"][5] = 1e300
    refused(tmp_path, DataError, r"p0.*column 'p00' is too large.*drop", tables)


def test_a_column_too_small_beside_others_names_the_party(tmp_path):
    tables = draw("logistic", [2, 3])
    tables["p0"]["p00"] *= 1e-9
    job = job_of(tables, LOGISTIC)
    parties = [
        msgspec.structs.replace(p, scale="none") if p.name == "p0" else p for p in job.parties
    ]
    job = msgspec.structs.replace(job, parties=parties)
    refused(tmp_path, DataError, r"p0: column 1 of 3 .*scale: standard", job)


@pytest.mark.parametrize("epochs", [None, 1])
def test_one_passive_column_is_too_few(tmp_path, epochs):
    tables = draw("logistic", [2, 1])
    model = vfl.LogisticRegression(epochs=epochs)
    match = r"bank: .* 1 scores of each .* have 1 independent columns.*accept_score_leak: true"
    refused(tmp_path, SecurityError, match, tables, model, accept_score_leak=False)
    assert run_of(tmp_path / "accepted", tables, model).result.epochs >= 1


def test_scores_that_leave_their_range_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(descent, "MAX_SCORE", 2.0)
    tables = draw("logistic", [2, 3], noise=0.0)
    with pytest.raises(JobError, match=r"scores left .* cap the column, or set model\.l2"):
        run_of(tmp_path, tables, vfl.LogisticRegression(epochs=60, l2=0.0))
