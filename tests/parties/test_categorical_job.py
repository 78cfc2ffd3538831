"""A whole job with text columns: what the parties learn, keep, and do not show."""

import csv
import hashlib
import json

import msgspec
import numpy as np
import pytest

import vfl
from vfl import job_checks
from vfl.data.coefficients import OTHER_LEVEL, OWN_PART
from vfl.errors import DataError, SecurityError
from vfl.parties.active import ActiveParty
from vfl.parties.passive import PassiveParty
from vfl.spec import OneHotSpec, check_job
from vfl.verify import verify

CITIES = ("Aberystwyth", "Birmingham", "Canterbury", "Dundee")
TRADES = ("carpenter", "dressmaker", "")
RARE = "Llanfairpwll"
ROWS = 700


def make(seed=1, rows=ROWS):
    """Columns by party; the label depends on both parties' categories."""
    rng = np.random.default_rng(seed)
    city, trade = rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05]), rng.choice(3, rows)
    age, calls = rng.normal(45, 12, rows).round(1), rng.poisson(5, rows)
    score = np.array([0.5, -1.5, 1, 2])[city] + np.array([1, -1, 0])[trade] + (calls - 5) / 3
    late = rng.random(rows) < 1 / (1 + np.exp(-score))
    cities = np.array(CITIES, dtype=object)[city]
    cities[rng.permutation(rows)[:2]] = RARE
    ids = [f"c{k}" for k in range(rows)]
    bank = {"id": ids, "age": age, "trade": np.array(TRADES, dtype=object)[trade], "late": late * 1}
    shop = {"id": ids, "city": cities, "calls": calls, "size": np.where(calls > 5, "L", "S")}
    return {"bank": bank, "shop": shop}


def job_of(tables, *, model=None, bank=None, shop=None, **options):
    own = {"encode": "one_hot"}
    return check_job(
        vfl.JobSpec(
            parties=[
                vfl.Party("bank", data=tables["bank"], label="late", **own | (bank or {})),
                vfl.Party("shop", data=tables["shop"], **own | (shop or {})),
            ],
            model=model or vfl.LogisticRegression(epochs=6, learning_rate=0.1),
            **{"crypto": "mock", "transport": "inprocess", "security": "arbiter"} | options,
        )
    )


