import json

import numpy as np
import pytest
from typer.testing import CliRunner

from vfl.data.table import read_table
from vfl_bench import end_to_end, rounds
from vfl_bench.cli import app
from vfl_bench.end_to_end import credit, large
from vfl_bench.rounds import Problem, descent, on_shares
from vfl_bench.tables import generated, published


def test_generated_tables_have_as_many_people_in_both_as_asked_for(tmp_path):
    found = generated(tmp_path, 1000, 3, 7)
    guest, host = (
        read_table(str(path), party="p", id="id", label=label)
        for path, label in ((found.guest, "y"), (found.host, None))
    )
    assert (guest.values.shape[1], host.values.shape[1]) == found.features == (3, 7)
    assert len(set(guest.ids) & set(host.ids)) == 1000


def test_published_tables_are_known_by_their_headers(tmp_path):
    (tmp_path / "d_hetero_guest.csv").write_text("id,y,a,b\n1,0,2,3\n")
    (tmp_path / "d_hetero_host.csv").write_text("id,a\n1,2\n")
    assert published(tmp_path, "d").features == (2, 1)


def test_each_job_has_a_row_a_cipher_and_what_was_scaled_says_so(tmp_path):
    tables = generated(tmp_path / "tables", 400, 3, 12)
    ciphers = ["mock", "paillier-2048"]
    budget, converged = credit(tables, ciphers, "inprocess", tmp_path)
    assert [row.peer for row in budget + converged] == ciphers * 2
    ours, paillier = budget
    assert ours.facts["rounds"] == paillier.facts["rounds"] == 6  # half of 12 columns
    assert converged[0].facts["rounds"] > 6 and converged[0].facts["converged"]
    assert ours.facts["metrics"]["auc"] > 0.7
    assert paillier.facts["note"] == "seconds: 1 of 6 rounds measured, scaled to all"
    assert (paillier.facts["key_bits"], paillier.facts["security_bits"]) == (2048, 112)
    whole = paillier.facts["setup_s"] + 6 * paillier.facts["round_s"]
    assert paillier.facts["training_s"] == pytest.approx(whole)
    assert ours.ratio_to["paillier-2048"] == pytest.approx(
        paillier.facts["training_s"] / ours.facts["training_s"]
    )
    for row in budget + converged:
        size = row.facts["training_bytes"]
        assert size == sum(row.facts["bytes"].values())
        ratio = row.ratio_to["paillier-2048 unpacked bytes"]
        assert ratio == pytest.approx(row.facts["unpacked_bytes"] / size)
        assert min(row.facts["peak_bytes"].values()) > 20e6 and row.facts["undeclared"] == 0


def test_a_part_of_the_rows_is_scaled_to_all(tmp_path):
    whole, part = (generated(tmp_path / str(n), n, 2, 6) for n in (400, 100))
    ours, paillier = large(whole, part, ["mock", "paillier-2048"], "inprocess", tmp_path)
    assert (ours.facts["rows"], paillier.facts["rows"], ours.facts["rounds"]) == (400, 400, 1)
    assert paillier.facts["note"] == "seconds: 100 of 400 rows measured, scaled to all"
    assert paillier.facts["unpacked_bytes"] > 2 * 390 * 512  # a ciphertext a row, twice


def test_one_command_prints_a_table_and_rows_for_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(end_to_end, "CREDIT", (300, 2, 8))
    path = tmp_path / "rows.json"
    done = CliRunner().invoke(
        app,
        ["end-to-end", "--suite=credit", "--crypto=lattice", "--inprocess", f"--json={path}"],
    )
    assert done.exit_code == 0, done.output
    assert "generated, budget: 240 rows, 2 + 8 columns, one process" in done.output
    assert "lattice, N = 8192, log2 QP = 196, 128-bit security" in done.output
    names = [row["name"] for row in json.loads(path.read_text())["benchmarks"]]
    assert names == [f"end-to-end/generated/{goal}/lattice" for goal in ("budget", "converged")]


def separable_by_rounds(n=2000, f=6):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, f)) @ np.diag(np.geomspace(0.5, 1, f))
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-X @ np.ones(f))), 1.0, -1.0)
    return Problem(X, y, 2)


def test_both_ways_come_to_the_least_loss():
    problem = separable_by_rounds()
    least = problem.least()
    assert problem.loss(np.zeros(6), 0.0) > least + 0.1
    close, closer = (on_shares(problem, least + gap) for gap in (1e-2, 1e-8))
    assert 1 < close < closer < 60
    assert descent(problem, least + 1e-3, 1.0) > descent(problem, least + 1e-2, 1.0) > 1
    assert descent(problem, least - 1e-6, 1.0) is None


def test_the_rows_of_the_gap_carry_what_they_were_multiplied_from(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "CREDIT", (1500, 2, 4))
    ours, theirs = rounds.rows(None, "", tmp_path)
    for row in (ours, theirs):
        facts = row.facts
        size = facts["rounds"] * facts["round_bytes"] + facts["key_bytes"]
        assert facts["training_bytes"] == pytest.approx(size)
        assert row.real_time == pytest.approx(facts["rounds"] * facts["round_s"] * 1e6)
    assert (
        ours.ratio_to["SGD 1024, arbiter rounds"] == theirs.facts["rounds"] / ours.facts["rounds"]
    )
    assert "rounds" in rounds.sentence(ours)
