import json
import subprocess
import sys
import time

import pytest

from vfl.data.table import read_table
from vfl_bench.end_to_end import write_shuffled_copy
from vfl_bench.harness import MIN_ROUNDS, Contender, Work, measure
from vfl_bench.output import as_json, duration
from vfl_bench.suites.psi import intersect


def slow(seconds):
    return lambda: time.sleep(seconds)


def test_a_contender_three_times_as_slow_shows_a_ratio_of_three():
    work = Work("w", "call", (Contender("a", slow(0.01), 1), Contender("b", slow(0.03), 1)))
    ours, theirs = measure(work, 0.3)
    assert ours.ratio_to["b"] == pytest.approx(3.0, rel=0.25)
    assert theirs.ratio_to["a"] == pytest.approx(1 / 3, rel=0.25)
    assert ours.low <= ours.real_time <= ours.high


def test_time_is_told_for_an_item_and_not_for_a_call():
    work = Work("w", "item", (Contender("one", slow(0.02), 1), Contender("ten", slow(0.02), 10)))
    one, ten = measure(work, 0.1)
    assert one.ratio_to["ten"] == pytest.approx(0.1, rel=0.3)
    assert ten.iterations >= MIN_ROUNDS


def test_contenders_take_turns():
    calls = []
    work = Work(
        "w",
        "call",
        (
            Contender("a", lambda: calls.append("a"), 1),
            Contender("b", lambda: calls.append("b"), 1),
        ),
    )
    measure(work, 0.0)
    assert calls == ["a", "b"] * (MIN_ROUNDS + 1)


def test_the_json_is_of_google_benchmarks_shape_with_facts_and_ratios():
    facts = {"key_bits": 3072, "security_bits": 128}
    work = Work("w", "call", (Contender("vfl", int, 1), Contender("peer", int, 1)), facts)
    document = json.loads(as_json(measure(work, 0.0)))
    assert {"cpu", "cpu_level", "libraries", "num_cpus", "date"} <= document["context"].keys()
    first = document["benchmarks"][0]
    assert first["name"] == "w/vfl"
    assert {"real_time", "cpu_time", "time_unit", "iterations"} <= first.keys()
    assert (first["key_bits"], first["security_bits"]) == (3072, 128)
    assert set(first["ratio_to"]) == {"peer"}


def test_durations_have_fitting_units():
    assert [duration(v) for v in (0.5, 1500.0, 2.5e6)] == ["0.5 us", "1.5 ms", "2.5 s"]


def test_the_measured_intersection_is_the_true_one():
    left, right = [b"%d" % i for i in range(50)], [b"%d" % i for i in range(30, 90)]
    assert intersect(left, right, threads=1) == 20


def test_the_copied_tables_must_really_be_aligned(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    for side, header in (("guest", "id,y,x0"), ("host", "id,x0")):
        rows = "\n".join(f"{i}" + ",1" * header.count(",") for i in range(100))
        (source / f"d_hetero_{side}.csv").write_text(f"{header}\n{rows}\n")
    write_shuffled_copy(source, "d", copy, 100)
    guest, host = (
        read_table(copy / f"{side}.csv", party=side, id="id").ids for side in ("guest", "host")
    )
    assert len(guest) == len(host) == 90
    assert set(guest) != set(host)
    assert list(guest) != sorted(guest, key=int)
    joint = set(guest) & set(host)
    assert [i for i in guest if i in joint] != [i for i in host if i in joint]


def test_the_command_line_prints_one_json_object():
    command = [sys.executable, "-m", "vfl_bench", "crypto", "--suite", "paillier"]
    command += ["--bits", "2048", "--peers", "phe", "--seconds", "0.1", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    document = json.loads(done.stdout)
    encrypt = next(b for b in document["benchmarks"] if b["name"].endswith("encrypt/vfl"))
    assert encrypt["key_bits"] == 2048
    assert set(encrypt["ratio_to"]) == {"phe", "phe+gmpy2"}
    assert "paillier/bits=2048/encrypt" in done.stderr


def test_an_unknown_suite_is_named():
    command = [sys.executable, "-m", "vfl_bench", "crypto", "--suite", "pailier"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "pailier" in done.stderr