def lines_of(run, party):
    with (run.folder / party / "coefficients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["name"], r["level"]): float(r["coefficient"]) for r in rows}


def by_hand(lines, columns):
    lines = dict(lines)
    total = np.full(len(columns["id"]), lines.pop((OWN_PART, "")))
    for name in {name for name, _ in lines}:
        cells = columns[name]
        if (name, "") in lines:
            total += lines[name, ""] * np.asarray(cells)
        else:
            other = lines.get((name, OTHER_LEVEL), 0.0)
            total += [lines.get((name, cell or "(missing)"), other) for cell in cells]
    return total


def own_scores(run, party, columns):
    kind = {"bank": ActiveParty, "shop": PassiveParty}[party]
    spec = msgspec.structs.replace(run.job.party(party), data=columns)
    one = kind(run.job, spec, run.folder / party, resume=False)
    return one.read_for(one.load())[1][:, 0]


def test_scores_from_the_coefficients_are_the_models(tmp_path):
    """On people and categories that training never saw, gaps among them."""
    run = vfl.run_job(job_of(make()), folder=tmp_path / "run")
    later = make(seed=2, rows=100)
    later["shop"]["city"][:3] = ["Elsewhere", "", RARE]
    scores = {p: by_hand(lines_of(run, p), later[p]) for p in later}
    for party, expected in scores.items():
        assert np.abs(own_scores(run, party, later[party]) - expected).max() < 1e-9
        assert expected.std() > 0.1
    with run.predict(later).open(newline="") as file:
        predicted = {r["id"]: float(r["prediction"]) for r in csv.DictReader(file)}
    z = sum(scores.values())
    expected = dict(zip(later["bank"]["id"], 1 / (1 + np.exp(-z)), strict=True))
    assert predicted.keys() == expected.keys()
    assert max(abs(predicted[k] - expected[k]) for k in expected) < 2**-12


def test_a_linear_models_scores_are_deviations_of_the_label(tmp_path):
    tables = make()
    tables["bank"]["late"] = tables["bank"]["late"] * 250.0 + tables["bank"]["age"]
    model = vfl.LinearRegression(epochs=6)
    run = vfl.run_job(job_of(tables, model=model), folder=tmp_path / "run")
    mean, spread = json.loads((run.folder / "bank" / "model.json").read_bytes())["label_values"]
    z = sum(by_hand(lines_of(run, p), tables[p]) for p in tables)
    with run.predict(tables).open(newline="") as file:
        predicted = {r["id"]: float(r["prediction"]) for r in csv.DictReader(file)}
    expected = mean + spread * z
    found = np.array([predicted[k] for k in tables["bank"]["id"]])
    assert np.abs(found - expected).max() < 2**-12 * spread
    assert run.metrics["r2"] > run.metrics["r2_active_alone"]


def test_categories_are_worth_something(tmp_path):
    run = vfl.run_job(job_of(make()), folder=tmp_path / "run")
    without = {"encode": None, "drop": ["city", "size"]}
    less = vfl.run_job(job_of(make(), shop=without), folder=tmp_path / "less")
    assert run.metrics["auc"] > less.metrics["auc"] + 0.02


@pytest.mark.parametrize(
    "options",
    [{}, {"model": vfl.LogisticRegression(epochs=3, batch_size=120), "accept_gradient_leak": True},
     {"shop": {"encode": OneHotSpec(["calls", "city"], min_rows=30, max_levels=3),
               "drop": ["size"], "scale": "none"}}],
    ids=["whole table", "batches", "named columns"],
)  # fmt: skip
def test_the_job_learns_what_its_second_implementation_learns(options):
    result = verify(job_of(make(), **options))
    apart = {check.what: check.difference for check in result.checks}
    assert apart["weights, mock and plaintext"] < 1e-4  # gradients are opened to 16 bits
    assert result.values["mock"] == pytest.approx(result.values["plaintext"], abs=1e-3)


def test_no_name_of_a_level_or_column_leaves_its_party(tmp_path, tap, capfd):
    events = []
    run = vfl.run_job(job_of(make()), folder=tmp_path / "run", on_event=events.append)
    run.predict(make(seed=2, rows=60))
    private = [*CITIES, *TRADES[:2], RARE, "city", "trade", "calls"]
    seen = {
        "frames": tap.everything,
        "events": msgspec.json.encode(events),
        "output": "".join(capfd.readouterr()).encode(),
        **{path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()},
        **{
            f"{party}/{path.name}": path.read_bytes()
            for party in ("bank", "shop", "arbiter")
            for path in (run.folder / party).iterdir()
            if path.name not in ("model.json", "coefficients.csv")
        },
    }
    assert {"frames", "result.json", "job.json", "bank/ledger.jsonl"} <= seen.keys()
    for where, content in seen.items():
        assert not [name for name in private if name.encode() in content], where
    others = (run.folder / "bank" / "coefficients.csv").read_bytes()
    assert b"trade" in others and b"city" not in others
    own = (run.folder / "shop" / "coefficients.csv").read_text()
    assert CITIES[1] in own and RARE not in own  # two rows: it fell to the reference


def test_without_encode_text_is_refused_as_ever(tmp_path):
    with pytest.raises(DataError, match=r"column 'city' .* not numeric .* set encode: one_hot"):
        vfl.run_job(job_of(make(), shop={"encode": None}), folder=tmp_path / "run")


def test_a_column_of_names_is_refused_before_anything_is_sent(tmp_path, tap):
    tables = make()
    tables["shop"]["city"] = [f"Street {k}" for k in range(ROWS)]
    with pytest.raises(DataError) as caught:
        vfl.run_job(job_of(tables), folder=tmp_path / "run")
    assert "column 'city' has 700 categories in 700 rows" in str(caught.value)
    assert "Street" not in str(caught.value)
    assert not [sender for sender, *_ in tap.frames if sender == "shop"]
    with pytest.raises(DataError, match="no category of column 'city' has 10 rows"):
        verify(job_of(tables))


def test_a_rare_level_is_what_the_guard_refuses_and_the_default_keeps_out(tmp_path, monkeypatch):
    """A city of one person: with a column of its own that person's label would be read off."""
    tables = make()
    tables["shop"]["city"][tables["shop"]["city"] == RARE] = CITIES[0]
    ids = np.array(tables["shop"]["id"])
    job = job_of(tables)
    order = sorted(ids, key=_key(job.seed))
    tables["shop"]["city"][ids == order[5]] = RARE  # trained on, not held out
    vfl.run_job(job_of(tables), folder=tmp_path / "run")
    monkeypatch.setattr(
        job_checks, "MIN_CATEGORY", 1
    )  # past the first guard, the second one stands
    with pytest.raises(SecurityError, match=r"leverage above 0\.5"):
        vfl.run_job(
            job_of(tables, shop={"encode": OneHotSpec(min_rows=1)}), folder=tmp_path / "rare"
        )


def _key(seed):
    tag = b"vfl row order" + (seed % (1 << 128)).to_bytes(16, "little")
    return lambda name: hashlib.sha256(tag + name.encode()).digest()


def test_columns_of_one_category_are_counted_and_have_no_influence(tmp_path):
    tables = make()
    tables["shop"]["size"] = ["M"] * ROWS
    run = vfl.run_job(job_of(tables), folder=tmp_path / "run")
    assert run.result.notes == ["shop: 1 of its columns do not vary; its model.json names them"]
    assert lines_of(run, "shop")["size", "M"] == 0.0
    with pytest.raises(DataError, match="every column has one category in all rows"):
        vfl.run_job(job_of(tables, shop={"columns": ["size"]}), folder=tmp_path / "none")


def test_the_active_party_may_have_categories_of_one_level_alone(tmp_path):
    tables = make()
    tables["bank"]["trade"] = ["smith"] * ROWS
    run = vfl.run_job(job_of(tables, bank={"columns": ["trade"]}), folder=tmp_path / "run")
    assert set(lines_of(run, "bank")) == {("trade", "smith"), (OWN_PART, "")}


@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("crypto", ["mock", "lattice"])
def test_a_column_twice_gets_half_the_weight_twice(tmp_path, l2, crypto):
    """Training starts at 0, and equal columns have equal gradients."""
    tables = make()
    tables["shop"]["again"] = tables["shop"]["calls"]
    tables["shop"]["minus"] = 3.0 - 2.0 * tables["shop"]["calls"]
    model = vfl.LogisticRegression(l2=l2, optimizer="sgd", learning_rate=0.3, epochs=8)
    run = vfl.run_job(job_of(tables, model=model, crypto=crypto), folder=tmp_path / "run")
    lines = lines_of(run, "shop")
    step = 1e-9 if crypto == "mock" else 2e-3
    assert lines["again", ""] == pytest.approx(lines["calls", ""], abs=step)
    assert lines["minus", ""] == pytest.approx(-lines["calls", ""] / 2, abs=step)
    assert abs(lines["calls", ""]) > 0.03
