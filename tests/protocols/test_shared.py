"""Training on shares is the training in the clear, and that is what scikit-learn finds."""

from __future__ import annotations

import csv
from collections import Counter

import msgspec
import numpy as np
import pytest
from glm import (
    CLASSES,
    FAMILIES,
    MODELS,
    apart,
    draw,
    in_the_clear,
    job_of,
    mean_one,
    model_of,
    target_of,
    training_rows,
    weights_of,
)
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.metrics import log_loss, roc_auc_score

import vfl
from vfl.errors import DataError, JobError, SecurityError
from vfl.spec import EarlyStopping

# Whitened columns are rounded to 2^-16 and weights to 2^-24: 5e-5 at most were seen with a ridge.
# Without one, directions in which columns hardly vary have large weights, known as well relatively.
SAME = 1e-4
PAILLIER = vfl.CryptoSpec("paillier", 2048)


def trained(tmp_path, job, name="run"):
    run = vfl.run_job(job, folder=tmp_path / name)
    assert run.result.undeclared == 0 and run.ledger.clean
    return run


def held_out(kind, job, tables, weights, intercept):
    """Scores and targets of the rows that do not train."""
    order, X, label, _ = training_rows(job, tables)
    n = len(order) - round(len(order) * job.test_fraction)
    z = np.hstack(list(X.values())) @ weights + intercept
    return z[n:], target_of(kind, label)[n:]


def quality(kind, z, target):
    """AUC and deviance, of which the first is not there for counts."""
    family = FAMILIES[kind]
    found = {"deviance": family.deviance(z, target, np.ones(len(z)))}
    if kind == "logistic":
        found["auc"] = roc_auc_score(target[:, 0], z[:, 0])
    if kind == "softmax":
        p = family.mean(z)
        each = [roc_auc_score(t, q) for t, q in zip(target.T, p.T, strict=True)]
        found["auc"] = np.mean(each)
    return found


def check_same(run, kind, tables, fit):
    size = max(1.0, *(np.abs(w).max(initial=0.0) for w in (fit.own, *fit.blocks)))
    assert apart(run, fit, tables) < SAME * size
    weights = np.vstack([fit.own, *fit.blocks])
    z, target = held_out(kind, run.job, tables, weights, fit.intercept)
    for name, value in quality(kind, z, target).items():
        assert run.metrics[name] == pytest.approx(value, abs=SAME)
    assert run.result.epochs == fit.rounds


SIZES = [([3, 4], 1, 1e-3), ([2, 3, 4], 1e3, 0.0), ([2, 1, 2, 2], 1e3, 1e-3)]


@pytest.mark.parametrize(("widths", "condition", "l2"), SIZES)
@pytest.mark.parametrize("kind", MODELS)
def test_weights_and_metrics_are_those_of_the_clear(tmp_path, kind, widths, condition, l2):
    tables = draw(kind, widths, condition=condition)
    job = job_of(tables, MODELS[kind](epochs=12, tolerance=0.0, l2=l2))
    check_same(trained(tmp_path, job), kind, tables, in_the_clear(kind, job, tables))


@pytest.mark.parametrize(
    ("kind", "crypto", "widths", "n"),
    [("logistic", PAILLIER, [2, 3], 60), ("poisson", PAILLIER, [1, 2, 2], 48),
     ("logistic", "lattice", [2, 3, 2, 2], 240), ("poisson", "lattice", [2, 3], 240),
     ("softmax", "lattice", [2, 3, 2], 240)],
)  # fmt: skip
def test_under_a_cipher_they_are_the_same(tmp_path, kind, crypto, widths, n):
    tables = draw(kind, widths, n=n)
    job = job_of(tables, MODELS[kind](epochs=4, tolerance=0.0), crypto=crypto)
    run = trained(tmp_path, job)
    check_same(run, kind, tables, in_the_clear(kind, job, tables))
    assert run.result.security_bits >= 112 and run.result.arbiter == ""


@pytest.mark.parametrize("kind", MODELS)
def test_without_an_intercept_there_is_none(tmp_path, kind):
    tables = draw(kind, [2, 3])
    job = job_of(tables, MODELS[kind](epochs=8, tolerance=0.0, intercept=False))
    run = trained(tmp_path, job)
    check_same(run, kind, tables, in_the_clear(kind, job, tables))
    assert not model_of(run.folder, "bank")[1].any()


# scikit-learn

SOLVED = {"epochs": 300, "tolerance": 1e-4, "l2": 3e-2}


def solver(kind, n, weights):
    options = {"tol": 1e-10, "max_iter": 10_000}
    if kind == "poisson":
        return PoissonRegressor(alpha=SOLVED["l2"], solver="newton-cholesky", **options)
    C = 1 / (SOLVED["l2"] * n)
    return LogisticRegression(C=C, solver="newton-cg", class_weight=weights, **options)


