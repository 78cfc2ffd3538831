"""Whole jobs on Ray: the same outcome as in one process, and what a death leaves to go on from."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import msgspec
import numpy as np
import pytest

from vfl import api
from vfl.checkpoint import Checkpoints
from vfl.errors import DataError, JobError, PartyLostError, SecurityError
from vfl.program import Assignment, take_part
from vfl.spec import ScheduleSpec, check_job

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True)
def _on_the_cluster(ray_cluster):
    """Jobs here join the session's cluster, whose nodes cannot import this file."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def model_of(folder, party):
    return json.loads((folder / party / "model.json").read_text())


SHARED = {"security": "shared", "accept_score_leak": True, "crypto": "lattice"}


@pytest.mark.parametrize(
    ("options", "same"),
    [({"crypto": "paillier"}, 1e-9), ({"crypto": "auto"}, 1e-9), (SHARED, 1e-5)],
    ids=["paillier", "auto", "shared"],
)  # shares are rounded by chance, one unit of 2^-24 a step
def test_a_job_on_ray_ends_like_the_same_job_in_one_process(
    ray_job, tmp_path, monkeypatch, options, same
):
    job = ray_job({"p1": {"silo": "b"}}, passives=2, **options).job
    seen = {}
    follow = api._summary
    monkeypatch.setattr(
        api, "_summary", lambda *a, **k: seen.update(results=a[2]) or follow(*a, **k)
    )
    on_ray = api.run_job(job, folder=tmp_path / "ray")
    results = seen["results"]
    alone = api.run_job(
        msgspec.structs.replace(job, transport="inprocess"), folder=tmp_path / "alone"
    )

    assert on_ray.result.cipher.startswith(job.cipher.scheme)
    assert on_ray.metrics == pytest.approx(alone.metrics, abs=10 * same)
    for party in ("bank", "p0", "p1"):
        ours, theirs = model_of(on_ray.folder, party), model_of(alone.folder, party)
        np.testing.assert_allclose(ours["weights"], theirs["weights"], atol=same)
    # Both ends of every border recorded the same digests, nothing undeclared crossed.
    assert on_ray.ledger.clean
    sizes = {(b.sender, b.receiver): b.messages for b in alone.ledger.borders}
    assert {(b.sender, b.receiver): b.messages for b in on_ray.ledger.borders} == sizes
    # What reached the driver names no weight of anybody.
    told = msgspec.json.encode(results).decode()
    for party in ("bank", "p0", "p1"):
        for (weight,) in model_of(on_ray.folder, party)["weights"]:
            assert repr(weight)[:10] not in told


def test_the_mock_cipher_is_refused_by_the_job_and_again_inside_the_actors(ray_job, tmp_path):
    from vfl.transport import ray

    job = ray_job().job
    mock = msgspec.structs.replace(job, crypto="mock")
    with pytest.raises(JobError, match="mock protects nothing"):
        check_job(mock)
    parts = {p.name: Assignment(mock, p.name, tmp_path / p.name, "session") for p in mock.parties}
    with pytest.raises(SecurityError, match="may not leave one process"):
        ray.launch(take_part, parts, lambda _: None, {}, arbiter=mock.roster.arbiter)


def test_a_bad_table_is_told_as_its_party_told_it(ray_job, tmp_path):
    small = ray_job()
    path = small.folder / "p0.csv"
    path.unlink()
    seen = []
    with pytest.raises(DataError, match="p0") as caught:
        api.run_job(small.job, folder=tmp_path / "run", on_event=seen.append)
    assert str(path) in str(caught.value)
    assert not any("starts again" in event.text for event in seen)


async def _p0_dies_in_epoch_3(assignment, transport, on_event):
    """`take_part`, but p0 is killed just after its third checkpoint, in the first attempt."""
    from vfl.checkpoint import Checkpoints

    save = Checkpoints.save

    def last(self, epoch, state):
        save(self, epoch, state)
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    if assignment.party == "p0" and not assignment.resume:
        Checkpoints.save = last
    return await take_part(assignment, transport, on_event)


