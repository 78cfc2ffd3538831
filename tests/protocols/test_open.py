"""Level `open`: the descent that numpy does on pooled columns, and each its own gradient alone."""

from __future__ import annotations

import csv

import msgspec
import numpy as np
import pytest

import vfl
from vfl import plaintext
from vfl.api import ledger_entries
from vfl.errors import DataError, JobError, SecurityError
from vfl.messages import unpack
from vfl.protocols.open_gradient import Columns, exponent_of, sizes_of
from vfl.protocols.open_messages import DECLARATION
from vfl.spec import (
    EarlyStopping,
    LinearRegression,
    LogisticRegression,
    MultinomialRegression,
    PartySpec,
    PoissonRegression,
    check_job,
)
from vfl.verify import _weights, verify
from vfl_crypto.oracles.mock import MockKeyHolder, MockScheme

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


OPTIMIZERS = ["sgd", "momentum", "rmsprop", "adam"]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_are_those_of_the_same_descent_on_pooled_columns(
    small_job, tmp_path, kind, optimizer
):
    """Every model and every optimizer meets one, two and three passive parties."""
    passives = 1 + (list(MODELS).index(kind) + OPTIMIZERS.index(optimizer)) % 3
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


@pytest.mark.parametrize("crypto", ["lattice", "paillier"])
@pytest.mark.parametrize(("kind", "passives"), [("logistic", 1), ("multinomial", 2)])
def test_encrypted_weights_are_those_too(small_job, tmp_path, kind, passives, crypto):
    made, change = MODELS[kind]
    model = made(epochs=3, batch_size=40, optimizer="sgd", learning_rate=0.2)
    small = small_job(
        passives=passives, model=model, security="open", crypto=crypto, rows=100, deadline_s=60,
        **ACCEPTED,
    )  # fmt: skip
    if change:
        relabelled(small, change)
    run, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-4)
    assert run.result.security_bits >= 112
    assert run.result.ledger.clean


def test_class_and_row_weights_multiply_the_residuals(small_job, tmp_path):
    model = LogisticRegression(class_weight="balanced", epochs=8)
    small = small_job(model=model, security="open", **ACCEPTED)
    parties = list(small.job.parties)
    parties[0] = msgspec.structs.replace(parties[0], weight="bank1")
    with (small.folder / "bank.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    place = header.index("bank1")
    rows = [[*r[:place], abs(float(r[place])), *r[place + 1 :]] for r in rows]
    with (small.folder / "bank.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    small.job = msgspec.structs.replace(small.job, parties=parties)
    _, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-3)
    plain = msgspec.structs.replace(small.job, model=LogisticRegression(epochs=8))
    apart = plaintext.train(plain, plaintext.pool(plain), 8) - expected
    assert np.abs(apart).max() > 0.01


def test_columns_of_any_unit_are_opened_as_finely(small_job, tmp_path):
    """Scaling a column scales its gradient, and what it is rounded to."""
    tables = small_job().tables
    tables.columns["p0"] *= [1e-3, 1.0, 1e4]
    model = LogisticRegression(epochs=4, optimizer="sgd", learning_rate=1e-10, l2=0.0)
    small = small_job(tables=tables, model=model, security="open", **ACCEPTED)
    parties = [msgspec.structs.replace(p, scale="none") for p in small.job.parties]
    small.job = msgspec.structs.replace(small.job, parties=parties)
    _, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta[:-1], expected[:-1], rtol=1e-2, atol=0)


def test_without_an_intercept_and_own_columns_only_the_passive_parties_learn(small_job, tmp_path):
    model = LogisticRegression(epochs=4, intercept=False)
    small = small_job(active_features=0, passives=2, model=model, security="open", **ACCEPTED)
    _, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-3)
    assert theta[-1] == 0.0


