"""A sealed run that was cut off anywhere ends in the same weights, under new keys."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from killing import KilledError, kill

import vfl
from vfl.errors import CheckpointError
from vfl.messages import unpack

PARTIES = ("bank", "p0", "p1")
SAME = 1e-5  # the rounding of shares differs from run to run


def weights(folder):
    models = (msgspec.json.decode((folder / p / "model.json").read_bytes()) for p in PARTIES)
    return np.concatenate([np.array(model["weights"])[:, 0] for model in models])


def envelopes(tap):
    return [unpack(np.frombuffer(frame, np.uint8))[1] for *_, frame in tap.frames]


@pytest.fixture
def job(small_job):
    model = vfl.LinearRegression(epochs=4)
    return small_job(
        passives=2, model=model, rows=80, features=1, active_features=1, security="sealed"
    ).job


@pytest.fixture
def whole(job, tmp_path, tap):
    """(weights, messages of training that each party sent) of a run that nobody stopped."""
    vfl.run_job(job, folder=tmp_path / "whole")
    senders = [e.sender for e in envelopes(tap) if e.kind.startswith("sealed.")]
    tap.frames.clear()
    return weights(tmp_path / "whole"), {party: senders.count(party) for party in PARTIES}


@pytest.mark.parametrize("party", PARTIES)
def test_a_run_killed_at_any_message_ends_in_the_same_weights(
    job, whole, tmp_path, monkeypatch, party
):
    expected, counts = whole
    for after in range(counts[party]):
        folder = tmp_path / f"cut-{after}"
        with monkeypatch.context() as patch:
            kill(patch, party, after, "sealed.")
            with pytest.raises(KilledError):
                vfl.run_job(job, folder=folder)
        run = vfl.run_job(job, folder=folder, resume=True)
        np.testing.assert_allclose(weights(folder), expected, rtol=0, atol=SAME)
        assert run.result.resumed
        assert run.result.ledger.clean


def test_moments_that_are_shared_are_not_asked_for_again(job, whole, tmp_path, monkeypatch, tap):
    with monkeypatch.context() as patch:
        kill(patch, "bank", whole[1]["bank"] - 1, "sealed.")
        with pytest.raises(KilledError, match=r"sealed\.coefficients"):
            vfl.run_job(job, folder=tmp_path / "cut")
    tap.frames.clear()
    vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    kinds = {e.kind for e in envelopes(tap)}
    assert "sealed.weights" in kinds
    assert not kinds & {"sealed.column", "sealed.moments", "sealed.moment_shares"}


def test_a_resumed_run_makes_new_keys(job, whole, tmp_path, monkeypatch, tap):
    with monkeypatch.context() as patch:
        kill(patch, "p0", whole[1]["p0"] - 1, "sealed.")
        with pytest.raises(KilledError):
            vfl.run_job(job, folder=tmp_path / "cut")
    vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    messages = [unpack(np.frombuffer(frame, np.uint8))[0] for *_, frame in tap.frames]
    keys = {m.key.value.tobytes() for m in messages if m.kind == "sealed.key"}
    assert len(keys) == 2 * len(PARTIES)


def test_stored_shares_of_other_columns_are_refused(job, tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        kill(patch, "bank", whole[1]["bank"] - 1, "sealed.")
        with pytest.raises(KilledError):
            vfl.run_job(job, folder=tmp_path / "cut")
    path = tmp_path / "cut" / "p0" / "epoch-000001.json"
    path.write_bytes(path.read_bytes().replace(b'"moments":"', b'"moments":"AAAA', 1))
    with pytest.raises(CheckpointError, match=r"p0.*changed after it was written"):
        vfl.run_job(job, folder=tmp_path / "cut", resume=True)
