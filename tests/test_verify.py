"""`vfl verify` and the plaintext it compares with: what is right passes, what is not fails."""

import csv
import dataclasses
import itertools

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from vfl import plaintext
from vfl.api import run_job
from vfl.cli import app
from vfl.data.bundled import write_breast_cancer_job
from vfl.errors import DataError, JobError
from vfl.models import linear
from vfl.parties.passive import PassiveParty
from vfl.spec import (
    CryptoSpec,
    EarlyStopping,
    LinearRegression,
    LogisticRegression,
    MultinomialRegression,
    PartySpec,
    PoissonRegression,
    load_job,
)
from vfl.verify import _weights, verify

NOTARY = PartySpec("notary", role="arbiter")


@pytest.fixture
def job(tmp_path):
    """The bundled job with the mock cipher in this process: job(model=..., seed=...)."""
    path = write_breast_cancer_job(tmp_path / "data")

    def build(**edits):
        edits = {"crypto": "mock", "transport": "inprocess", "security": "arbiter"} | edits
        if edits["security"] == "arbiter":
            edits.setdefault("parties", [*load_job(path).parties, NOTARY])
        return msgspec.structs.replace(load_job(path), **edits)

    return build


@pytest.mark.parametrize("crypto", [CryptoSpec("paillier", 2048), "auto"], ids=str)
def test_an_encrypted_run_is_the_plaintext_one(job, crypto):
    model = LogisticRegression(l2=0.01, learning_rate=0.1, epochs=2)
    result = verify(job(model=model, crypto=crypto, transport="ray"))
    cipher = crypto.scheme if isinstance(crypto, CryptoSpec) else "lattice"
    assert result.passed and all(check.passed for check in result.checks)
    assert set(result.values) == {"mock", cipher, "plaintext", "scikit-learn"}
    apart = {check.what: check.difference for check in result.checks}
    assert apart[f"weights, {cipher} and plaintext"] < 1e-4
    assert apart[f"weights, {cipher} and mock"] < 1e-4
    assert result.values[cipher] == pytest.approx(result.values["plaintext"], abs=0.002)


def test_a_linear_model_is_compared_by_r2(job):
    def numeric(parties):
        return [
            msgspec.structs.replace(p, label="texture_error") if p.label else p for p in parties
        ]

    model = LinearRegression(l2=1.0, optimizer="sgd", learning_rate=0.1, epochs=40)
    result = verify(job(model=model, parties=numeric(job().parties)))
    assert result.metric == "r2" and result.passed
    assert set(result.values) == {"mock", "plaintext", "scikit-learn"}


def test_a_weight_that_was_tampered_with_fails(job, monkeypatch):
    store = PassiveParty.store

    def tampered(self, data, outcome):
        outcome.weights[0] += 0.01
        store(self, data, outcome)

    monkeypatch.setattr(PassiveParty, "store", tampered)
    result = verify(job(model=LogisticRegression(learning_rate=0.1, epochs=2)))
    failed = [check for check in result.checks if not check.passed]
    assert not result.passed and failed[0].what == "weights, mock and plaintext"
    assert failed[0].difference == pytest.approx(0.01, abs=1e-4)