def test_training_ends_when_the_scores_stop_moving(small_job, tmp_path):
    model = LogisticRegression(
        optimizer="sgd", learning_rate=0.5, epochs=200, tolerance=2e-3, l2=0.1
    )
    small = small_job(model=model, security="open", **ACCEPTED)
    run, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-4)
    assert run.result.converged
    assert 5 < run.result.epochs < 200
    assert run.result.changes[-1] <= 2e-3 < run.result.changes[-2]
    assert len(run.result.changes) == run.result.epochs - 1
    assert run.result.losses == sorted(run.result.losses, reverse=True)


def test_it_reaches_scikit_learns_likelihood(small_job):
    """Rounded gradients do not keep it from the optimum."""
    model = LogisticRegression(l2=0.01, learning_rate=0.2, epochs=150)
    small = small_job(passives=2, model=model, security="open", rows=300, **ACCEPTED)
    result = verify(small.job)
    assert [check.what for check in result.checks if not check.passed] == []
    pooled = plaintext.pool(small.job)
    solved = plaintext.scores(pooled, plaintext.solve(model, pooled))
    theta = plaintext.train(small.job, pooled, 150)
    best = plaintext.deviance(model, pooled, solved)
    found = plaintext.deviance(model, pooled, plaintext.scores(pooled, theta))
    assert found == pytest.approx(best, rel=1e-3)


def test_by_default_epochs_are_what_the_budget_of_scores_allows(small_job, tmp_path):
    small = small_job(
        features=12, model=LogisticRegression(), security="open", accept_gradient_leak=True
    )
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    assert run.result.epochs == 12 // 2 + 1  # the first opens no scores
    assert run.result.opened == 6


def test_a_new_key_follows_where_the_last_may_not_open_another_epoch(
    small_job, tmp_path, tap, monkeypatch
):
    monkeypatch.setattr(MockScheme.__init__, "__defaults__", (10,))
    small = small_job(model=LogisticRegression(epochs=7), security="open", **ACCEPTED)
    _, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-3)
    keys = [m.key.value.tobytes() for m, e in messages(tap) if e.kind == "open.key"]
    assert len(keys) == len(set(keys)) == 3  # 3 entries an epoch, 3 epochs a key


def test_an_epoch_that_no_key_may_open_is_refused(small_job, tmp_path, monkeypatch):
    monkeypatch.setattr(MockScheme.__init__, "__defaults__", (2,))
    small = small_job(security="open", **ACCEPTED)
    with pytest.raises(SecurityError, match="opens 3 gradient entries and a key of this cipher 2"):
        vfl.run_job(small.job, folder=tmp_path / "run")


# what is opened, and to whom


def messages(tap):
    """Every (message, envelope) that crossed."""
    return [unpack(np.frombuffer(frame, np.uint8))[:2] for *_, frame in tap.frames]


@pytest.fixture
def noted(monkeypatch):
    """(party's share, A's limbs, exponent, gradient) at each opening, as p has them."""
    seen = []
    gradient = Columns.gradient

    def watched(self, share, limbs, exponent):
        found = gradient(self, share, limbs, exponent)
        seen.append((share, limbs, exponent, found / self._size))
        return found

    monkeypatch.setattr(Columns, "gradient", watched)
    return seen


def test_a_gradient_has_sixteen_significant_bits_and_is_never_opened_more_finely(
    small_job, tmp_path, noted
):
    model = LogisticRegression(epochs=30, optimizer="sgd", learning_rate=0.5)
    small = small_job(model=model, security="open", rows=600, **ACCEPTED)
    vfl.run_job(small.job, folder=tmp_path / "run")
    assert len(noted) == 30
    steps = [2.0 ** (exponent - 16) for _, _, exponent, _ in noted]
    for (*_, found), step in zip(noted, steps, strict=True):
        units = found / step
        np.testing.assert_allclose(units, np.rint(units), rtol=0, atol=1e-6)
        assert np.abs(units).max() <= 2**16
    assert len(set(steps)) == 1  # residuals shrink, steps do not
    assert np.abs(noted[-1][3]).max() < 0.2 * np.abs(noted[0][3]).max()


