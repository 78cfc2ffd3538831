"""Timelines: spans that are joined and bounded, rounds that add up, stretches worth drawing."""

import itertools
import re

import msgspec
import pytest

from vfl import lanes
from vfl.api import run_job, timelines
from vfl.report import write_report
from vfl.spec import LogisticRegression, ScheduleSpec
from vfl.timeline import JOIN_S, LIMIT, Attendance, Recorder, Round, Span, Timeline
from vfl.transport import inprocess
from vfl.transport.virtual import VirtualNetwork, launch
from vfl_scheduler import LinkModel, UnitCosts, connector

STEPS = 12


@pytest.fixture
def in_virtual_time(monkeypatch):
    """in_virtual_time(job, folder): the run, with p1 nine times slower than the others."""
    costs = UnitCosts({"read": 0.5, "align": 0.2, "encrypt": 0.1, "compute": 0.05}, {"p1": 9.0})

    def run(job, folder):
        names = [party.name for party in job.parties]
        links = connector(LinkModel(50e6, 0.005), seed=5, hub="bank")
        network = VirtualNetwork(names, links, compute=costs)
        monkeypatch.setattr(
            inprocess, "launch", lambda *parts: launch(*parts, network=network).results
        )
        return run_job(job, folder=folder), network.log

    return run


@pytest.fixture
def slow_job(small_job):
    def build(schedule, *, epochs=STEPS):
        model = LogisticRegression(epochs=epochs, tolerance=0.0)
        return small_job(passives=3, model=model, schedule=schedule).job

    return build


def seconds(spans, what, name=None):
    return sum(s.end_s - s.begin_s for s in spans if s.what == what and name in (None, *s.of))


def test_close_spans_of_one_kind_are_joined_and_others_are_not():
    recorder = Recorder()
    recorder.offset_s = 1000.0
    for begin, end, of in [(0, 1, "a"), (1 + JOIN_S / 2, 2, "a"), (2, 3, "b"), (4, 5, "b")]:
        recorder.span("wait", begin, end, [of])
    recorder.span("compute", 0.5, 2.5, ["encrypt"])
    assert recorder.timeline().spans == [
        Span("wait", 1000.0, 1002.0, ("a",)), Span("compute", 1000.5, 1002.5, ("encrypt",)),
        Span("wait", 1002.0, 1003.0, ("b",)), Span("wait", 1004.0, 1005.0, ("b",)),
    ]  # fmt: skip


def test_the_newest_are_kept_and_the_sums_are_of_all():
    recorder = Recorder()
    for k in range(LIMIT + 500):
        recorder.span("wait", k, k + 0.5, ["a", "b"])
        arrived = {"a": k + 0.25}
        recorder.round((k, 0), (k, k + 0.5, k + 1), arrived, {"b": k % 7}, ["c"])
    kept = recorder.timeline()
    assert len(kept.spans) == len(kept.rounds) == LIMIT
    assert kept.spans[-1].begin_s == kept.rounds[-1].started_s == LIMIT + 499
    rounds = LIMIT + 500
    assert kept.waited == {"a": rounds / 4, "b": rounds / 4}
    assert kept.attendance == {
        "a": Attendance(fresh=rounds), "b": Attendance(filled=rounds, oldest=6),
        "c": Attendance(missed=rounds),
    }  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Timeline) == kept