@pytest.mark.parametrize(
    ("kind", "weighted", "by_class"),
    [("logistic", False, None), ("poisson", True, None), ("softmax", False, None),
     ("logistic", False, "balanced"), ("logistic", True, {"1": 3.0}),
     ("softmax", True, {"ale": 2.0, "cider": 0.5})],
)  # fmt: skip
def test_at_the_end_it_is_what_scikit_learn_finds(tmp_path, kind, weighted, by_class):
    tables = draw(kind, [3, 4], n=400, weighted=weighted)
    options = {} if kind == "poisson" else {"class_weight": by_class}
    job = job_of(tables, MODELS[kind](**SOLVED, **options), test_fraction=0.0)
    run = trained(tmp_path, job)
    assert run.result.converged
    _, X, label, weight = training_rows(job, tables)
    names = {"logistic": {"1": 1, "0": 0}}.get(kind, {})
    by_class_here = by_class
    if isinstance(by_class, dict):
        by_class_here = {names.get(key, key): value for key, value in by_class.items()}
        total = weight * [by_class_here.get(one, 1.0) for one in label]
        weight = weight / total.mean()  # so that the mean of all weights is one, as for the ridge
    else:
        weight = mean_one(weight)
    made = solver(kind, len(label), by_class_here).fit(np.hstack(list(X.values())), label, weight)
    weights, intercept = weights_of(run.folder, tables)
    np.testing.assert_allclose(weights, np.atleast_2d(made.coef_).T, atol=1e-2)
    np.testing.assert_allclose(intercept, np.atleast_1d(made.intercept_), atol=1e-2)
    target, family = target_of(kind, label), FAMILIES[kind]
    z = np.hstack(list(X.values())) @ weights + intercept
    best = np.hstack(list(X.values())) @ np.atleast_2d(made.coef_).T + made.intercept_
    even = np.ones(len(z))
    assert family.deviance(z, target, even) == pytest.approx(
        family.deviance(best, target, even), rel=1e-3
    )


# folds, early stopping


@pytest.mark.parametrize(("kind", "widths"), [("logistic", [2, 3]), ("poisson", [2, 2, 2])])
def test_cross_validated_metrics_are_those_of_independent_fits(tmp_path, kind, widths):
    folds = 3
    tables = draw(kind, widths, n=200, weighted=True)
    model = MODELS[kind](epochs=50, tolerance=1e-4, l2=1e-2)
    run = trained(tmp_path, job_of(tables, model, folds=folds))
    order, X, label, weight = training_rows(run.job, tables)
    n = len(order) - round(len(order) * run.job.test_fraction)
    found = []
    for fold in range(folds):
        out = np.arange(n) % folds == fold
        fit = in_the_clear(
            kind, run.job, tables, rows=np.flatnonzero(~out), rounds=2000, tolerance=1e-7
        )
        z = np.hstack([values[:n][out] for values in X.values()]) @ np.vstack(
            [fit.own, *fit.blocks]
        )
        z += fit.intercept
        target, own = target_of(kind, label[:n])[out], mean_one(weight[:n][out])
        values = quality(kind, z, target)
        values["deviance"] = FAMILIES[kind].deviance(z, target, own)
        if kind == "logistic":
            values["log_loss"] = log_loss(target[:, 0], 1 / (1 + np.exp(-z[:, 0])))
        found.append(values)
    for name in found[0]:
        values = [each[name] for each in found]
        bar = 2e-3  # one pair of the 53 rows is 1.5e-3 of an AUC
        assert run.metrics[f"cv_{name}"] == pytest.approx(np.mean(values), abs=bar)
        assert run.metrics[f"cv_{name}_sd"] == pytest.approx(np.std(values, ddof=1), abs=bar)
    # and the model is that of all rows
    whole = in_the_clear(kind, run.job, tables, rounds=2000, tolerance=1e-7)
    assert apart(run, whole, tables) < 5e-3


def test_training_stops_when_held_back_rows_no_longer_gain(tmp_path):
    tables = draw("logistic", [2, 30], n=100, noise=3.0)
    early = EarlyStopping(fraction=0.25, patience=2)
    model = vfl.LogisticRegression(epochs=40, tolerance=0.0, l2=0.0, early_stopping=early)
    job = job_of(tables, model, test_fraction=0.1, accept_gradient_leak=True)
    run = trained(tmp_path, job)
    label = training_rows(run.job, tables)[2]
    n = 90
    back = round(n * 0.25)
    kept = mean_one(np.where(np.arange(n) < n - back, 1.0, 0.0))

    def probe(rounds):
        fit = in_the_clear("logistic", run.job, tables, weight=kept, rounds=rounds)
        z = fit.scores[n - back :]
        return fit, log_loss(label[n - back : n], 1 / (1 + np.exp(-z[:, 0])))

    losses = [probe(rounds)[1] for rounds in range(run.result.epochs + 1)]
    best = int(np.argmin(losses))
    assert 0 < best == len(losses) - 1 - early.patience  # two in a row were no better
    assert run.result.converged and run.result.epochs < 40
    fit, _ = probe(run.result.epochs)
    assert apart(run, fit, tables) < SAME * max(1.0, np.abs(fit.blocks[0]).max())
    p = 1 / (1 + np.exp(-fit.scores[: n - back, 0]))
    assert run.metrics["train_log_loss"] == pytest.approx(log_loss(label[: n - back], p), abs=SAME)


