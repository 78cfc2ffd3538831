"""Parties that are lost while they train, in virtual time: what each `on_lost` makes of it."""

import asyncio
import csv
import json

import msgspec
import numpy as np
import pytest

from vfl import api
from vfl.data.preprocess import Preprocessor
from vfl.errors import DeadlineError, JobError
from vfl.spec import LogisticRegression, ScheduleSpec
from vfl.timeline import Attendance
from vfl.transport import inprocess
from vfl.transport.virtual import Crash, VirtualNetwork, launch
from vfl_scheduler import LinkModel, UnitCosts, connector

COSTS = {"read": 0.5, "align": 0.2, "encrypt": 0.1, "compute": 0.05}
EPOCHS, DEADLINE_S, DEATH_S = 10, 30.0, 8.0  # p1 has then sent some contributions
NAMES = ("p0", "p1", "p2")


@pytest.fixture
def train(small_job, tmp_path, monkeypatch):
    """train(schedule, ...): the run and its events, after what befalls p1 in virtual time."""

    def run(schedule, *, crashes=(), outages=(), costs=None, epochs=EPOCHS):
        model = LogisticRegression(epochs=epochs, tolerance=0.0)
        small = small_job(passives=3, model=model, schedule=schedule)
        normal = connector(LinkModel(50e6, 0.005), seed=5, hub="bank")
        cut = connector(LinkModel(50e6, 0.005, outages=outages), seed=5, hub="bank")
        network = VirtualNetwork(
            [party.name for party in small.job.parties],
            lambda a, b: (cut if "p1" in (a, b) else normal)(a, b),
            compute=costs or UnitCosts(COSTS, {}), crashes=crashes,
        )  # fmt: skip
        events = []
        with monkeypatch.context() as patch:
            patch.setattr(
                inprocess, "launch", lambda *parts: launch(*parts, network=network).results
            )
            folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
            return api.run_job(small.job, folder=folder, on_event=events.append), events, small

    return run


def of(on_lost, **options):
    return ScheduleSpec(deadline_s=DEADLINE_S, on_lost=on_lost, **options)


def slow_from(begin_s, end_s, times):
    """A compute model under which p1 is slow for a while."""

    def costs(party, stage, work, measured):
        late = party == "p1" and begin_s <= asyncio.get_running_loop().time() < end_s
        return COSTS[stage] * (times if late else 1)

    return costs


def notes(events):
    return [event.text for event in events if event.kind == "note"]


def weights(run):
    return {
        name: json.loads((run.folder / name / "model.json").read_text())["weights"]
        for name in ("bank", *NAMES)
    }


def test_under_abort_the_job_ends_with_the_name_of_who_never_came_back(train):
    with pytest.raises(DeadlineError) as caught:
        train(of("abort"), crashes=[Crash("p1", DEATH_S)])
    assert "'train.scores' from p1" in str(caught.value)
    assert "p0" not in str(caught.value) and "p2" not in str(caught.value)


def test_under_wait_a_party_out_of_reach_is_waited_for_as_long_as_it_takes(train):
    away = (DEATH_S, DEATH_S + 4.5 * DEADLINE_S)
    run, events, _ = train(of("wait"), outages=(away,))
    waited = [event.text for event in events if event.kind == "waiting" and "p1" in event.text]
    assert len(waited) > 4 * DEADLINE_S / 10 - 2  # every ten seconds
    undisturbed, _, _ = train(of("wait"))
    for name, found in weights(run).items():
        np.testing.assert_allclose(found, weights(undisturbed)[name], atol=1e-12)
    assert run.result.lost == [] and run.ledger.clean
    with pytest.raises(DeadlineError, match="p1"):
        train(of("abort"), outages=(away,))


