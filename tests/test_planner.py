"""`vfl plan`: bytes against the ledgers of real runs, memory against real arrays, monotonicity."""

from __future__ import annotations

import importlib
import itertools
import tracemalloc

import msgspec
import numpy as np
import pytest

from planned import bytes_of_forecast, bytes_of_run
from vfl.api import run_job
from vfl.data.table import read_table
from vfl.planner.arbiter import forecast
from vfl.planner.ciphers import cipher_costs
from vfl.planner.counting import Size, count
from vfl.planner.memory import TEXT_CELL
from vfl.planner.plan import HERE, expected, loopback, plan
from vfl.planner.probe import probe
from vfl.planner.shape import COLUMNS, ROWS, shape_of
from vfl.planner.units import FAR, STATED, Link
from vfl.spec import CryptoSpec, JobSpec, LinearRegression, PartySpec, check_job
from vfl_crypto.lattice import LatticeScheme
from vfl_crypto.linear import Matrix
from vfl_crypto.paillier import PaillierScheme


def job(rows=700, columns=(3, 2), crypto="mock", batch=None, epochs=3, **more) -> JobSpec:
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
    model = LinearRegression(epochs=epochs, batch_size=batch, tolerance=0.0)
    options = {"transport": "inprocess", "accept_gradient_leak": True} | more
    return check_job(
        JobSpec(parties=parties, model=model, crypto=crypto, **{"security": "arbiter"} | options)
    )


def predicted(made: JobSpec, units=STATED, link=HERE, ray=False):
    tables = {name: count(made.party(name)) for name in made.roster.data_parties}
    shape = shape_of(made, tables)
    return forecast(shape, made.cipher, units, link, ray=ray, tables=tables)


@pytest.mark.parametrize(
    "made",
    [
        job(crypto="lattice"),
        job(3000, (20, 7), "lattice", batch=700, epochs=12),
        job(997, (2, 3), batch=66, epochs=11),
        job(crypto=CryptoSpec("paillier", 2048), epochs=1),
        job(crypto="ckks", epochs=2),
        job(601, (2, 3, 1), "mock", batch=50, epochs=2),
        job(601, (2, 3, 1, 2), "mock"),
        job(500, (200, 200), batch=20, epochs=10),
        job(300, (0, 2), test_fraction=0.0),
    ],
    ids=[
        "lattice", "lattice, batches", "unequal batches", "paillier", "ckks", "three parties",
        "four parties", "two keys", "nothing held out",
    ],
)  # fmt: skip
def test_bytes_and_messages_are_those_of_the_ledger_of_a_real_run(made, tmp_path):
    run_job(made, folder=tmp_path / "run")
    sent, received = bytes_of_run(tmp_path / "run")
    told = predicted(made)
    for real, found in zip((sent, received), bytes_of_forecast(told), strict=True):
        assert found.keys() == real.keys()
        for key, size in real.items():
            exact = key[1] != "train.key" or made.cipher.scheme != "ckks"
            assert found[key] == (size if exact else pytest.approx(size, rel=1e-3)), key
    assert told.key_bytes == pytest.approx(
        sum(n for (_, kind), n in sent.items() if kind == "train.key"), rel=1e-3
    )


def test_a_key_that_opens_too_little_for_all_epochs_is_made_again():
    assert predicted(job(500, (200, 200), batch=20, epochs=10)).keys == 2
    assert predicted(job(500, (200, 200), batch=20, epochs=8)).keys == 1


@pytest.mark.parametrize(("rows", "columns"), [(600, 3), (9000, 40)])
def test_lattice_bodies_and_tiles_are_as_large_as_real_ones(rows, columns):
    scheme = LatticeScheme()
    holder = scheme.generate()
    encryptor = scheme.encryptor(holder.public_key)
    X = Matrix(np.random.default_rng(0).standard_normal((rows, columns)))
    vector = encryptor.encrypt(np.zeros(rows))
    product = encryptor.rmatmul(X, vector)
    batch = cipher_costs(CryptoSpec("lattice"), STATED).batch(rows, columns)
    assert batch.vector == vector.nbytes
    assert batch.sums == encryptor.encrypt(np.zeros(columns), product).nbytes
    assert batch.kept == scheme._budget.used
    assert 2 * batch.vector < batch.working


def test_a_lattice_key_in_memory_is_as_large_as_its_arrays():
    public = LatticeScheme().generate()._public
    arrays = public.encryption.nbytes + sum(key.nbytes for key in public.switching)
    memory = cipher_costs(CryptoSpec("lattice"), STATED).key.memory
    assert memory == arrays + len(public.packed)


def test_paillier_bodies_are_as_large_as_real_ones_and_its_tables_as_documented():
    holder = PaillierScheme(2048).generate()
    encryptor = holder.encryptor
    X = np.ones((20, 3))
    vector = encryptor.encrypt(np.zeros(20))
    costs = cipher_costs(CryptoSpec("paillier", 2048), STATED)
    batch = costs.batch(20, 3)
    assert batch.vector == vector.nbytes
    assert batch.sums == encryptor.rmatmul(X, vector).nbytes
    assert costs.security_bits == encryptor.info.security_bits
    assert costs.parameters == encryptor.info.parameters
    at_3072 = cipher_costs(CryptoSpec("paillier", 3072), STATED).key.memory
    assert at_3072 == pytest.approx((144 + 46) * 2**20, rel=0.05)  # `DjnBlinding`, both tables