# warm starts, and how many scores may be opened


@pytest.fixture
def wide():
    """41 columns of the two passive parties together: up to 20 score vectors."""
    return draw("logistic", [2, 20, 21], n=240)


def stored(run, party):
    return msgspec.json.decode((run.folder / party / "model.json").read_bytes())


def opened(run, kind="shared.masked_scores", party="p0"):
    lines = (run.folder / party / "ledger.jsonl").read_text().splitlines()
    return Counter(msgspec.json.decode(line)["kind"] for line in lines)[kind]


@pytest.mark.parametrize("kind", MODELS)
def test_a_warm_start_from_the_end_is_there_after_a_few_rounds(tmp_path, kind):
    tables = draw(kind, [2, 3, 4])
    model = MODELS[kind](epochs=300, tolerance=1e-4, l2=5e-2)
    first = trained(tmp_path, job_of(tables, model), "first")
    again = trained(tmp_path, job_of(tables, model, warm_start=str(first.folder)), "again")
    assert first.result.converged and again.result.converged
    assert again.result.epochs <= 4 < first.result.epochs
    assert (
        np.abs(weights_of(again.folder, tables)[0] - weights_of(first.folder, tables)[0]).max()
        < 2e-3
    )
    assert again.metrics["deviance"] == pytest.approx(first.metrics["deviance"], abs=1e-3)
    assert again.result.losses[0] == pytest.approx(first.result.losses[-1], abs=1e-4)


def test_a_warm_start_continues_on_more_rows_and_another_scaling(tmp_path):
    """The first run saw half of the people: means and spreads differ."""
    tables = draw("logistic", [2, 3])
    half = {name: {key: c[:170] for key, c in table.items()} for name, table in tables.items()}
    model = vfl.LogisticRegression(epochs=300, tolerance=1e-4, l2=1e-2)
    first = trained(tmp_path, job_of(half, model), "first")
    again = trained(tmp_path, job_of(tables, model, warm_start=str(first.folder)), "again")
    cold = trained(tmp_path, job_of(tables, model), "cold")
    assert (
        np.abs(weights_of(again.folder, tables)[0] - weights_of(cold.folder, tables)[0]).max()
        < 2e-3
    )
    assert again.result.losses[0] < cold.result.losses[0] - 0.02


@pytest.mark.parametrize("party", ["bank", "p0"])
def test_a_warm_start_from_other_columns_names_party_and_file(tmp_path, party):
    tables = draw("logistic", [2, 3])
    model = vfl.LogisticRegression(epochs=2)
    first = trained(tmp_path, job_of(tables, model), "first")
    tables[party]["new"] = np.arange(240.0)
    job = job_of(tables, model, warm_start=str(first.folder))
    with pytest.raises(JobError, match=rf"{party}: .*{party}/model\.json is a model of other"):
        vfl.run_job(job, folder=tmp_path / "again")


def test_scores_are_counted_over_fits_and_warm_starts(tmp_path, wide):
    guarded = {"accept_score_leak": False}
    model = vfl.LogisticRegression(epochs=3, tolerance=0.0)
    first = trained(tmp_path, job_of(wide, model, folds=2, **guarded), "first")
    assert opened(first) == 9  # three fits of three rounds
    assert {p: stored(first, p)["scores_opened"] for p in wide} == dict.fromkeys(wide, 9)
    warm = {"warm_start": str(first.folder), **guarded}
    again = trained(tmp_path, job_of(wide, model, **warm), "again")
    assert opened(again) == 4  # a warm start opens those it begins with
    assert {p: stored(again, p)["scores_opened"] for p in wide} == dict.fromkeys(wide, 13)
    more = job_of(wide, model, **warm | {"warm_start": str(again.folder), "folds": 2})
    with pytest.raises(SecurityError, match=r"open 23 scores.*have 41 independent.*accept_score"):
        vfl.run_job(more, folder=tmp_path / "more")
    accepted = msgspec.structs.replace(more, accept_score_leak=True)
    assert stored(trained(tmp_path, accepted, "accepted"), "p1")["scores_opened"] == 23