@pytest.mark.parametrize("policy", ["all_arrived", "adaptive"])
@pytest.mark.parametrize("on_lost", ["surrogate", "drop"])
def test_the_others_go_on_and_everybody_knows_who_is_missing(train, on_lost, policy):
    epochs = EPOCHS if policy == "all_arrived" else 2 * EPOCHS  # its last is too old in the end
    run, events, _ = train(
        of(on_lost, policy=policy), crashes=[Crash("p1", DEATH_S)], epochs=epochs
    )
    result = run.result
    assert (result.epochs, result.lost) == (epochs, ["p1"])
    assert any("p1 did not answer within the deadline" in text for text in notes(events))
    assert any(text.startswith("p1 was lost") for text in result.notes)
    told = result.rounds
    assert all(told[name].rounds == epochs for name in NAMES)
    if policy == "all_arrived":
        came = told["p1"].fresh
        assert 0 < came < EPOCHS
        assert told["p0"] == told["p2"] == Attendance(fresh=EPOCHS)
        after = {"filled": EPOCHS - came, "oldest": EPOCHS - came}
        after = after if on_lost == "surrogate" else {"missed": EPOCHS - came}
        assert told["p1"] == Attendance(came, **after)
    assert api.open_run(run.folder).result == result
    assert run.ledger.clean and api.audit_folder(run.folder).clean
    page = run.report(run.folder / "report.html").read_text()
    assert "p1 was lost" in page


def test_predictions_are_those_of_the_models_that_are_left(train):
    run, _, small = train(of("drop"), crashes=[Crash("p1", DEATH_S)])
    data = {name: str(small.folder / f"{name}.csv") for name in ("bank", "p0", "p2")}
    with pytest.raises(JobError, match="p1 was lost"):
        run.predict(data | {"p1": str(small.folder / "p1.csv")})
    said = []
    with run.predict(data, on_event=said.append).open() as file:
        found = {line["id"]: float(line["prediction"]) for line in csv.DictReader(file)}
    assert any(text.startswith("p1 was lost") for text in notes(said))

    scores: dict[str, float] = {}
    for name in data:
        model = json.loads((run.folder / name / "model.json").read_text())
        X = Preprocessor.from_dict(model["preprocessor"]).transform(small.tables.columns[name])
        z = X @ np.array(model["weights"])[:, 0] + model["intercept"][0]
        for person, score in zip(small.tables.ids[name], z, strict=True):
            scores[person] = scores.get(person, 0.0) + score
    assert found.keys() == set.intersection(*(set(small.tables.ids[name]) for name in data))
    for person, probability in found.items():
        assert probability == pytest.approx(1 / (1 + np.exp(-scores[person])), abs=1e-3)


@pytest.mark.parametrize("on_lost", ["surrogate", "drop"])
def test_a_party_that_is_given_up_but_lives_leaves_without_ending_the_job(train, on_lost):
    run, events, _ = train(of(on_lost), costs=slow_from(DEATH_S, float("inf"), 1000))
    assert (run.result.epochs, run.result.lost) == (EPOCHS, ["p1"])
    assert any("It leaves the job to the others" in text for text in notes(events))
    assert any(note.startswith("p1: p1 cannot reach") for note in run.result.notes)


def test_a_party_that_comes_after_its_deadline_is_no_longer_lost(train):
    costs = slow_from(DEATH_S, DEATH_S + 1, 700)  # its next step takes 35 or 70 s
    run, events, _ = train(of("surrogate"), costs=costs, epochs=80)
    assert any("p1 did not answer" in text for text in notes(events))
    told = run.result.rounds["p1"]
    assert run.result.lost == [] and told.filled > 0 and told.fresh > 10


def test_the_active_party_trains_on_alone_when_all_others_are_lost(train):
    crashes = [Crash(name, DEATH_S) for name in NAMES]
    run, _, _ = train(of("drop"), crashes=crashes)
    assert (run.result.epochs, run.result.lost) == (EPOCHS, list(NAMES))
    assert run.metrics["auc"] > 0.5


def test_under_surrogate_without_anything_to_stand_in_the_job_ends_with_the_name(train):
    with pytest.raises(DeadlineError):
        train(of("surrogate"), crashes=[Crash("p1", 0.0)])


def test_a_result_without_rounds_reads_as_before(train):
    run, _, _ = train(of("abort"), epochs=1)
    old = msgspec.to_builtins(run.result)
    for added in ("rounds", "lost", "restarts"):
        del old[added]
    assert msgspec.convert(old, type(run.result)).lost == []
