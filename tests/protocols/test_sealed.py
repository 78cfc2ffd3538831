"""Sealed linear regression: the closed form's weights, and nothing else that anybody learns."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

import vfl
from vfl.api import ledger_entries
from vfl.errors import DataError, JobError, SecurityError
from vfl.messages import unpack
from vfl.models import clear
from vfl.models.families import GAUSSIAN
from vfl.protocols import quadratic
from vfl.spec import (
    EarlyStopping,
    MultinomialRegression,
    PartySpec,
    PoissonRegression,
    check_job,
)

SAME = 1e-4  # of the largest weight


def columns_of(small):
    """Each party's columns (n, f) in the order of the active party's ids, and the label (n,)."""
    tables = small.tables
    ids = [i for i in tables.ids["bank"] if i in tables.joint]
    blocks = {}
    for party, values in tables.columns.items():
        place = {i: row for row, i in enumerate(tables.ids[party])}
        blocks[party] = values[[place[i] for i in ids]]
    return blocks, np.array([tables.label[i] for i in ids])


def trained(small, folder, **options):
    """(weights of all parties, intercept, run)."""
    run = vfl.run_job(small.job, folder=folder, **options)
    models = {
        party: msgspec.json.decode((folder / party / "model.json").read_bytes())
        for party in small.tables.columns
    }
    weights = np.concatenate([np.array(m["weights"]).reshape(-1) for m in models.values()])
    return weights, sum(m["intercept"][0] for m in models.values()), run


def expected(small, l2, *, scaled=True, intercept=True):
    """The closed form (numpy's and LAPACK's by scikit-learn), and its R2 on the training rows."""
    blocks, y = columns_of(small)
    X = np.hstack(list(blocks.values()))
    if scaled:
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (y - y.mean()) / y.std()
    model = LinearRegression if l2 == 0 else Ridge
    options = {} if l2 == 0 else {"alpha": l2 * len(y), "solver": "svd"}
    fitted = model(fit_intercept=intercept, **options).fit(X, y)
    return fitted, X, y


def check_same(small, folder, l2, **options):
    weights, intercept, run = trained(small, folder)
    fitted, X, y = expected(small, l2, **options)
    size = np.abs(fitted.coef_).max()
    np.testing.assert_allclose(weights, fitted.coef_, rtol=0, atol=SAME * size)
    assert intercept == pytest.approx(fitted.intercept_, abs=SAME * max(1, size))
    residual = y - X @ weights - intercept
    assert 1 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2) == pytest.approx(
        fitted.score(X, y), abs=SAME
    )
    assert run.result.ledger.clean
    return run


@pytest.mark.parametrize(("passives", "l2"), [(1, 0.0), (2, 1e-3), (3, 0.0), (3, 0.3)])
def test_weights_are_the_closed_forms(small_job, tmp_path, passives, l2):
    model = vfl.LinearRegression(l2=l2)
    small = small_job(passives=passives, model=model, security="sealed", test_fraction=0.0)
    check_same(small, tmp_path / "run", l2)


@pytest.mark.parametrize("crypto", ["lattice", "paillier"])
@pytest.mark.parametrize("passives", [1, 3])
def test_encrypted_weights_are_the_closed_forms(small_job, tmp_path, passives, crypto):
    small = small_job(
        passives=passives, model=vfl.LinearRegression(l2=1e-2, epochs=40), security="sealed",
        test_fraction=0.0, crypto=crypto, rows=60, features=1, active_features=1, deadline_s=60,
    )  # fmt: skip
    run = check_same(small, tmp_path / "run", 1e-2)
    assert run.result.security_bits >= 112


def test_weights_are_those_of_accelerated_steps_in_the_clear(small_job, tmp_path):
    small = small_job(model=vfl.LinearRegression(), security="sealed", test_fraction=0.0)
    weights, *_ = trained(small, tmp_path / "run")
    blocks, y = columns_of(small)
    bank, other = ((X - X.mean(axis=0)) / X.std(axis=0) for X in blocks.values())
    target = ((y - y.mean()) / y.std())[:, None]
    fit = clear.fit_blocks(
        [other], bank, target, np.ones(len(y)), GAUSSIAN, l2=1e-3, rounds=2000, tolerance=1e-8
    )
    found = np.concatenate([fit.own, *fit.blocks])[:, 0]
    np.testing.assert_allclose(weights, found, rtol=0, atol=SAME * np.abs(found).max())


@pytest.mark.parametrize("intercept", [True, False])
def test_columns_as_they_are_have_the_closed_forms_weights_and_intercept(
    small_job, tmp_path, intercept
):
    small = small_job(
        passives=2, model=vfl.LinearRegression(intercept=intercept, epochs=300),
        security="sealed", test_fraction=0.0,
    )  # fmt: skip
    parties = [msgspec.structs.replace(p, scale="none") for p in small.job.parties]
    small.job = msgspec.structs.replace(small.job, parties=parties)
    check_same(small, tmp_path / "run", 1e-3, scaled=False, intercept=intercept)


def test_a_condition_of_a_thousand_within_a_partys_columns_costs_nothing(small_job, tmp_path):
    tables = small_job(model=vfl.LinearRegression()).tables
    for values in tables.columns.values():
        values[:] = values * np.geomspace(1, 1e3, values.shape[1])
    small = small_job(
        tables=tables, model=vfl.LinearRegression(l2=0.0), security="sealed", test_fraction=0.0
    )
    parties = [msgspec.structs.replace(p, scale="none") for p in small.job.parties]
    small.job = msgspec.structs.replace(small.job, parties=parties)
    _, X, _ = expected(small, 0.0, scaled=False)
    assert np.linalg.cond(X - X.mean(axis=0)) > 1e3
    check_same(small, tmp_path / "run", 0.0, scaled=False)


def test_a_condition_of_a_thousand_across_parties_takes_as_many_rounds_as_promised(
    small_job, tmp_path
):
    """Two columns correlated by 0.998: eigenvalues 1 +- 0.998 of the whitened Hessian."""
    tables = small_job(model=vfl.LinearRegression(), features=1, active_features=1).tables
    theirs, own = tables.columns["p0"], tables.columns["bank"]
    place = {i: row for row, i in enumerate(tables.ids["bank"])}
    for row, i in enumerate(tables.ids["p0"]):
        if i in place:
            theirs[row] = own[place[i]] + 0.055 * (theirs[row] - theirs.mean())
    small = small_job(
        tables=tables, model=vfl.LinearRegression(l2=0.0, epochs=300), security="sealed",
        test_fraction=0.0,
    )  # fmt: skip
    _, X, _ = expected(small, 0.0)
    squares = np.linalg.eigvalsh(X.T @ X / len(X))
    assert 900 < squares[-1] / squares[0] < 2500
    check_same(small, tmp_path / "run", 0.0)


def test_more_columns_than_rows(small_job, tmp_path):
    small = small_job(
        rows=40, features=45, active_features=2, model=vfl.LinearRegression(l2=0.3),
        security="sealed", test_fraction=0.0, accept_gradient_leak=True,
    )  # fmt: skip
    check_same(small, tmp_path / "run", 0.3)


@pytest.mark.parametrize("level", ["shared", "sealed"])
def test_a_flag_of_one_row_is_refused_before_anything_is_encrypted(small_job, tmp_path, level):
    """A share of its coefficient from each trainer: the sign is that of the row's residual."""
    tables = small_job(model=vfl.LinearRegression()).tables
    flagged = next(row for row, i in enumerate(tables.ids["p0"]) if i in tables.joint)
    tables.columns["p0"][:, 0] = np.arange(len(tables.ids["p0"])) == flagged
    model = vfl.LinearRegression(l2=0.1, epochs=60)
    options = {"model": model, "security": level, "test_fraction": 0.0}
    small = small_job(tables=tables, **options)
    match = r"p0: 1 of 120 rows have a leverage above 0\.5.*accept_gradient_leak: true"
    with pytest.raises(SecurityError, match=match):
        vfl.run_job(small.job, folder=tmp_path / "run")
    entries, *_ = ledger_entries(tmp_path / "run")
    assert not [e for e in entries for f in e.fields if f.protection == "encrypted"]
    accepted = small_job(tables=tables, accept_gradient_leak=True, **options)
    check_same(accepted, tmp_path / "accepted", 0.1)


