"""`vfl plan` at the level `sealed`: bytes against the ledgers of real runs, seconds, rounds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from planned import check_bytes
from vfl.api import run_job
from vfl.models import chebyshev
from vfl.planner.counting import count
from vfl.planner.plan import HERE, expected, plan
from vfl.planner.protocols import PROTOCOLS
from vfl.planner.shape import shape_of
from vfl.planner.share_costs import share_costs
from vfl.planner.traffic import lengths
from vfl.planner.units import FAR, STATED
from vfl.protocols import quadratic
from vfl.protocols.iterate import WEIGHT_BITS
from vfl.schemes import make_sharing_scheme
from vfl.spec import CryptoSpec, JobSpec, LinearRegression, PartySpec, ScheduleSpec, check_job
from vfl_crypto.words import IntegerMatrix, Words

SMALL = CryptoSpec("paillier", 2048)


def job(rows=300, columns=(3, 4), crypto="mock", epochs=None, intercept=True, **more) -> JobSpec:
    """A job on tables in memory whose ids are all common."""
    rng = np.random.default_rng(0)
    names = ["bank", *(f"shop{k}" for k in range(1, len(columns)))]
    parties = []
    for name, width in zip(names, columns, strict=True):
        data = {"id": np.arange(rows)}
        data |= {f"{name}{k}": rng.standard_normal(rows) for k in range(width)}
        if name == "bank":
            data["y"] = rng.standard_normal(rows)
        parties.append(PartySpec(name, data=data, label="y" if name == "bank" else None))
    model = LinearRegression(epochs=epochs, intercept=intercept)
    options = {"transport": "inprocess"} | more
    return check_job(JobSpec(parties=parties, model=model, crypto=crypto, **options))


def predicted(made: JobSpec, units=STATED, link=HERE):
    tables = {n: count(made.party(n)) for n in made.roster.data_parties}
    forecast = PROTOCOLS["sealed"].forecast
    return forecast(shape_of(made, tables), made.cipher, units, link, ray=False)


@pytest.mark.parametrize(
    "made",
    [
        job(),
        job(security="sealed", epochs=301),
        job(columns=(0, 2), crypto="lattice", epochs=3),
        job(columns=(0, 11, 3), epochs=140),
        job(12_000, (2, 3), "lattice", epochs=2),
        job(columns=(2, 5, 3), crypto="lattice", epochs=12),
        job(columns=(40, 60), crypto="lattice", epochs=1),
        job(columns=(12, 5, 3, 20), crypto="lattice", epochs=2),
        job(columns=(1, 2, 1, 2)),
        job(60, (2, 1), SMALL, epochs=2),
        job(60, (0, 2, 1), SMALL, epochs=2),
        job(60, (1, 1, 2, 1), SMALL, epochs=1),
        job(intercept=False, test_fraction=0.0),
        job(40, (2, 60), epochs=3, accept_gradient_leak=True),
    ],
    ids=[
        "mock", "many rounds", "lattice, label alone", "label alone, two passives",
        "lattice, several blocks", "lattice, two passives", "lattice, several levels",
        "lattice, three passives", "three passives, alike", "paillier",
        "paillier, label alone, two passives", "paillier, three passives", "nothing held out",
        "more columns than rows",
    ],
)  # fmt: skip
def test_bytes_are_those_of_the_ledger_of_a_real_run(made, tmp_path):
    told = predicted(made)
    check_bytes(told, run_job(made, folder=tmp_path / "run"), "sealed.key")
    assert told.keys == len(made.roster.data_parties)


def test_numbers_of_one_length_are_as_long_in_digits_and_in_messagepack():
    found = list(lengths(70_000))
    assert [first for first, _ in found] == [0, 10, 100, 128, 256, 1000, 10_000, 65_536]
    assert sum(many for _, many in found) == 70_000
    assert list(lengths(130, start=127)) == [(127, 1), (128, 2)]


def test_rounds_are_as_many_as_the_job_says_or_as_usual():
    assert predicted(job()).epochs == chebyshev.ROUNDS
    assert predicted(job(epochs=7)).epochs == 7


def test_the_bytes_of_a_round_are_what_one_more_costs():
    few, many = (predicted(job(columns=(3, 4, 2), epochs=n)) for n in (20, 30))
    assert many.bytes - few.bytes == 10 * few.epoch_bytes


@pytest.mark.parametrize("crypto", ["mock", "lattice", SMALL], ids=["mock", "lattice", "paillier"])
def test_bodies_of_a_round_are_as_large_as_real_ones(crypto):
    cipher = job(crypto=crypto).cipher
    shape = quadratic.shape(9)
    holder = make_sharing_scheme(cipher, [shape]).share_holder()
    words = holder.encrypt_words(Words.zeros(shape[1], WEIGHT_BITS))
    matrix = IntegerMatrix(np.ones(shape), quadratic.MATRIX_BITS)
    masked, _ = holder.evaluator.multiply(matrix, words)
    told = share_costs(cipher, STATED).product(*shape, quadratic.MATRIX_BITS, WEIGHT_BITS)
    assert (told.vector, told.masked) == (words.body.nbytes, masked.body.nbytes)


GROWING = {
    "rows": lambda k, **more: job(600 + 5000 * k, **more),
    "columns": lambda k, **more: job(columns=(2, 3 + 9 * k), **more),
    "own columns": lambda k, **more: job(columns=(2 + 9 * k, 3), **more),
    "rounds": lambda k, **more: job(epochs=1 + k, **more),
    "parties": lambda k, **more: job(columns=(3, 2) + (2,) * k, **more),
}


@pytest.mark.parametrize("cipher", ["lattice", "paillier", "mock"])
@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("link", [HERE, FAR], ids=["one machine", "apart"])
def test_more_of_anything_takes_no_less_time_or_bytes(grow, cipher, link):
    told = [predicted(grow(k, crypto=cipher), link=link) for k in range(4)]
    for few, many in itertools.pairwise(told):
        assert few.total_s < many.total_s and few.bytes < many.bytes
        assert few.training_s < many.training_s


def test_tiles_beyond_the_budget_are_made_for_every_column():
    made = job(20_000, (3, 60), "lattice", epochs=1)
    kept, again = (
        predicted(made, replace(STATED, tile_budget=size)) for size in (STATED.tile_budget, 1 << 20)
    )
    assert kept.parties[1].memory["tiles"] > again.parties[1].memory["tiles"] == 1 << 20
    busy, more = (told.parties[1].seconds["encrypt"] for told in (kept, again))
    whole = share_costs(made.cipher, STATED).product(60, 16_000, 30, 96)
    missing = 1 - (1 << 20) / whole.kept
    assert more - busy == pytest.approx((4 - 1) * missing * whole.prepare)  # A's label, too


def test_a_partys_stages_add_up_to_the_whole():
    told = predicted(job(columns=(3, 4, 2), crypto="lattice"))
    for party in told.parties:
        assert sum(party.seconds.values()) == pytest.approx(told.total_s)


def test_who_does_not_train_waits_for_the_moments_of_the_others():
    """And others for a column, or for the first product of one."""
    alone = predicted(job(2000, (8, 9), SMALL, epochs=1), link=FAR)
    beside = predicted(job(2000, (8, 9, 1), SMALL, epochs=1), link=FAR)
    assert 1600 * STATED.paillier_shares.at(2048).encrypt < alone.longest_s
    assert beside.longest_s > 3 * alone.longest_s


@pytest.mark.parametrize(
    "made",
    [
        job(8_000, (4, 6), "lattice", epochs=60),
        job(8_000, (3, 4, 3), "lattice", epochs=40),
        job(200, (3, 4), SMALL, epochs=3),
    ],
    ids=["lattice", "two passives", "paillier"],
)
def test_seconds_are_about_those_of_a_real_run(made, tmp_path):
    """Within a factor of two on a quiet machine; of eight wherever tests run."""
    told = plan(made, seconds=1.0).forecast
    begun = []
    ran = run_job(
        made, folder=tmp_path / "run",
        on_event=lambda e: begun.append(e) if e.text == "training" else None,
    )  # fmt: skip
    assert len(begun) == told.epochs
    for party in told.parties:
        taken = sum(s for s in ran.result.timings[party.name].values())
        assert 1 / 8 < told.total_s / taken < 8


def test_linear_regression_on_shares_is_planned_as_sealed():
    for security in ("shared", "sealed"):
        found = plan(job(crypto="auto", security=security), seconds=0.0)
        assert found.security == "sealed"
        assert (found.forecast.cipher, *found.others) == ("lattice", "paillier")
        assert found.columns == {"bank": 3, "shop1": 4}
        for told in found.learns.values():
            assert not any("score" in text for text in told)
            assert any("its own coefficients" in text for text in told)
    bare = plan(job(columns=(0, 4)), seconds=0.0).learns
    assert not any("coefficients" in text for text in bare["active"])


def test_a_run_is_expected_without_a_probe():
    made = job(crypto="lattice")
    assert expected(made) == expected(made) and expected(made).bytes == predicted(made).bytes


def about(made):
    return {one.about: one for one in plan(made, seconds=0.0).warnings}


def test_a_sensible_job_has_no_warning():
    assert about(job(crypto="auto")) == about(job(crypto="lattice", epochs=500)) == {}


@pytest.mark.parametrize(
    ("word", "made", "refused"),
    [
        ("columns", job(60, (1, 30), "lattice"), True),
        ("columns", job(60, (1, 30), "lattice", accept_gradient_leak=True), False),
        ("columns", job(columns=(3, 0), crypto="lattice"), True),
        ("leak", job(crypto="lattice", accept_gradient_leak=True), False),
        ("cipher", job(20_000, crypto="paillier", epochs=20), False),
        ("deadline", job(crypto=SMALL, columns=(9, 9, 1),
                         schedule=ScheduleSpec(deadline_s=1.0)), True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_silly_choice_is_warned_of(word, made, refused):
    found = about(made)
    assert word in found and found[word].refused is refused
