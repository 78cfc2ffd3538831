import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from vfl_bench.harness import Contender, Row, Work, measure
from vfl_bench.output import aligned, as_json, duration, number, print_table

FACTS = {"parameters": "n: 3072 bit", "security_bits": 128, "threads": 1}
OURS = Row(
    "s/encrypt", "vfl", "value", 20.0, 19.0, 21.0, 20.0, 9,
    {**FACTS, "relative_error": 4e-10}, {"peer": 5.0, "other": 2.0}, {"ns_per_step": 1.25},
)  # fmt: skip
PEER = Row(
    "s/encrypt", "peer", "value", 100.0, 90.0, 110.0, 100.0, 9,
    {**FACTS, "note": "not masked"}, {"vfl": 0.2, "other": 0.4},
)  # fmt: skip
OTHER = Row(
    "s/encrypt", "other", "value", 40.0, 40.0, 40.0, 40.0, 9,
    {**FACTS, "parameters": "N = 8192", "note": "not masked"}, {"vfl": 0.5, "peer": 2.5},
)  # fmt: skip


def printed(rows):
    out = io.StringIO()
    print_table(rows, Console(file=out, width=40), "s")
    return out.getvalue().splitlines()


def test_the_json_is_of_google_benchmarks_shape_with_facts_and_ratios():
    facts = {"key_bits": 3072, "security_bits": 128}
    ours = Contender(
        "vfl", int, 1, {"threads": 1}, error=lambda: 0.25, figures=lambda us: {"double": 2 * us}
    )
    work = Work("w", "call", (ours, Contender("peer", int, 1)), facts)
    document = json.loads(as_json(measure(work, 0.0)))
    assert {"cpu", "cpu_level", "libraries", "num_cpus", "date"} <= document["context"].keys()
    first = document["benchmarks"][0]
    assert first["name"] == "w/vfl"
    assert {"real_time", "cpu_time", "time_unit", "iterations"} <= first.keys()
    assert (first["key_bits"], first["security_bits"], first["threads"]) == (3072, 128, 1)
    assert (first["relative_error"], first["double"]) == (0.25, 2 * first["real_time"])
    assert set(first["ratio_to"]) == {"peer"}


def test_a_work_is_a_heading_with_a_line_a_contender_whatever_the_width():
    lines = printed([OURS, PEER, OTHER])
    at = lines.index("encrypt   n: 3072 bit, 128-bit security")
    ours, peer = lines[at + 1].split(), lines[at + 2].split()
    assert ours == ["vfl", "1", "20", "us", "5%", "50,000", "4.0e-10", "1.25",
                    "peer", "5x,", "other", "2x"]  # fmt: skip
    assert peer == ["peer", "1", "100", "us", "10%", "10,000", "vfl", "0.2x"]
    heading = next(line for line in lines if "per item" in line)
    assert heading.index("others / this") == lines[at + 2].index("vfl 0.2x")
    assert heading.index("ns per step") + len("ns per step") == lines[at + 1].index("1.25") + 4


def test_what_all_should_know_is_said_once_below_the_table():
    lines = printed([OURS, PEER, OTHER])
    assert lines[-4:-1] == ["", "peer, other: not masked", "other: N = 8192, 128-bit security"]


def test_a_host_that_took_processor_time_is_named():
    quiet = replace(OURS, ratio_to={}, facts={**FACTS, "stolen_processors": 0.01})
    assert not any("the host" in line for line in printed([quiet]))
    robbed = replace(quiet, name="s/decrypt", facts={**FACTS, "stolen_processors": 0.3})
    assert any("kept up to 0.30 processors" in line for line in printed([quiet, robbed]))


def test_columns_without_a_cell_take_no_room():
    assert list(aligned([["a", "", "b"], "text", ["cc", "", "d"]])) == ["a   b", "text", "cc  d"]


@pytest.mark.parametrize(
    ("us", "text"),
    [(0.0123, "12.3 ns"), (0.5, "500 ns"), (1500.0, "1.5 ms"), (2.5e6, "2.5 s")],
)
def test_durations_have_fitting_units(us, text):
    assert duration(us) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05678, "0.0568"), (8.0567, "8.06"), (123.4, "123"), (45678.0, "45,700")],
)
def test_numbers_have_three_digits_and_no_powers_of_ten(value, text):
    assert number(value) == text