def test_an_active_party_without_columns_has_only_the_label(small_job, tmp_path):
    small = small_job(
        active_features=0, model=vfl.LinearRegression(), security="sealed", test_fraction=0.0
    )
    check_same(small, tmp_path / "run", 1e-3)


def test_held_out_metrics_count_every_partys_part_of_the_intercept(small_job, tmp_path):
    small = small_job(passives=2, model=vfl.LinearRegression(epochs=80), security="shared")
    parties = [msgspec.structs.replace(p, scale="none") for p in small.job.parties]
    small.job = msgspec.structs.replace(small.job, parties=parties)
    as_is = vfl.run_job(small.job, folder=tmp_path / "as-is")
    scaled = [msgspec.structs.replace(p, scale="standard") for p in small.job.parties]
    job = msgspec.structs.replace(
        small.job, parties=scaled, model=vfl.LinearRegression(l2=0.0, epochs=80), security="sealed"
    )
    other = vfl.run_job(job, folder=tmp_path / "scaled")
    assert as_is.metrics["r2"] == pytest.approx(other.metrics["r2"], abs=0.01)
    assert as_is.metrics["r2"] > 0.5


@pytest.mark.parametrize("level", ["shared", "sealed"])
@pytest.mark.parametrize("passives", [1, 3])
def test_nothing_crosses_but_ciphertexts_shares_sizes_and_own_coefficients(
    small_job, tmp_path, passives, level
):
    small = small_job(
        passives=passives, model=vfl.LinearRegression(epochs=3), security=level, test_fraction=0.0
    )
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    entries = [e for e in ledger_entries(run.folder)[0] if not e.kind.startswith("align.")]
    assert {e.kind.split(".")[0] for e in entries} == {"sealed"}
    seen = {(e.kind, f.name, f.protection) for e in entries for f in e.fields}
    assert {one for one in seen if one[2] != "public"} == {
        ("sealed.column", "values", "encrypted"),
        ("sealed.moments", "values", "encrypted"),
        ("sealed.weights", "values", "encrypted"),
        ("sealed.gradient", "values", "encrypted"),
        ("sealed.coefficients", "values", "disclosed"),
        *([("sealed.moment_shares", "values", "masked")] if passives > 1 else []),
    }
    handed = [(e.sender, e.receiver) for e in entries if e.kind == "sealed.coefficients"]
    trainers = {"bank", "p0"}
    assert {sender for sender, _ in handed} == trainers
    assert not run.result.undeclared


