"""`vfl plan` at the level `shared`: bytes against the ledgers of real runs, seconds, rounds."""

from __future__ import annotations

import importlib
import itertools
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from planned import bytes_of_run, check_bytes
from vfl.api import run_job
from vfl.planner.counting import Size, count
from vfl.planner.plan import HERE, expected, opened_before, plan
from vfl.planner.probe import probe
from vfl.planner.protocols import PROTOCOLS
from vfl.planner.shape import shape_of
from vfl.planner.share_costs import share_costs
from vfl.planner.units import FAR, STATED
from vfl.protocols.blocks import MATRIX_BITS
from vfl.schemes import make_sharing_scheme
from vfl.spec import (
    CryptoSpec,
    JobSpec,
    LogisticRegression,
    MultinomialRegression,
    PartySpec,
    check_job,
)
from vfl_crypto.errors import CryptoError
from vfl_crypto.words import IntegerMatrix, Words

SMALL = CryptoSpec("paillier", 2048)


def job(
    rows=300, columns=(3, 4), crypto="mock", classes=2, model=None, weight=None, **more
) -> JobSpec:
    """A job on tables in memory whose ids are all common; it never ends before its last round."""
    rng = np.random.default_rng(0)
    names = ["bank", *(f"shop{k}" for k in range(1, len(columns)))]
    parties = []
    for name, width in zip(names, columns, strict=True):
        data = {"id": np.arange(rows)}
        data |= {f"{name}{k}": rng.standard_normal(rows) for k in range(width)}
        label = None
        if name == "bank":
            data["y"] = np.arange(rows) % classes
            data["w"] = np.ones(rows)
            label = "y"
        own = {"weight": weight} if label and weight else {}
        drop = ["w"] if label and not weight else []
        parties.append(PartySpec(name, data=data, label=label, drop=drop, **own))
    kind = LogisticRegression if classes == 2 else MultinomialRegression
    made = kind(**{"tolerance": 0.0} | (model or {}))
    options = {"transport": "inprocess"} | more
    return check_job(JobSpec(parties=parties, model=made, crypto=crypto, **options))


def shaped(made: JobSpec):
    classes = isinstance(made.model, MultinomialRegression)
    tables = {n: count(made.party(n), classes=classes) for n in made.roster.data_parties}
    return shape_of(made, tables, opened_before(made))


def predicted(made: JobSpec, units=STATED, link=HERE):
    forecast = PROTOCOLS["shared"].forecast
    return forecast(shaped(made), made.cipher, units, link, ray=False)


FREE = {"accept_score_leak": True}


@pytest.mark.parametrize(
    "made",
    [
        job(),
        job(columns=(0, 30), crypto="lattice"),
        job(6000, (2, 3), "lattice", model={"epochs": 12}, **FREE),
        job(columns=(2, 5, 3), crypto="lattice"),
        job(120, (2, 5), SMALL, model={"epochs": 2}),
        job(120, (2, 5, 20), SMALL, model={"epochs": 2}),
        job(classes=3, columns=(2, 12), crypto="lattice"),
        job(classes=4, columns=(2, 12, 12)),
        job(90, classes=3, columns=(1, 3, 2), crypto=SMALL, model={"epochs": 1}, **FREE),
        job(folds=11, model={"epochs": 2}, **FREE),
        job(model={"epochs": 101}, **FREE),
        job(test_fraction=0.0, weight="w"),
        job(40, (2, 60), model={"epochs": 3}, accept_gradient_leak=True, **FREE),
    ],
    ids=[
        "mock", "lattice, labels alone", "lattice, several blocks", "lattice, two passives",
        "paillier", "paillier, two passives", "lattice, three classes", "four classes, masked",
        "paillier, three classes", "folds", "many rounds", "nothing held out",
        "more columns than rows",
    ],
)  # fmt: skip
def test_bytes_are_those_of_the_ledger_of_a_real_run(made, tmp_path):
    told = predicted(made)
    check_bytes(told, run_job(made, folder=tmp_path / "run"), "shared.key")
    assert told.fits == 1 + (made.folds or 0)