def test_steps_grow_with_residuals(small_job, tmp_path, noted):
    """A rate that overshoots: a larger residual is opened more coarsely, to 16 bits again."""
    model = LinearRegression(epochs=6, optimizer="sgd", learning_rate=1.6, l2=0.0)
    small = small_job(model=model, security="open", rows=600, **ACCEPTED)
    vfl.run_job(small.job, folder=tmp_path / "run")
    exponents = [exponent for _, _, exponent, _ in noted]
    assert exponents == sorted(exponents) and exponents[-1] > exponents[0] + 3
    assert all(np.abs(found).max() <= 2.0**exponent for *_, exponent, found in noted)


@pytest.mark.parametrize("seed", range(5))
def test_no_gradient_is_beyond_the_bound_that_its_steps_are_made_for(seed):
    """Cauchy and Schwarz, with equality where a column is the residual itself."""
    rng = np.random.default_rng(seed)
    X, d = rng.standard_t(2, (50, 3)), rng.standard_t(2, (50, 1)) * 10.0**seed
    X[:, 1] = d[:, 0]
    size = sizes_of(X, [slice(0, 20), slice(20, 50)])
    for rows in (slice(0, 20), slice(20, 50)):
        e = exponent_of(d[rows])
        product = (X[rows] / size).T @ d[rows] / len(d[rows])
        assert np.abs(product).max() <= 2.0**e * (1 + 1e-12)
    rms = np.sqrt(np.mean(d**2))
    assert 2.0 ** (exponent_of(d) - 1) < rms <= 2.0 ** exponent_of(d)
    assert exponent_of(np.full((8, 2), 0.5)) == -1


def test_the_active_partys_share_of_a_gradient_is_uniform(small_job, tmp_path, monkeypatch):
    """All it ever has of one: chi-square of the bytes it decrypts, and no trace of its size."""
    kept = []
    share = MockKeyHolder.share

    def watched(self, masked):
        kept.append(share(self, masked))
        return kept[-1]

    monkeypatch.setattr(MockKeyHolder, "share", watched)
    model = LogisticRegression(epochs=60)
    small = small_job(passives=2, features=20, model=model, security="open", **ACCEPTED)
    vfl.run_job(small.job, folder=tmp_path / "run")
    data = np.concatenate([words.packed() for words in kept])
    counts = np.bincount(data, minlength=256)
    expected = len(data) / 256
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert len(data) > 10_000
    assert abs(chi2 - 255) < 6 * np.sqrt(2 * 255)


def test_the_opened_share_alone_says_nothing_and_p_needs_its_own(small_job, tmp_path, noted):
    """What crosses is uniform over 20 bits, so whoever reads the wire has no gradient either."""
    model = LogisticRegression(epochs=60)
    small = small_job(features=20, model=model, security="open", **ACCEPTED)
    vfl.run_job(small.job, folder=tmp_path / "run")
    limbs = np.concatenate([limbs for _, limbs, *_ in noted]).astype(float)
    assert abs(limbs.mean() / 2**20 - 0.5) < 6 / np.sqrt(12 * len(limbs))
    gradients = np.concatenate([found for *_, found in noted])
    assert abs(np.corrcoef(limbs, gradients)[0, 1]) < 6 / np.sqrt(len(limbs))


@pytest.mark.parametrize("passives", [1, 3])
def test_what_crosses_is_what_is_declared(small_job, tmp_path, passives):
    small = small_job(passives=passives, model=LogisticRegression(), security="open", **ACCEPTED)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    entries = ledger_entries(run.folder)[0]
    entries = [e for e in entries if e.kind.split(".")[0] not in ("align", "score")]
    role = small.job.roster.roles
    crossed = {(e.kind, role[e.sender], role[e.receiver]) for e in entries}
    roles = {(f.message.kind, f.sender, f.receiver) for f in DECLARATION.flows}
    absent = {"open.sole_scores"} if passives > 1 else {"open.masked_scores", "sum.key"}
    assert crossed == {flow for flow in roles if flow[0] not in absent}
    shown = {(e.kind, f.name) for e in entries for f in e.fields if f.protection == "disclosed"}
    assert {kind for kind, _ in shown} == {
        d.carried_by for d in DECLARATION.disclosures if d.carried_by
    } - absent
    assert not run.result.undeclared