def test_reading_text_takes_about_as_much_memory_as_is_said(tmp_path):
    rows, columns = 4000, 8
    lines = ["id," + ",".join(f"c{k}" for k in range(columns))]
    lines += [f"{i}," + ",".join(["-0.123456"] * columns) for i in range(rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    tracemalloc.start()
    table = read_table(tmp_path / "t.csv", party="p", id="id")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = TEXT_CELL * rows * (columns + 1) + table.values.nbytes
    assert 0.6 < said / peak < 1.6


GROWING = {
    "rows": lambda k: job(600 + 5000 * k),
    "columns": lambda k: job(columns=(3 + 9 * k, 2)),
    "epochs": lambda k: job(epochs=1 + k),
    "parties": lambda k: job(columns=(3, 2) + (2,) * k),
}


@pytest.mark.parametrize("cipher", ["lattice", "paillier", "ckks", "mock"])
@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("link", [HERE, FAR], ids=["one machine", "apart"])
def test_more_of_anything_takes_no_less_time_bytes_or_memory(grow, cipher, link):
    told = [predicted(job_with(grow(k), cipher), link=link) for k in range(5)]
    for few, many in itertools.pairwise(told):
        assert few.total_s < many.total_s and few.bytes < many.bytes
        assert few.training_s <= many.training_s
        assert few.parties[0].memory["peak"] <= many.parties[0].memory["peak"]


def job_with(made: JobSpec, cipher: str) -> JobSpec:
    return msgspec.structs.replace(made, crypto=cipher)


def test_a_slower_link_takes_longer_and_a_party_waits_for_it():
    told = [predicted(job(crypto="lattice"), link=Link(bits, 0.0)) for bits in (1e9, 1e8, 1e7)]
    for fast, slow in itertools.pairwise(told):
        assert fast.total_s < slow.total_s
        assert fast.parties[0].seconds["encrypt"] == slow.parties[0].seconds["encrypt"]
        assert fast.parties[0].seconds["wait"] < slow.parties[0].seconds["wait"]


def test_a_partys_stages_add_up_to_the_whole():
    told = predicted(job(crypto="lattice"))
    for party in told.parties:
        assert sum(party.seconds.values()) == pytest.approx(told.total_s)


def test_a_csv_is_counted_by_its_lines(tmp_path):
    path = tmp_path / "t.csv"
    spec = PartySpec("p", data=str(path), label="y", drop=["b"])
    path.write_text("\ufeffid,a,b, y ,c\r\n1,2,3,4,5\r\n2,2,3,4,5")
    assert count(spec) == Size(2, 2, True)
    path.write_bytes(b"id,a\n" + b"1,2\n" * 700_000)  # more than one chunk
    assert count(PartySpec("p", data=str(path), columns=["a"])) == Size(700_000, 1, True)
    for broken in (b"\xff\xfe\x00", b"", b'"'):
        path.write_bytes(broken)
        assert count(spec) is None or count(spec).rows == 0
    assert count(PartySpec("p", data=str(tmp_path / "none.csv"))) is None


def test_arrow_and_parquet_are_counted_by_their_metadata(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet, feather = (
        importlib.import_module(f"pyarrow.{name}") for name in ("parquet", "feather")
    )
    table = arrow.table({"id": range(30), "a": range(30), "y": range(30)})
    parquet.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, tmp_path / "t.feather")
    for name in ("t.parquet", "t.feather"):
        assert count(PartySpec("p", data=str(tmp_path / name), label="y")) == Size(30, 1, False)
    assert count(PartySpec("p", data=table)) == Size(30, 2, False)


def test_a_table_that_is_not_here_is_assumed_and_said_to_be():
    parties = [PartySpec("a", data="/none.csv", label="y"), PartySpec("b", data="/none.csv")]
    made = check_job(JobSpec(parties=parties, model=LinearRegression(), security="arbiter"))
    shape = shape_of(made, {})
    assert shape.rows == {"a": ROWS, "b": ROWS} and shape.columns == {
        "a": COLUMNS + 1,
        "b": COLUMNS,
    }
    assert any(
        text.startswith("b: a table of 10,000 rows and 20 columns") for text in shape.assumed
    )
    shape = shape_of(made, {"a": Size(500, 3, True)})
    assert shape.rows == {"a": 500, "b": 500} and shape.joint == 500


def test_a_probe_ends_in_time_and_tells_what_it_measured():
    none = probe({"lattice"}, 600, 3, seconds=0.0)
    assert none.probed == {"threads"} and none.lattice == STATED.lattice
    units = probe({"lattice", "paillier"}, 600, 3)
    assert {"lattice", "paillier", "own_point", "message", "read_cell"} <= units.probed
    assert units.ckks == STATED.ckks
    for ours, stated in (
        (units.lattice, STATED.lattice),
        (units.paillier, STATED.paillier.at(2048)),
    ):
        for name in ("block", "kernel", "encrypt", "entry", "decrypt"):
            if hasattr(ours, name):
                assert 0.02 < getattr(ours, name) / getattr(stated, name) < 50


def test_the_loopback_has_a_bandwidth():
    assert loopback(1 << 20).bits > 1e6


def test_a_run_is_expected_without_a_probe_alike_each_time():
    made = job(crypto="lattice")
    assert expected(made) == expected(made)
    assert expected(job_with(made, "auto")).cipher == "lattice"


def test_what_auto_takes_is_what_is_planned():
    for made in (job(crypto="auto"), job(crypto="auto", columns=(0, 1), batch=2, epochs=1)):
        found = plan(made, seconds=0.0)
        assert (found.forecast.cipher, found.chosen_by) == (made.cipher.scheme, "auto")
        assert {found.forecast.cipher, *found.others} == {"lattice", "paillier", "ckks"}
