import json

import pytest
from typer.testing import CliRunner

from vfl.errors import JobError
from vfl_bench.cli import app
from vfl_bench.compare import read_results

MACHINE = {"cpu": "A", "num_cpus": 2, "libraries": {"numpy": "2.4", "phe": "1.5"}}


def write(path, rows, context=MACHINE, unit="us"):
    """rows: name -> (peer, time)."""
    path.write_text(
        json.dumps(
            {
                "context": context,
                "benchmarks": [
                    {"name": name, "peer": peer, "real_time": time, "time_unit": unit}
                    for name, (peer, time) in rows.items()
                ],
            }
        )
    )
    return str(path)


def compare(before, after, *options):
    return CliRunner().invoke(app, ["compare", before, after, *options])


BEFORE = {"s/add/vfl": ("vfl", 100.0), "s/add/phe": ("phe", 300.0), "s/old/vfl": ("vfl", 1.0)}
AFTER = {"s/add/vfl": ("vfl", 115.0), "s/add/phe": ("phe", 270.0), "s/new/vfl": ("vfl", 1.0)}


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "a.json", BEFORE), write(tmp_path / "b.json", AFTER)


@pytest.mark.parametrize(("limit", "code"), [("10%", 1), ("14.9", 1), ("15.1%", 0), ("20%", 0)])
def test_a_row_that_is_slower_by_more_than_the_limit_fails_the_comparison(files, limit, code):
    assert compare(*files, "--fail-above", limit).exit_code == code


def test_every_change_is_printed_and_the_slow_row_is_named(files):
    lines = compare(*files).output.splitlines()
    ours = next(line for line in lines if line.startswith("s/add/vfl"))
    theirs = next(line for line in lines if line.startswith("s/add/phe"))
    assert ours.split()[1:] == ["100", "us", "115", "us", "+15.0%", "slower"]
    assert theirs.split()[1:] == ["300", "us", "270", "us", "-10.0%"]
    assert "median change of phe: -10.0%" in lines
    assert lines[-1] == "1 of 2 rows slower by more than 10 %"


def test_rows_of_one_file_alone_are_listed_and_not_judged(files):
    lines = compare(*files, "--fail-above", "20%").output.splitlines()
    assert "only in before: s/old/vfl" in lines
    assert "only in after: s/new/vfl" in lines


def test_another_machine_or_library_is_a_warning(tmp_path):
    before = write(tmp_path / "a.json", BEFORE)
    other = {"cpu": "B", "num_cpus": 2, "libraries": {"numpy": "2.5"}}
    after = write(tmp_path / "b.json", BEFORE, other)
    done = compare(before, after)
    warnings = [line for line in done.output.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: not the same machine: cpu A became B",
        "warning: not the same machine: numpy 2.4 became 2.5",
        "warning: not the same machine: phe 1.5 became missing",
    ]
    assert done.exit_code == 0
    assert "warning" not in compare(before, before).output


def test_units_are_brought_together(tmp_path):
    before = write(tmp_path / "a.json", {"r": ("vfl", 2.0)}, unit="ms")
    after = write(tmp_path / "b.json", {"r": ("vfl", 2_100_000.0)}, unit="ns")
    assert "+5.0%" in compare(before, after).output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read"),
        ("no json", "is not a file that vfl-bench --json wrote"),
        ('{"benchmarks": [{"name": "r"}]}', "missing required field `real_time`"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(JobError, match=reason) as caught:
        read_results(path)
    assert "x.json" in str(caught.value)


def test_files_without_a_common_row_cannot_be_compared(tmp_path, files):
    done = compare(files[0], write(tmp_path / "c.json", {"else": ("vfl", 1.0)}))
    assert isinstance(done.exception, JobError)
    assert "no row in common" in str(done.exception)


def test_a_limit_that_is_no_percentage_is_refused(files):
    done = compare(*files, "--fail-above", "much")
    assert done.exit_code == 2
    assert "--fail-above" in done.output
