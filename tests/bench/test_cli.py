import importlib.util
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from vfl_bench.cli import app


@pytest.fixture
def without(monkeypatch):
    """Call with names of packages that are then not installed."""
    find = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in names else find(name)
        )

    return hide


def crypto(*arguments):
    return CliRunner().invoke(app, ["crypto", "--seconds", "0.1", *arguments])


def test_the_command_line_prints_one_json_object():
    command = [sys.executable, "-m", "vfl_bench", "crypto", "--suite", "paillier"]
    command += ["--bits", "2048", "--peers", "phe", "--batch", "8", "--features", "2"]
    command += ["--threads", "2", "--seconds", "0.1", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    rows = {row["name"]: row for row in json.loads(done.stdout)["benchmarks"]}
    encrypt = rows["paillier/bits=2048/encrypt/threads=2/vfl"]
    assert (encrypt["key_bits"], encrypt["security_bits"], encrypt["threads"]) == (2048, 112, 2)
    assert set(encrypt["ratio_to"]) == {"vfl 1 thread", "phe", "phe+gmpy2"}
    assert rows["paillier/bits=2048/encrypt/threads=2/vfl 1 thread"]["threads"] == 1
    assert rows["paillier/bits=2048/XTd/batch=8/features=2/threads=2/vfl"]["batch"] == 8
    assert all(0 < row["relative_error"] < 1e-7 for row in rows.values())
    assert len(rows) == 8 * 4 + 2  # packing has no peer
    assert "bits=2048/encrypt/threads=2   n: 2048 bit, 112-bit security" in done.stderr


def test_peers_that_are_not_installed_are_left_out_with_a_line(without, monkeypatch):
    without("phe", "tenseal", "cryptography")
    monkeypatch.setattr("vfl_bench.suites.ntt.works", lambda _: iter(()))
    done = crypto("--suite", "ntt", "--heu-python", "/nowhere/python")
    assert done.exit_code == 0
    assert done.output.splitlines()[:4] == [
        "peer phe is not installed: left out",
        "peer tenseal is not installed: left out",
        (
            "peer heu left out: cannot start /nowhere/python: No such file or directory; "
            "--heu-python names an interpreter with sf-heu"
        ),
        "peer cryptography is not installed: left out",
    ]


def test_a_peer_that_nobody_asked_for_is_not_looked_for(without, monkeypatch):
    without("tenseal")
    monkeypatch.setattr("vfl_bench.suites.ntt.works", lambda _: iter(()))
    assert "peer" not in crypto("--suite", "ntt", "--peers", "phe").output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--suite", "pailier"), "pailier"),
        (("--peers", "phe,seal"), "seal"),
        (("--threads", "0"), "--threads"),
        (("--bits", "many"), "--bits"),
    ],
)
def test_what_is_not_known_is_named(arguments, named):
    done = crypto(*arguments)
    assert done.exit_code == 2
    assert named in done.output


def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    done = crypto("--plot", str(tmp_path / "g.pdf"), "--heu-python", "/nowhere/python")
    assert done.exit_code == 1
    assert "--plot writes .png or .svg" in str(done.exception)
    assert "left out" not in done.output