@pytest.mark.parametrize(("rounds", "passes"), [(20, True), (21, False)])
def test_half_of_the_columns_is_the_limit(tmp_path, wide, rounds, passes):
    model = vfl.LogisticRegression(epochs=rounds, tolerance=0.0)
    job = job_of(wide, model, accept_score_leak=False)
    if passes:
        assert opened(trained(tmp_path, job)) == 20
        return
    with pytest.raises(SecurityError, match=r"lower model\.epochs, bring more columns"):
        vfl.run_job(job, folder=tmp_path / "run")
    assert not opened_ciphertexts(tmp_path / "run")


def opened_ciphertexts(folder):
    """Kinds of the encrypted fields that anybody sent."""
    lines = [line for path in folder.glob("*/ledger.jsonl") for line in path.open()]
    entries = [msgspec.json.decode(line) for line in lines]
    return {e["kind"] for e in entries for f in e["fields"] if f["protection"] == "encrypted"}


@pytest.mark.parametrize(("kind", "folds", "rounds"), [("logistic", None, 20), ("logistic", 3, 5)])
def test_without_epochs_the_budget_says_how_many_rounds(tmp_path, wide, kind, folds, rounds):
    model = MODELS[kind](tolerance=0.0)
    job = job_of(wide, model, folds=folds, accept_score_leak=False)
    assert trained(tmp_path, job).result.epochs == rounds


def test_a_multinomial_round_counts_for_all_classes_but_one(tmp_path):
    tables = draw("softmax", [2, 20])
    job = job_of(tables, MODELS["softmax"](tolerance=0.0), accept_score_leak=False)
    run = trained(tmp_path, job)
    assert run.result.epochs == 5 and stored(run, "bank")["scores_opened"] == 10


# what is kept


@pytest.mark.parametrize("passives", [1, 2])
@pytest.mark.parametrize("kind", MODELS)
def test_a_loaded_model_scores_as_the_trained_one_did(tmp_path, kind, passives):
    tables = draw(kind, [2, 3, 2][: passives + 1])
    job = job_of(tables, MODELS[kind](epochs=5))
    trained(tmp_path, job)
    run = vfl.open_run(tmp_path / "run")
    features = {
        name: {key: c for key, c in table.items() if key not in ("y", "w")}
        for name, table in tables.items()
    }
    with run.predict(features).open(newline="") as file:
        lines = {line.pop("id"): line for line in csv.DictReader(file)}
    order, X, label, _ = training_rows(job, tables)
    assert lines.keys() == set(order)
    weights, intercept = weights_of(run.folder, tables)
    z = np.hstack(list(X.values())) @ weights + intercept
    mean = FAMILIES[kind].mean(z)
    step = 2.0**-12  # of the scores that were summed up
    if kind == "softmax":
        assert list(lines[order[0]]) == ["prediction", *(f"p({name})" for name in CLASSES)]
        shares = np.array([[float(lines[i][f"p({c})"]) for c in CLASSES] for i in order])
        np.testing.assert_allclose(shares, mean, atol=step)
        assert [lines[i]["prediction"] for i in order] == [CLASSES[k] for k in shares.argmax(1)]
        target = target_of(kind, label)[192:]
        again = log_loss(target, shares[192:])
    else:
        found = np.array([float(lines[i]["prediction"]) for i in order])
        np.testing.assert_allclose(found, mean[:, 0], rtol=2 * step)
        again = log_loss(label[192:], found[192:]) if kind == "logistic" else None
    if again is not None:
        assert run.metrics["log_loss"] == pytest.approx(again, abs=1e-9)


@settings(max_examples=12)
@given(data=st.data())
def test_small_jobs_of_any_shape_run_and_tell_nothing_undeclared(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(list(MODELS)))
    widths = [data.draw(st.integers(0, 3))]
    widths += data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    n = data.draw(st.integers(40, 70))
    tables = draw(
        kind, widths, n=n, weighted=data.draw(st.booleans()), seed=data.draw(st.integers(0, 99))
    )
    early = data.draw(st.sampled_from([None, EarlyStopping(0.2, 1)]))
    model = MODELS[kind](
        epochs=data.draw(st.integers(1, 4)), l2=data.draw(st.sampled_from([0.0, 1e-3, 10.0])),
        intercept=data.draw(st.booleans()), early_stopping=early,
    )  # fmt: skip
    folds = data.draw(st.sampled_from([None, 2]))
    fraction = data.draw(st.sampled_from([0.0, 0.2]))
    job = job_of(tables, model, folds=folds, test_fraction=fraction, accept_gradient_leak=True)
    try:
        run = trained(tmp_path_factory.mktemp("job"), job)
    except DataError as error:  # few rows may have a class that a fold or the split leaves out
        if "among the training rows" not in str(error):
            raise
        reject()
    assert all(np.isfinite(w).all() for w in weights_of(run.folder, tables))
    assert all(np.isfinite(value) for value in run.metrics.values())