@pytest.mark.parametrize("options", [{}, SHARED], ids=["arbiter", "shared"])
def test_after_the_death_of_a_party_a_resumed_job_ends_as_if_nothing_had_happened(
    ray_job, tmp_path, monkeypatch, options
):
    job = ray_job(epochs=5, schedule=ScheduleSpec(deadline_s=20.0, restarts=0), **options).job
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(api, "take_part", _p0_dies_in_epoch_3)
        with pytest.raises(PartyLostError) as caught:
            api.run_job(job, folder=folder)
    stored = {p.name: Checkpoints(folder / p.name, p.name, "").epochs() for p in job.parties}
    assert (
        time.time() - (folder / "p0" / "epoch-000003.json").stat().st_mtime < 15
    )  # the deadline has 20
    assert str(caught.value).startswith("p0 died: ")
    assert "--resume" in str(caught.value)
    assert stored["p0"] == [2, 3]
    assert all(2 in epochs for epochs in stored.values())

    seen = []
    resumed = api.run_job(job, folder=folder, resume=True, on_event=seen.append)
    steps = [event.done for event in seen if event.text == "training"]
    assert steps[0] in (3, 4), "it began elsewhere than at the checkpoint"
    undisturbed = api.run_job(
        msgspec.structs.replace(job, transport="inprocess", crypto="mock"), folder=tmp_path / "mock"
    )
    assert resumed.result.resumed
    assert resumed.result.epochs == 5
    for party in ("bank", "p0"):
        ours, theirs = model_of(folder, party), model_of(undisturbed.folder, party)
        # One epoch moves a weight by about 0.1; the ciphers differ in the sixth digit.
        np.testing.assert_allclose(ours["weights"], theirs["weights"], atol=1e-4)


RESTART = "p0 died; the job starts again from the last epoch that all parties hold"


@pytest.mark.parametrize(
    ("on_lost", "options", "same"),
    [("abort", {}, 1e-9), ("wait", SHARED, 1e-4)],
    ids=["arbiter", "shared"],
)
def test_a_party_that_is_killed_comes_back_without_an_operator(
    ray_job, tmp_path, monkeypatch, on_lost, options, same
):
    schedule = ScheduleSpec(deadline_s=20.0, on_lost=on_lost)
    job = ray_job(epochs=5, schedule=schedule, **options).job
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(api, "take_part", _p0_dies_in_epoch_3)
        run = api.run_job(job, folder=tmp_path / "run", on_event=seen.append)

    assert run.result.restarts == [f"{RESTART}: 1 of 2 restarts"]
    again = next(at for at, event in enumerate(seen) if event.text.startswith(RESTART))
    steps = [event.done for event in seen[again:] if event.text == "training"]
    assert steps[0] in (2, 3, 4), "it began elsewhere than at the checkpoint"
    assert (steps[-1], run.result.epochs) == (5, 5)
    assert run.ledger.clean
    undisturbed = api.run_job(
        msgspec.structs.replace(job, transport="inprocess"), folder=tmp_path / "alone"
    )
    for party in ("bank", "p0"):
        ours, theirs = model_of(run.folder, party), model_of(undisturbed.folder, party)
        np.testing.assert_allclose(ours["weights"], theirs["weights"], atol=same)


async def _p0_always_dies(assignment, transport, on_event):
    if assignment.party == "p0":
        os.kill(os.getpid(), signal.SIGKILL)
    return await take_part(assignment, transport, on_event)


def test_a_party_that_dies_every_time_is_named_when_the_restarts_are_used_up(
    ray_job, tmp_path, monkeypatch
):
    schedule = ScheduleSpec(deadline_s=20.0, restarts=1)
    monkeypatch.setattr(api, "take_part", _p0_always_dies)
    seen = []
    with pytest.raises(PartyLostError, match=rf"^p0 died: .*Before: {RESTART}: 1 of 1") as caught:
        api.run_job(ray_job(schedule=schedule).job, folder=tmp_path / "run", on_event=seen.append)
    assert caught.value.died == "p0"
    assert sum("p0 died" in event.text for event in seen) == 1


def test_a_party_that_is_killed_may_be_done_without(ray_job, tmp_path, monkeypatch):
    schedule = ScheduleSpec(deadline_s=5.0, on_lost="drop")
    job = ray_job(epochs=6, passives=3, schedule=schedule).job
    monkeypatch.setattr(api, "take_part", _p0_dies_in_epoch_3)
    seen = []
    run = api.run_job(job, folder=tmp_path / "run", on_event=seen.append)
    result = run.result
    assert (result.epochs, result.lost, result.restarts) == (6, ["p0"], [])
    told = [event.text for event in seen if event.kind == "note"]
    assert any(text.startswith("p0 died: ") for text in told)
    assert any("p0 did not answer within the deadline" in text for text in told)
    assert result.rounds["p0"].missed >= 2 and result.rounds["p1"].missed == 0
    assert run.ledger.clean
