"""A run at the open level that was cut off anywhere ends in the same weights, under a new key."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from killing import KilledError, kill

import vfl
from vfl.errors import CheckpointError
from vfl.messages import unpack

PARTIES = ("bank", "p0", "p1")
SAME = 2e-3  # Adam's steps on gradients that are rounded at random


def weights(folder):
    models = (msgspec.json.decode((folder / p / "model.json").read_bytes()) for p in PARTIES)
    return np.concatenate([np.array(model["weights"])[:, 0] for model in models])


def received(tap):
    return [unpack(np.frombuffer(frame, np.uint8))[:2] for *_, frame in tap.frames]


@pytest.fixture
def job(small_job):
    model = vfl.LogisticRegression(epochs=3, batch_size=40, optimizer="adam")
    return small_job(
        passives=2, model=model, rows=100, security="open", accept_gradient_leak=True,
        accept_score_leak=True,
    ).job  # fmt: skip


@pytest.fixture
def whole(job, tmp_path, tap):
    """(weights, run, messages of training that each party sent) of a run that nobody stopped."""
    run = vfl.run_job(job, folder=tmp_path / "whole")
    senders = [e.sender for _, e in received(tap) if e.kind.startswith("open.")]
    tap.frames.clear()
    return weights(tmp_path / "whole"), run, {party: senders.count(party) for party in PARTIES}


@pytest.mark.parametrize("party", PARTIES)
def test_a_run_killed_at_any_message_ends_in_the_same_weights(
    job, whole, tmp_path, monkeypatch, party
):
    expected, undisturbed, counts = whole
    assert np.abs(expected).max() > 0.2
    for after in range(counts[party]):
        folder = tmp_path / f"cut-{after}"
        with monkeypatch.context() as patch:
            kill(patch, party, after, "open.")
            with pytest.raises(KilledError):
                vfl.run_job(job, folder=folder)
        run = vfl.run_job(job, folder=folder, resume=True)
        np.testing.assert_allclose(weights(folder), expected, rtol=0, atol=SAME)
        np.testing.assert_allclose(run.result.losses, undisturbed.result.losses, atol=SAME)
        np.testing.assert_allclose(run.result.changes, undisturbed.result.changes, atol=SAME)
        assert run.result.resumed
        assert run.result.ledger.clean


def test_a_resumed_run_makes_new_keys_and_masks(job, whole, tmp_path, monkeypatch, tap):
    with monkeypatch.context() as patch:
        kill(patch, "p0", whole[2]["p0"] - 1, "open.")
        with pytest.raises(KilledError):
            vfl.run_job(job, folder=tmp_path / "cut")
    vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    keys = [m.key.value.tobytes() for m, e in received(tap) if e.kind == "open.key"]
    assert len(set(keys)) == 2
    masks = [
        bytes(m.key.value) for m, e in received(tap) if (e.kind, e.scope) == ("sum.key", "train")
    ]  # scoring has others
    assert len(masks) == len(set(masks)) == 4


def test_epochs_that_are_done_are_not_done_again_nor_opened_more_finely(
    job, whole, tmp_path, monkeypatch, tap
):
    with monkeypatch.context() as patch:
        kill(patch, "bank", whole[2]["bank"] - 6, "open.")
        with pytest.raises(KilledError):
            vfl.run_job(job, folder=tmp_path / "cut")
    before = exponents(received(tap))
    tap.frames.clear()
    vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    after = exponents(received(tap))
    assert sorted(after) == ["train/2/0/0", "train/2/1/0"]
    for scope, exponent in after.items():
        assert exponent >= before[f"train/0/{scope.split('/')[2]}/0"]


def exponents(messages):
    return {e.scope: m.exponent.value for m, e in messages if e.kind == "open.residual"}


def test_a_checkpoint_that_was_changed_is_refused(job, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill(patch, "bank", whole[2]["bank"] - 1, "open.")
        with pytest.raises(KilledError):
            vfl.run_job(job, folder=tmp_path / "cut")
    stored = list((tmp_path / "cut" / "p0").glob("epoch-*.json"))
    assert stored  # the run goes on from one of them
    for path in stored:
        path.write_bytes(path.read_bytes().replace(b'"count":', b'"count":1', 1))
    with pytest.raises(CheckpointError, match=r"p0.*changed after it was written"):
        vfl.run_job(job, folder=tmp_path / "cut", resume=True)