def test_timelines_say_what_the_virtual_clock_saw(in_virtual_time, slow_job, tmp_path):
    run, log = in_virtual_time(slow_job(ScheduleSpec()), tmp_path / "run")
    kept = timelines(run.folder)
    assert list(kept) == ["bank", "p0", "p1", "p2", "arbiter"]
    for name in kept:
        computed = seconds(kept[name].spans, "compute")
        stages = run.timings[name]
        assert computed == pytest.approx(sum(s for k, s in stages.items() if k != "wait"), abs=1e-3)
        assert max(one.end_s for one in kept[name].spans) <= max(entry.at_s for entry in log) + 1e-5
    came = {e.at_s for e in log if (e.what, e.party, e.other) == ("received", "bank", "p1")}
    rounds = kept["bank"].rounds
    assert [(one.number, one.batch) for one in rounds] == [(k, 0) for k in range(STEPS)]
    for one, following in itertools.pairwise(rounds):
        assert one.started_s <= one.decided_s <= one.ended_s == following.started_s
        assert one.decided_s == pytest.approx(one.arrived["p1"]), "the last to come is the slow one"
        assert min(abs(at - one.arrived["p1"]) for at in came) < 1e-5
    assert run.result.rounds == dict.fromkeys(("p0", "p1", "p2"), Attendance(fresh=STEPS))


def test_a_tolerant_run_tells_which_rounds_went_on_without_whom(
    in_virtual_time, slow_job, tmp_path
):
    run, _ = in_virtual_time(slow_job(ScheduleSpec(policy="adaptive")), tmp_path / "run")
    own, told = timelines(run.folder)["bank"], run.result.rounds
    for name in ("p0", "p1", "p2"):
        ages = [one.filled[name] for one in own.rounds if name in one.filled]
        assert told[name] == Attendance(
            fresh=sum(name in one.arrived for one in own.rounds), filled=len(ages),
            missed=sum(name in one.missing for one in own.rounds), oldest=max(ages, default=0),
        )  # fmt: skip
        assert told[name].rounds == STEPS
    assert told["p1"].filled > max(told["p0"].filled, told["p2"].filled)
    assert 1 <= told["p1"].oldest <= 3
    waited = own.waited
    assert waited["p1"] > 3 * waited["p0"]
    roles = {"bank": "active", "p0": "passive", "p1": "passive", "p2": "passive"}
    shares = lanes.shares(timelines(run.folder), roles)
    assert [(one.party, one.waited_s) for one in shares] == [
        ("bank", None), *((name, waited[name]) for name in ("p0", "p1", "p2"))
    ]  # fmt: skip
    page = write_report(run, tmp_path / "report.html").read_text()
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert any("var(--filled)" in plot and "var(--held)" in plot for plot in plots)
    assert f"{100 * told['p1'].fresh / STEPS:.1f} %" in page and f"all {STEPS} rounds" in page


def test_of_a_long_run_the_slowest_and_a_usual_stretch_are_drawn():
    took = [5.0 if 200 <= k < 205 else 1.0 + (k // 10) / 100 for k in range(400)]
    began = [sum(took[:k]) for k in range(401)]
    rounds = [Round(k, 0, began[k], began[k], began[k + 1], {}, {}, []) for k in range(400)]
    shown = lanes.stretches({"bank": Timeline(rounds=rounds)}, "bank")
    assert [stretch.title for stretch in shown] == [
        "the slowest 10 of 400 rounds: 31.0 s", "a usual stretch of 10 of 400 rounds: 12.1 s"
    ]  # fmt: skip
    assert shown[0].rounds[0][0] == pytest.approx(began[200])
    few = Timeline(rounds=rounds[:5])
    assert [stretch.title for stretch in lanes.stretches({"bank": few}, "bank")] == ["all 5 rounds"]


def test_what_a_long_run_no_longer_holds_is_not_drawn():
    spans = [Span("wait", 100.0 + k, 100.5 + k, ("bank",)) for k in range(LIMIT)]
    rounds = [Round(k, 0, 90.0 + k, 90.0 + k, 91.0 + k, {}, {}, []) for k in range(25)]
    kept = {"bank": Timeline(rounds=rounds), "p0": Timeline(spans=spans)}
    (stretch,) = lanes.stretches(kept, "bank")
    assert (stretch.title, stretch.rounds[0]) == ("the last 15 rounds", (100.0, 101.0))
    assert lanes.stretches({"bank": Timeline()}, "bank") == []