def test_bytes_of_a_warm_start_are_those_of_a_real_run(tmp_path):
    run_job(job(columns=(2, 20), model={"epochs": 3}), folder=tmp_path / "first")
    made = job(columns=(2, 20), model={"epochs": 3}, warm_start=str(tmp_path / "first"))
    assert opened_before(made) == 3
    run_job(made, folder=tmp_path / "second")
    sent, _ = bytes_of_run(tmp_path / "second")
    told = predicted(made)
    assert told.bytes == sum(sent.values())
    assert shaped(msgspec.structs.replace(made, warm_start="nowhere")).opened == 0


def test_the_bytes_of_a_round_are_what_one_more_costs():
    """Ten more rounds whose numbers have as many digits."""
    told = [predicted(job(model={"epochs": n}, **FREE)) for n in (20, 30)]
    assert told[0].epoch_bytes == told[1].epoch_bytes
    more = told[1].bytes - told[0].bytes
    assert more == pytest.approx(10 * told[0].epoch_bytes, abs=200)


@pytest.mark.parametrize(
    ("made", "rounds"),
    [
        (job(columns=(2, 20)), 10),
        (job(columns=(2, 20), folds=4), 2),
        (job(columns=(2, 12, 8), classes=3), 5),
        (job(columns=(2, 300), rows=2000), 100),
        (job(columns=(2, 20), model={"epochs": 7}), 7),
        (job(columns=(2, 20), **FREE), 100),
    ],
)
def test_rounds_are_as_many_as_the_budget_or_the_job_allows(made, rounds):
    assert predicted(made).epochs == rounds


def test_a_label_that_is_not_here_is_taken_to_have_three_classes():
    made = job(classes=5)
    assert shaped(made).outputs == 5
    elsewhere = shape_of(made, {})
    assert elsewhere.outputs == 3 and any("3 classes" in text for text in elsewhere.assumed)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather", "mapping", "arrow"])
def test_classes_are_counted_in_any_table(suffix, tmp_path):
    columns = {"id": ["1", "2", "3", "4"], "a": ["1"] * 4, "y": ["u", "v", "u", "w"]}
    data = path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        lines = [",".join(line) for line in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(["\ufeffid,a, y ", *lines]) + "\n")
    elif suffix == "mapping":
        data = columns
    else:
        arrow = pytest.importorskip("pyarrow")
        data = arrow.table(columns)
        if suffix != "arrow":
            module = importlib.import_module(f"pyarrow.{suffix}")
            getattr(module, {"parquet": "write_table", "feather": "write_feather"}[suffix])(
                data, path
            )
            data = path
    spec = PartySpec("p", data=str(data) if data is path else data, label="y")
    found = count(spec, classes=True)
    assert found == Size(4, 1, suffix == "csv", 3)
    assert count(spec).classes == 0
    assert count(PartySpec("p", data=spec.data, label="none"), classes=True).classes == 0


@pytest.mark.parametrize("crypto", ["mock", "lattice", SMALL], ids=["mock", "lattice", "paillier"])
@pytest.mark.parametrize(("rows", "columns"), [(500, 4), (9000, 30)])
def test_bodies_are_as_large_as_real_ones(crypto, rows, columns):
    made = job(crypto=crypto)
    shapes = [(rows, columns), (columns, rows + columns)]
    if made.cipher.scheme == "paillier":
        shapes = [(70, columns), (columns, 70 + columns)]
    costs = share_costs(made.cipher, STATED)
    scheme = make_sharing_scheme(made.cipher, shapes)
    holder = scheme.share_holder()
    evaluator = scheme.evaluator(holder.public_key)
    assert costs.key(shapes).size == len(holder.public_key)
    assert (costs.parameters, costs.security_bits) == (
        evaluator.info.parameters, evaluator.info.security_bits
    )  # fmt: skip
    kept = 0
    matrices = [IntegerMatrix(np.ones(shape), MATRIX_BITS) for shape in shapes]
    for matrix, bits in zip(matrices, (52, 96), strict=True):
        words = holder.encrypt_words(Words.zeros(matrix.shape[1], bits))
        masked, _ = evaluator.multiply(matrix, words)
        told = costs.product(*matrix.shape, MATRIX_BITS, bits)
        assert (told.vector, told.masked) == (words.body.nbytes, masked.body.nbytes)
        kept += told.kept
    if made.cipher.scheme == "lattice":
        assert kept == scheme._budget.used