def opened(tap, kind):
    messages = (unpack(np.frombuffer(frame, np.uint8)) for *_, frame in tap.frames)
    return [m.values.value for m, envelope, _ in messages if envelope.kind == kind]


@pytest.mark.parametrize("kind", ["sealed.moment_shares", "sealed.coefficients"])
def test_two_runs_of_a_job_share_differently(small_job, tmp_path, tap, kind):
    small = small_job(
        passives=3, model=vfl.LinearRegression(epochs=2), security="sealed", test_fraction=0.0
    )
    vfl.run_job(small.job, folder=tmp_path / "one")
    first = opened(tap, kind)
    tap.frames.clear()
    vfl.run_job(small.job, folder=tmp_path / "two")
    again = opened(tap, kind)
    assert len(first) == len(again) > 0
    one, two = ({row.tobytes() for share in run for row in share} for run in (first, again))
    assert not one & two


def test_no_share_of_a_point_on_the_way_is_small(small_job, tmp_path, monkeypatch):
    """What a party holds is uniform over 68 bits: one below 2^36 comes once in 2^31."""
    seen = []
    gradient = quadratic.Quadratic.gradient

    async def watched(self, u, at):
        seen.append((at, u))
        return await gradient(self, u, at)

    monkeypatch.setattr(quadratic.Quadratic, "gradient", watched)
    small = small_job(passives=2, model=vfl.LinearRegression(epochs=5), security="sealed")
    vfl.run_job(small.job, folder=tmp_path / "run")
    later = [u for at, u in seen if at != "train/0"]
    assert len(later) == 2 * 4
    assert all((np.abs(u.signed()) > 2.0**36).all() for u in later)


@pytest.mark.parametrize("level", ["shared", "sealed"])
@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("early_stopping", {"model": vfl.LinearRegression(early_stopping=EarlyStopping())}),
        ("folds", {"folds": 3}),
        ("warm_start", {"warm_start": "run"}),
        ("batch_size", {"model": vfl.LinearRegression(batch_size=600)}),
        ("arbiter", {"arbiter": True}),
        ("weight", {"weight": "w"}),
        ("ckks", {"crypto": "ckks"}),
    ],
)
def test_what_needs_a_likelihood_or_an_arbiter_is_refused_by_name(small_job, level, named, options):
    job = small_job(model=vfl.LinearRegression(), security="sealed").job
    options, parties = dict(options), list(job.parties)
    if options.pop("arbiter", False):
        parties.append(PartySpec("third", role="arbiter"))
    if weight := options.pop("weight", None):
        parties[0] = msgspec.structs.replace(parties[0], weight=weight)
    changed = msgspec.structs.replace(job, security=level, parties=parties, **options)
    with pytest.raises(JobError, match=named):
        check_job(changed)


@pytest.mark.parametrize(
    "model",
    [vfl.LogisticRegression(), PoissonRegression(), MultinomialRegression()],
    ids=lambda model: type(model).__name__,
)
def test_other_models_are_not_sealed_and_say_so(small_job, model):
    job = small_job(model=vfl.LinearRegression(), security="sealed").job
    kind = type(model).__struct_config__.tag
    with pytest.raises(JobError, match=f"sealed does not train {kind}.*security: shared"):
        check_job(msgspec.structs.replace(job, model=model))


def test_a_party_whose_columns_do_not_vary_is_named(small_job, tmp_path):
    tables = small_job(model=vfl.LinearRegression()).tables
    tables.columns["p0"][:] = 3.0
    small = small_job(tables=tables, model=vfl.LinearRegression(), security="sealed")
    with pytest.raises(DataError, match="p0: none of its columns varies"):
        vfl.run_job(small.job, folder=tmp_path / "run")
