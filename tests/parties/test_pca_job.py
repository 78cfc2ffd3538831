"""A whole job whose parties train on principal axes: what crosses, what is learnt, what is kept."""

from __future__ import annotations

import csv
from collections import Counter

import msgspec
import numpy as np
import pytest

import vfl
from vfl.api import ledger_entries
from vfl.data.coefficients import OTHER_LEVEL, OWN_PART
from vfl.data.pca import Projection
from vfl.errors import CheckpointError, DataError, SecurityError
from vfl.parties.active import ActiveParty
from vfl.parties.base import Party, StoredModel
from vfl.parties.passive import PassiveParty
from vfl.planner.counting import count
from vfl.planner.plan import HERE, plan
from vfl.planner.protocols import PROTOCOLS
from vfl.planner.shape import shape_of
from vfl.planner.units import STATED
from vfl.spec import PcaSpec, check_job
from vfl.verify import verify

ROWS = 400
WIDTHS = {"bank": 5, "shop": 10, "mill": 6}


def make(seed=1, rows=ROWS, widths=WIDTHS):
    """Correlated columns of numbers by party; the label depends on all parties'."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9)
    ids = [f"c{k}" for k in range(rows)]
    tables, score = {}, rng.standard_normal(rows) / 2
    for name, width in widths.items():
        hidden = rng.standard_normal((rows, width)) * 0.8 ** np.arange(width)
        X = hidden @ mixing.standard_normal((width, width)) + rng.standard_normal((rows, width)) / 2
        score = score + hidden[:, 0] - hidden[:, -1]
        X = X * mixing.uniform(0.5, 20, width) + mixing.uniform(-9, 9, width)
        tables[name] = {"id": ids, **{f"{name}{k}": X[:, k] for k in range(width)}}
    tables["bank"]["y"] = (score > 0).astype(int)
    return tables


def job_of(tables, *, pca=None, own=None, **options):
    """`pca` of all parties; `own`: further keys by party."""
    own = own or {}
    parties = [
        vfl.Party(
            name, data=table, label="y" if name == "bank" else None,
            **{"pca": pca} | own.get(name, {}),
        )
        for name, table in tables.items()
    ]  # fmt: skip
    options.setdefault("model", vfl.LogisticRegression(epochs=3))
    if options.get("security") in ("shared", "open"):
        options.setdefault("accept_score_leak", True)
    options = {"crypto": "mock", "transport": "inprocess", "security": "arbiter"} | options
    return check_job(vfl.JobSpec(parties=parties, **options))


def stored(run, party):
    return msgspec.json.decode((run.folder / party / "model.json").read_bytes(), type=StoredModel)


# what crosses


@pytest.mark.parametrize("ratio", [1.0, 0.8, 0.6])
def test_values_that_cross_and_are_opened_are_linear_in_the_axes(tmp_path, ratio):
    tables = make(rows=900)
    run = vfl.run_job(job_of(tables, pca=PcaSpec(ratio=ratio)), folder=tmp_path / "run")
    axes = {name: round(ratio * width) for name, width in WIDTHS.items()}
    assert axes["shop"] == 10 * ratio
    sent = {axis: Counter() for axis in ("train.gradient", "train.step")}
    for entry in ledger_entries(run.folder)[0]:
        if entry.direction == "sent" and entry.kind in sent:
            party = entry.sender if entry.kind == "train.gradient" else entry.receiver
            field, *_ = entry.fields  # of a gradient also how many follow it
            sent[entry.kind][party] += field.count
    expected = {name: 3 * (k + (name == "bank")) for name, k in axes.items()}  # the intercept
    assert sent == {"train.gradient": expected, "train.step": expected}
    opened = "the optimiser's step on the receiver's own columns"
    assert run.ledger.disclosures[opened] == sum(expected.values())
    assert run.ledger.clean


def test_fewer_axes_allow_fewer_opened_scores(tmp_path):
    """The budget is half the independent columns, and those are the axes."""
    tables = make()
    everything, half = (
        vfl.run_job(
            job_of(
                tables, security="shared", accept_score_leak=False, pca=pca,
                model=vfl.LogisticRegression(tolerance=0.0),
            ),
            folder=tmp_path / str(pca),
        )
        for pca in (None, PcaSpec(ratio=0.5))
    )  # fmt: skip
    assert (everything.result.opened, half.result.opened) == (8, 4)


def test_neither_axes_nor_counts_of_columns_before_leave_the_party(tmp_path, tap, capfd):
    events = []
    job = job_of(make(), pca=PcaSpec(variance=0.9), security="shared")
    run = vfl.run_job(job, folder=tmp_path / "run", on_event=events.append)
    axes = stored(run, "shop").projection.matrix
    said = msgspec.json.encode(events) + "".join(capfd.readouterr()).encode()
    said += b"".join(
        path.read_bytes()
        for path in run.folder.rglob("*")
        if path.is_file() and path.name != "model.json"
    )
    for number in axes.ravel():
        assert np.float64(number).tobytes() not in tap.everything
        assert repr(float(number)).encode() not in said + tap.everything
    hello = [e for e in run_entries(run) if e.kind == "shared.hello" and e.sender == "shop"]
    assert hello and len(axes) < 10
    assert not run.result.notes


def run_entries(run):
    return ledger_entries(run.folder)[0]


# the model of all columns


def by_hand(run, party, columns):
    """Scores (n,) from cells and `coefficients.csv`, as the docstring of `Coefficient` tells."""
    with (run.folder / party / "coefficients.csv").open(newline="") as file:
        found = {(r["name"], r["level"]): float(r["coefficient"]) for r in csv.DictReader(file)}
    total = np.full(len(columns["id"]), found.pop((OWN_PART, "")))
    for name in {name for name, _ in found}:
        cells = columns[name]
        if (name, "") in found:
            total += found[name, ""] * np.asarray(cells, dtype=float)
        else:
            other = found.get((name, OTHER_LEVEL), 0.0)
            total += [found.get((name, cell or "(missing)"), other) for cell in cells]
    return total


def own_scores(run, party, columns):
    kind = ActiveParty if party == "bank" else PassiveParty
    spec = msgspec.structs.replace(run.job.party(party), data=columns)
    one = kind(run.job, spec, run.folder / party, resume=False)
    return one.read_for(one.load())[1][:, 0]


def mixed(seed=1, rows=ROWS):
    """With categories and gaps at the shop, which fills them with medians."""
    tables = make(seed, rows, {"bank": 5, "shop": 6})
    rng = np.random.default_rng(seed)
    tables["shop"]["city"] = np.array(["Ayr", "Bath", "Cork", ""], dtype=object)[
        rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    ]
    tables["shop"]["shop1"] = np.where(rng.random(rows) < 0.1, np.nan, tables["shop"]["shop1"])
    return tables


@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("security", ["arbiter", "shared"])
def test_coefficients_of_all_columns_are_the_model(tmp_path, scale, security):
    shop = {"encode": "one_hot", "impute": "median", "scale": scale}
    job = job_of(
        mixed(rows=700), pca=PcaSpec(ratio=0.6), security=security,
        own={"shop": shop, "bank": {"scale": scale}},
    )  # fmt: skip
    run = vfl.run_job(job, folder=tmp_path / "run")
    model = stored(run, "shop")
    assert np.shape(model.weights) == (round(0.6 * 9), 1)  # six columns, three of the city's four
    later = mixed(seed=2, rows=90)
    fill = model.preprocessor["fill"][1]
    cells = np.array(later["shop"]["shop1"])
    filled = {**later["shop"], "shop1": np.where(np.isnan(cells), fill, cells)}
    scores = {"bank": by_hand(run, "bank", later["bank"]), "shop": by_hand(run, "shop", filled)}
    for party, expected in scores.items():
        assert np.abs(own_scores(run, party, later[party]) - expected).max() < 1e-9
        assert expected.std() > 0.01
    with run.predict(later).open(newline="") as file:
        predicted = {r["id"]: float(r["prediction"]) for r in csv.DictReader(file)}
    z = sum(scores.values())
    expected = dict(zip(later["bank"]["id"], 1 / (1 + np.exp(-z)), strict=True))
    assert max(abs(predicted[k] - expected[k]) for k in expected) < 2**-12
    lines = (run.folder / "shop" / "coefficients.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [
        *(f"shop{k}" for k in range(6)), *["city"] * 4, OWN_PART
    ]  # fmt: skip


def test_all_axes_train_to_the_model_without_pca(tmp_path):
    """The ridge is the same in either, so at the minimum of a convex loss so are the weights."""
    tables = make(widths={"bank": 2, "shop": 4})
    model = vfl.LogisticRegression(l2=0.1, epochs=25, tolerance=1e-5)
    plain, whole = (
        vfl.run_job(
            job_of(tables, pca=pca, security="shared", model=model), folder=tmp_path / str(n)
        )
        for n, pca in enumerate((None, PcaSpec(ratio=1.0)))
    )
    for name in tables:
        expected = stored(plain, name).whole[0]
        np.testing.assert_allclose(stored(whole, name).whole[0], expected, atol=1e-4)
    assert whole.metrics["auc"] == pytest.approx(plain.metrics["auc"], abs=1e-3)


def test_the_active_party_alone_is_judged_on_all_its_columns(tmp_path):
    alone = {
        vfl.run_job(job_of(make(), pca=pca), folder=tmp_path / str(n)).metrics["auc_active_alone"]
        for n, pca in enumerate((None, PcaSpec(ratio=0.2)))
    }
    assert len(alone) == 1


@pytest.mark.parametrize(
    ("security", "model", "pca"),
    [
        ("arbiter", vfl.LogisticRegression(epochs=4), PcaSpec(variance=0.8)),
        ("open", vfl.LogisticRegression(l2=0.1, epochs=30), PcaSpec(ratio=0.6)),
        ("shared", vfl.MultinomialRegression(epochs=8), PcaSpec(variance=0.9)),
        ("sealed", vfl.LinearRegression(l2=0.1, epochs=50), PcaSpec(ratio=0.6)),
    ],
    ids=["arbiter", "open", "shared", "sealed"],
)
def test_the_job_learns_what_its_second_implementation_learns(security, model, pca):
    own = {"bank": {"pca": None}, "shop": {"scale": "none"} if security == "shared" else {}}
    widths = {"bank": 3, "shop": 5} if security == "sealed" else WIDTHS
    job = job_of(make(widths=widths), pca=pca, security=security, model=model, own=own)
    result = verify(job)
    assert [check for check in result.checks if not check.passed] == []


# what must not happen


def test_guards_look_at_the_axes(tmp_path):
    """One row far from all others leads the first axis; many axes solve for few labels."""
    tables = make()
    for k in range(10):
        tables["shop"][f"shop{k}"][7] += 1e4 * (k + 1)
    with pytest.raises(SecurityError, match=r"leverage above 0\.5 in this party's own 2 columns"):
        vfl.run_job(job_of(tables, pca=PcaSpec(ratio=0.2)), folder=tmp_path / "far")
    few = make(rows=150)
    with pytest.raises(SecurityError, match="a gradient of 10 columns opens 160 bits about 120"):
        vfl.run_job(job_of(few, pca=PcaSpec(ratio=1.0)), folder=tmp_path / "few")
    vfl.run_job(job_of(few, pca=PcaSpec(ratio=0.6)), folder=tmp_path / "fewer")


def test_axes_too_short_to_be_encrypted_are_refused_with_the_remedy(tmp_path):
    tables = make()
    tables["shop"]["again"] = tables["shop"]["shop0"] * (1 + 1e-3 * np.arange(ROWS) / ROWS)
    for scheme, refused in (("lattice", True), ("mock", False)):
        job = job_of(tables, pca=PcaSpec(ratio=1.0), crypto=scheme)
        job = msgspec.structs.replace(job, accept_gradient_leak=True)
        if not refused:
            vfl.run_job(job, folder=tmp_path / scheme)
            continue
        with pytest.raises(DataError, match=r"shop: pca keeps 1 axes .* lower its ratio"):
            vfl.run_job(job, folder=tmp_path / scheme)


def test_a_passive_party_without_variance_is_refused(tmp_path):
    tables = make()
    tables["shop"] = {"id": tables["shop"]["id"], "a": np.ones(ROWS), "b": np.full(ROWS, 0.1)}
    with pytest.raises(DataError, match=r"shop, .* no column varies over the training rows"):
        vfl.run_job(job_of(tables, pca=PcaSpec(ratio=0.5)), folder=tmp_path / "run")


def test_the_active_party_may_have_no_axis(tmp_path):
    tables = make()
    tables["bank"] = {key: tables["bank"][key] for key in ("id", "y")} | {"same": np.ones(ROWS)}
    model = vfl.LogisticRegression(l2=0.1, epochs=10)
    job = job_of(tables, pca=PcaSpec(ratio=0.6), security="shared", model=model)
    run = vfl.run_job(job, folder=tmp_path / "run")
    assert stored(run, "bank").weights == []
    assert run.predict(tables).is_file()
    assert verify(job).passed


def test_more_columns_than_rows_are_at_most_as_many_axes_as_these(tmp_path):
    tables = make(rows=60, widths={"bank": 2, "shop": 70})
    job = job_of(
        tables, pca=PcaSpec(ratio=1.0), security="shared", accept_gradient_leak=True
    )  # fmt: skip
    run = vfl.run_job(job, folder=tmp_path / "run")
    assert len(stored(run, "shop").weights) == 47  # 48 training rows, centred


# again


FEW, MORE = PcaSpec(ratio=0.6), PcaSpec(ratio=0.8)


@pytest.mark.parametrize(("first", "then"), [(FEW, FEW), (FEW, MORE), (FEW, None), (None, MORE)])
def test_a_warm_start_begins_at_the_earlier_model_whatever_the_projections(tmp_path, first, then):
    """Its first loss is that of the earlier weights, or of what of them the axes can say."""
    tables = make()
    options = {
        "security": "shared", "model": vfl.LogisticRegression(epochs=6, tolerance=0.0),
        "own": {"bank": {"scale": "none"}},
    }  # fmt: skip
    earlier = vfl.run_job(job_of(tables, pca=first, **options), folder=tmp_path / "first")
    job = job_of(tables, pca=then, warm_start=str(earlier.folder), **options)
    losses, before = vfl.run_job(job, folder=tmp_path / "then").result.losses, earlier.result.losses
    if first:  # all that was learnt can be said
        assert losses[0] == pytest.approx(before[-1], abs=2e-3)
    assert losses[0] < (before[0] + before[-1]) / 2 and losses[-1] < losses[0]


class CutOffError(Exception):
    """Where a run ends in a test."""


@pytest.mark.parametrize("security", ["arbiter", "shared"])
def test_a_resumed_run_has_the_same_axes_or_is_refused(tmp_path, monkeypatch, security):
    model = vfl.LogisticRegression(epochs=4, tolerance=0.0)
    job = job_of(make(), pca=FEW, security=security, model=model)
    whole = vfl.run_job(job, folder=tmp_path / "whole")
    checkpoints = Party.checkpoints

    def cut_off(self, identity):
        made = checkpoints(self, identity)
        save = made.save

        def saved(epoch, state):
            save(epoch, state)
            if epoch == 2 and self.spec.name == "shop":
                raise CutOffError

        monkeypatch.setattr(made, "save", saved)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Party, "checkpoints", cut_off)
        for name in ("cut", "turned"):
            with pytest.raises(CutOffError):
                vfl.run_job(job, folder=tmp_path / name)
    resumed = vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    for name in WIDTHS:
        found, expected = stored(resumed, name), stored(whole, name)
        assert found.projection == expected.projection
        np.testing.assert_allclose(found.weights, expected.weights, atol=2e-4)

    fit = Projection.fit

    def turned(*told):
        return msgspec.structs.replace(made := fit(*told), axes=made.axes[::-1])

    monkeypatch.setattr(Projection, "fit", turned)
    with pytest.raises(CheckpointError, match="made from other data"):
        vfl.run_job(job, folder=tmp_path / "turned", resume=True)


# what it will take


@pytest.mark.parametrize(
    ("security", "ratio"),
    [("arbiter", 0.05), ("arbiter", 0.6), ("shared", 0.6), ("open", 0.6), ("sealed", 0.6)],
)
def test_bytes_are_those_of_the_ledger_of_a_real_run(tmp_path, security, ratio):
    kind = vfl.LinearRegression if security == "sealed" else vfl.LogisticRegression
    job = job_of(
        make(), pca=PcaSpec(ratio=ratio), security=security,
        model=kind(epochs=3, tolerance=0.0),
    )  # fmt: skip
    run = vfl.run_job(job, folder=tmp_path / "run")
    real = Counter()
    for entry in run_entries(run):
        if entry.direction == "sent":
            real[entry.sender, entry.kind] += entry.bytes
    tables = {name: count(job.party(name)) for name in WIDTHS}
    shape = shape_of(job, tables)
    told = PROTOCOLS[security].forecast(shape, job.cipher, STATED, HERE, ray=False, tables=tables)
    assert {(p.name, kind): n for p in told.parties for kind, n in p.sent.items()} == real


def test_the_plan_says_what_it_knows_of_the_axes():
    made = plan(job_of(make(), pca=PcaSpec(ratio=0.6)), seconds=0.1)
    assert made.columns == {"bank": 3, "shop": 6, "mill": 4}
    assert "shop: pca makes 6 columns of 10, as many vary" in made.assumed
    few = make(rows=150)
    at_most = plan(job_of(few, pca=PcaSpec(variance=0.9)), seconds=0.1)
    assert "shop: pca makes 10 columns of 10, or fewer" in at_most.assumed
    (warned,) = (one for one in at_most.warnings if one.text.startswith("shop"))
    assert "unless fewer reach pca.variance 0.9" in warned.text and not warned.refused
    (sure,) = (
        one
        for one in plan(job_of(few, pca=PcaSpec(ratio=1.0)), seconds=0.1).warnings
        if one.text.startswith("shop")
    )
    assert sure.refused