def test_the_command_warns_prints_and_exits_1_on_a_failure(job, tmp_path, monkeypatch):
    path = tmp_path / "data" / "short.yaml"
    job()
    text = (tmp_path / "data" / "job.yaml").read_text()
    text = text.replace("l2: 0.01}", "l2: 0.01, epochs: 4}")
    path.write_text(text.replace("crypto: auto", "crypto: mock")
                    + "transport: inprocess\n")  # fmt: skip
    done = CliRunner().invoke(app, ["verify", str(path)])
    assert done.exit_code == 0 and "pass" in done.stdout and "FAIL" not in done.stdout
    assert "reads every party's file" in done.stderr
    monkeypatch.setattr("vfl.verify.SOLVER_METRIC", 0.0)
    done = CliRunner().invoke(app, ["verify", str(path), "--json"])
    assert done.exit_code == 1
    told = msgspec.json.decode(done.stdout)
    assert told["passed"] is False
    assert [c["what"] for c in told["checks"] if not c["passed"]] == ["auc, mock and scikit-learn"]


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(optimizer="sgd", learning_rate=0.5, epochs=6),
        LogisticRegression(optimizer="momentum", epochs=6, intercept=False),
        LogisticRegression(optimizer="rmsprop", learning_rate=0.06, decay=1.0, epochs=6),
        LogisticRegression(optimizer="adam", epochs=4, batch_size=100),
        LogisticRegression(optimizer="adam", epochs=4, batch_size=100, reshuffle=True),
        LogisticRegression(optimizer="sgd", epochs=50, tolerance=0.03),
        LinearRegression(optimizer="adam", learning_rate=0.03, epochs=6),
    ],
    ids=lambda model: f"{type(model).__name__[:6]}-{model.optimizer}",
)
def test_the_protocol_learns_what_the_plaintext_reference_learns(job, tmp_path, model):
    made = job(model=model, accept_gradient_leak=True, seed=5)
    run = run_job(made, folder=tmp_path / "run")
    pooled = plaintext.pool(made)
    theta = plaintext.train(made, pooled, run.result.epochs)
    assert np.abs(_weights(run, pooled) - theta).max() < 1e-4
    assert np.abs(theta).max() > 0.05
    name, value = plaintext.metric(model, pooled, plaintext.scores(pooled, theta))
    assert run.metrics[name] == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(l2=0.05, epochs=300),
        LogisticRegression(class_weight="balanced", intercept=False, l2=0.05),
        LogisticRegression(early_stopping=EarlyStopping(0.2, 2)),
        PoissonRegression(l2=0.05),
        MultinomialRegression(l2=0.1),
        LinearRegression(l2=0.05, epochs=80),
    ],
    ids=lambda model: type(model).__name__ if not isinstance(model, str) else model,
)
def test_a_run_on_shares_is_the_plaintext_one_and_the_solvers(small_job, model):
    """Under a cipher, the mock and the plaintext: `verify` runs all three."""
    small = small_job(
        passives=2, model=model, security="shared", accept_score_leak=True, rows=300,
        crypto="lattice", table_seed=3,
    )  # fmt: skip
    result = verify(small.job)
    assert [check.what for check in result.checks if not check.passed] == []
    solved = any(check.what == "deviance, lattice and scikit-learn" for check in result.checks)
    assert solved or model.early_stopping


@pytest.mark.parametrize("size", [None, 512, 700])
@pytest.mark.parametrize("rows", [1, 511, 1400, 65536, 131071, 131072, 200_001])
def test_the_plaintext_has_the_batches_of_the_protocol(rows, size):
    edges = plaintext._edges(rows, LogisticRegression(batch_size=size))
    slices = [slice(a, b) for a, b in itertools.pairwise(edges)]
    assert slices == linear.batches(rows, size)


def test_filling_and_constant_columns_are_done_alike(job, tmp_path):
    made = job(model=LogisticRegression(epochs=3), parties=[
        msgspec.structs.replace(p, impute="median") if p.name == "imaging" else p
        for p in job().parties
    ])  # fmt: skip
    path = tmp_path / "data" / "imaging.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    for number, row in enumerate(rows[1:]):
        row[2] = "" if number % 7 == 0 else row[2]
        row[5] = "3.25"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    run = run_job(made, folder=tmp_path / "run")
    pooled = plaintext.pool(made)
    assert np.abs(_weights(run, pooled) - plaintext.train(made, pooled, 3)).max() < 1e-4
    assert run.result.notes == ["imaging: 1 of its columns do not vary; its model.json names them"]


def test_a_job_without_held_out_rows_is_refused(job):
    with pytest.raises(JobError, match="set test_fraction above 0"):
        verify(job(test_fraction=0.0))


def test_held_out_rows_of_one_class_are_refused(job):
    pooled = plaintext.pool(job())
    one = dataclasses.replace(pooled, y=np.append(pooled.y[:-1], 1.0), train=471)
    with pytest.raises(DataError, match="all of one class"):
        plaintext.metric(LogisticRegression(), one, np.zeros((472, 1)))