def test_one_partys_scores_among_several_are_masked(small_job, tmp_path, tap):
    small = small_job(passives=3, model=LogisticRegression(epochs=20), security="open", **ACCEPTED)
    vfl.run_job(small.job, folder=tmp_path / "run")
    sent = [m.values.value for m, e in messages(tap) if e.kind == "open.masked_scores"]
    data = np.concatenate(sent).view(np.uint8)
    chi2 = ((np.bincount(data, minlength=256) - len(data) / 256) ** 2).sum() / (len(data) / 256)
    assert abs(chi2 - 255) < 6 * np.sqrt(2 * 255)


# what is refused


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rows": 400, "features": 30}, r"480 bits about 320 rows"),
        ({"rows": 60, "features": 40}, r"p0: \d+ of 48 rows .* leverage above 0\.5"),
        (
            {"rows": 1400, "features": 3, "model": LogisticRegression(epochs=9)},
            r"open 8 scores of each training row .* have 3 independent columns",
        ),
    ],
    ids=["bits", "leverage", "scores"],
)
def test_guards_refuse_before_a_residual_is_sent(small_job, tmp_path, tap, options, reason):
    options = {"model": LogisticRegression(epochs=2)} | options
    small = small_job(security="open", **options)
    with pytest.raises(SecurityError, match=reason):
        vfl.run_job(small.job, folder=tmp_path / "run")
    assert not {e.kind for _, e in messages(tap)} & {"open.residual", "open.epoch"}


def test_gradients_of_several_classes_count_as_several(small_job, tmp_path):
    def four(row):
        return "abcd"[int(np.clip(float(row[1]) // 2 + 1, 0, 3))]

    model = MultinomialRegression(epochs=2)
    small = relabelled(small_job(rows=300, features=6, model=model, security="open"), four)
    with pytest.raises(SecurityError, match=r"288 bits about 240 rows.*at least 48 rows a column"):
        vfl.run_job(small.job, folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("early_stopping", {"model": LogisticRegression(early_stopping=EarlyStopping())}),
        ("folds", {"folds": 3}),
        ("warm_start", {"warm_start": "run"}),
        ("fixed_hessian", {"model": LogisticRegression(optimizer="fixed_hessian")}),
        ("reshuffle", {"model": LogisticRegression(reshuffle=True), **ACCEPTED}),
        ("no arbiter", {"arbiter": True}),
        ("ckks", {"crypto": "ckks"}),
        ("fewer than 512 rows", {"model": LogisticRegression(batch_size=100)}),
    ],
)
def test_what_the_level_does_not_do_is_refused_by_name(small_job, named, options):
    job, options = small_job(security="open").job, dict(options)
    parties = list(job.parties)
    if options.pop("arbiter", False):
        parties.append(PartySpec("third", role="arbiter"))
    with pytest.raises(JobError, match=named):
        check_job(msgspec.structs.replace(job, parties=parties, **options))


def test_a_rate_that_diverges_says_so(small_job, tmp_path):
    model = LinearRegression(epochs=60, optimizer="sgd", learning_rate=50.0)
    small = small_job(model=model, security="open", **ACCEPTED)
    with pytest.raises(JobError, match=r"diverged.*lower model\.learning_rate"):
        vfl.run_job(small.job, folder=tmp_path / "run")


def test_columns_that_are_all_zero_are_named(small_job, tmp_path):
    tables = small_job().tables
    tables.columns["p0"][:] = 3.0
    small = small_job(tables=tables, security="open", **ACCEPTED)
    with pytest.raises(DataError, match="p0: all its columns are zero"):
        vfl.run_job(small.job, folder=tmp_path / "run")


def test_with_its_guards_on_a_job_of_batches_trains(small_job, tmp_path):
    model = LogisticRegression(epochs=4, batch_size=512)
    small = small_job(rows=1400, features=8, model=model, security="open")
    run, theta, expected = fit(small, tmp_path / "run")
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-3)
    assert run.result.opened == 4
    assert run.metrics["auc"] > 0.9
