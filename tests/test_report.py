"""The HTML report: every number of the run, nothing of the people, nothing from elsewhere."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from vfl import wording
from vfl.api import Run, run_job
from vfl.errors import CheckpointError, MissingExtraError
from vfl.report import ledger_by_kind, write_report
from vfl.spec import LogisticRegression


@pytest.fixture
def run(small_job, tmp_path):
    made = small_job(passives=2, model=LogisticRegression(epochs=3), active_features=3)
    return run_job(made.job, folder=tmp_path / "run")


@pytest.fixture
def page(run, tmp_path):
    return write_report(run, tmp_path / "deep" / "report.html").read_text()


def test_it_shows_the_numbers_of_the_run(run, page):
    for row in wording.metric_rows(run.metrics):
        assert f"{row.joint:.4f}" in page
    assert f"{run.metrics['auc_active_alone']:.4f}" in page
    for party in ("bank", "p0", "p1"):
        for stage in wording.STAGES:
            assert f"{run.timings[party][stage]:.2f}" in page
    for border in run.ledger.borders:
        assert f"{border.sender} → {border.receiver}" in page
        assert wording.size(border.bytes) in page
    for reason, count in run.ledger.disclosures.items():
        assert f"{count:,}" in page and reason.replace("'", "&#39;") in page
    assert "mock cipher: protects nothing" in page and "arbiter holds the only secret key" in page


def test_the_bytes_of_keys_are_told_apart(run, page):
    ledger = run.ledger
    assert wording.traffic(ledger) in page
    assert f"{wording.size(ledger.keys)} of public keys" in page
    keys = [kind for kind in ledger_by_kind(run.folder) if kind.kind in ("train.key", "sum.key")]
    assert ledger.keys == sum(kind.bytes for kind in keys)


def test_the_ledger_by_kind_adds_up_to_the_borders(run):
    kinds = ledger_by_kind(run.folder)
    assert sum(kind.bytes for kind in kinds) == sum(border.bytes for border in run.ledger.borders)
    assert {"align.ids", "train.gradient", "score.masked"} <= {kind.kind for kind in kinds}


def test_it_is_one_file_that_loads_nothing(page):
    named_only = re.findall(r'https?://[^"\s]+', page)
    assert all(link.startswith("http://www.w3.org/") for link in named_only)  # XML namespaces
    assert not re.search(r"<(script|link|img|iframe)|@import|url\((?!#)", page)


def test_the_plots_are_well_formed_and_take_the_colours_of_the_page(page):
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(plots) == 4
    for plot in plots:
        ET.fromstring(plot)
        assert "var(--" in plot and "#0101" not in plot and "#0505" not in plot
        assert "#0606" not in plot


def test_it_holds_no_weight_and_no_id(run, page):
    for path in run.folder.glob("*/model.json"):
        for weight in msgspec.json.decode(path.read_bytes())["weights"]:
            assert f"{abs(weight[0]):.9f}"[2:] not in page
    assert not re.search(r"person-\d", page)


def test_what_comes_from_outside_is_escaped(run, tmp_path):
    attack = "<script>alert(1)</script>"
    result = msgspec.structs.replace(run.result, notes=[attack], name=attack)
    page = write_report(Run(run.folder, run.job, result), tmp_path / "r.html").read_text()
    assert attack not in page and page.count("&lt;script&gt;") == 3  # title, heading, note


def test_an_undeclared_message_is_not_overlooked(run, tmp_path):
    ledger = msgspec.structs.replace(run.ledger, undeclared=["x.y (public) from a to b"])
    result = msgspec.structs.replace(run.result, ledger=ledger)
    page = write_report(Run(run.folder, run.job, result), tmp_path / "r.html").read_text()
    assert re.search(r'class="status bad">\s*x\.y \(public\) from a to b', page)


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    run, tmp_path, monkeypatch, library
):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library}: pip install 'vfl\[report\]'"):
        write_report(run, tmp_path / "r.html")


def test_a_place_that_cannot_be_written_is_named(run, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CheckpointError, match="cannot write the report"):
        write_report(run, Path(blocked) / "r.html")