def test_a_matrix_without_room_is_refused_as_in_the_job():
    made = job(columns=(2, 3), crypto=SMALL)
    with pytest.raises(CryptoError):
        share_costs(made.cipher, STATED).product(3, 1 << 25, MATRIX_BITS, 96)


GROWING = {
    "rows": lambda k, **more: job(600 + 5000 * k, **more),
    "columns": lambda k, **more: job(columns=(2, 3 + 9 * k), **more),
    "rounds": lambda k, **more: job(model={"epochs": 1 + k}, **more),
    "parties": lambda k, **more: job(columns=(3, 2) + (2,) * k, **more),
    "folds": lambda k, **more: job(folds=2 + k, **more),
    "classes": lambda k, **more: job(classes=3 + k, **more),
}


@pytest.mark.parametrize("cipher", ["lattice", "paillier", "mock"])
@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("link", [HERE, FAR], ids=["one machine", "apart"])
def test_more_of_anything_takes_no_less_time_or_bytes(grow, cipher, link):
    fixed = {"crypto": cipher} | FREE
    told = [predicted(grow(k, **fixed), link=link) for k in range(4)]
    for few, many in itertools.pairwise(told):
        assert few.total_s < many.total_s and few.bytes < many.bytes
        assert few.training_s < many.training_s


def test_tiles_beyond_the_budget_are_made_in_every_round():
    made = job(20_000, (2, 60), "lattice", model={"epochs": 10})
    kept = predicted(made)
    again = predicted(made, replace(STATED, tile_budget=1 << 20))
    assert kept.parties[1].memory["tiles"] > again.parties[1].memory["tiles"] == 1 << 20
    tiles = (kept.parties[1].memory["tiles"] - (1 << 20)) / (3 * 8192 * 8)
    assert again.epoch_s - kept.epoch_s == pytest.approx(STATED.lattice_shares.tile * tiles)


def test_a_partys_stages_add_up_to_the_whole():
    told = predicted(job(crypto="lattice"))
    for party in told.parties:
        assert sum(party.seconds.values()) == pytest.approx(told.total_s)


def test_a_probe_measures_what_shares_take():
    units = probe(["lattice_shares", "paillier_shares"], 600, 3)
    assert {"shared", "lattice_shares", "paillier_shares", "message"} <= units.probed
    for ours, stated in (
        (units.lattice_shares, STATED.lattice_shares),
        (units.paillier_shares, STATED.paillier_shares.at(2048)),
    ):
        for name in ("block", "kernel", "encrypt", "entry", "decrypt"):
            if hasattr(ours, name):
                assert 0.02 < getattr(ours, name) / getattr(stated, name) < 50


@pytest.mark.parametrize(
    "made",
    [
        job(9_000, (2, 12), "lattice", model={"epochs": 6}),
        job(200, (2, 6), SMALL, model={"epochs": 2}),
    ],
    ids=["lattice", "paillier"],
)
def test_seconds_are_about_those_of_a_real_run(made, tmp_path):
    """Within a factor of two on a quiet machine (CHANGELOG.md); of eight wherever tests run."""
    told = plan(made, seconds=1.0).forecast
    ran = run_job(made, folder=tmp_path / "run")
    busy = {p.name: sum(s for n, s in p.seconds.items() if n == "encrypt") for p in told.parties}
    for name, seconds in busy.items():
        assert 1 / 8 < seconds / ran.timings[name]["encrypt"] < 8


def test_a_plan_says_who_learns_what_and_which_ciphers_there_are():
    found = plan(job(columns=(2, 9, 8), crypto="auto"), seconds=0.0)
    assert {found.forecast.cipher, *found.others} == {"lattice", "paillier"}
    assert found.stated == ["lattice", "paillier"]
    assert any("sum of the passive parties' scores" in text for text in found.learns["active"])
    assert not any("only passive" in text for text in found.learns["active"])
    assert any("its own coefficients" in text for text in found.learns["passive"])
    alone = plan(job(crypto="auto"), seconds=0.0)
    assert any("only passive" in text for text in alone.learns["active"])
    assert not any("sum of" in text for text in alone.learns["active"])


def test_a_run_is_expected_without_a_probe():
    made = job(crypto="lattice")
    assert expected(made) == expected(made) and expected(made).bytes == predicted(made).bytes
