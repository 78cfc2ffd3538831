"""Checkpoints: the last two epochs, whole or not at all, and only of the same job."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl.checkpoint import Checkpoints, write_atomically
from vfl.errors import CheckpointError


@pytest.fixture
def store(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "private", "bank", "the same data")


def test_what_was_saved_is_loaded(store):
    store.save(1, {"theta": [1.5, -2.0], "converged": False})
    assert store.load(1) == {"theta": [1.5, -2.0], "converged": False}
    assert store.epochs() == [1]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_weights_come_back_bit_for_bit(tmp_path_factory, weights):
    store = Checkpoints(tmp_path_factory.mktemp("c"), "bank", "x")
    store.save(3, {"theta": weights})
    found = np.array(store.load(3)["theta"], dtype=np.float64)
    assert found.tobytes() == np.array(weights, dtype=np.float64).tobytes()


def test_the_last_two_epochs_are_kept(store):
    for epoch in range(1, 12):
        store.save(epoch, {"epoch": epoch})
        assert store.epochs() == [e for e in (epoch - 1, epoch) if e > 0]
    assert store.load(10) == {"epoch": 10}


def test_a_folder_that_does_not_exist_yet_holds_no_epochs(store):
    assert store.epochs() == []


def test_files_of_other_names_are_no_checkpoints(store, tmp_path):
    store.save(4, {})
    for name in (
        "epoch-5.json",
        "epoch-0000005.json",
        "epoch-000005.json.partial",
        "xepoch-000006.json",
    ):
        (tmp_path / "private" / name).write_text("{}")
    assert store.epochs() == [4]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"identity": "the same data"}',
        b'{"state": {}}',
        b"[]",
        b"5",
        b"null",
        b"\xff\xfe",
    ],
)
def test_a_damaged_checkpoint_is_an_error_that_names_party_and_file(store, tmp_path, content):
    store.save(2, {"theta": []})
    (tmp_path / "private" / "epoch-000002.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bank: cannot read .*epoch-000002\.json.*without"):
        store.load(2)


def test_every_truncation_of_a_checkpoint_is_found(store, tmp_path):
    path = tmp_path / "private" / "epoch-000001.json"
    store.save(1, {"theta": [1.25, 2.5]})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            store.load(1)


def test_a_state_that_is_no_state_is_an_error(store, tmp_path):
    store.save(1, {})
    path = tmp_path / "private" / "epoch-000001.json"
    path.write_text(json.dumps({"identity": "the same data", "state": 7}))
    with pytest.raises(CheckpointError):
        store.load(1)


def test_a_checkpoint_of_other_data_is_refused(store, tmp_path):
    store.save(2, {})
    with pytest.raises(CheckpointError, match="other data or another model"):
        Checkpoints(tmp_path / "private", "bank", "changed data").load(2)


def test_a_missing_epoch_is_an_error(store):
    with pytest.raises(CheckpointError, match="cannot read"):
        store.load(9)


def fail_at(monkeypatch, what: str):
    """ENOSPC at one step of an atomic write."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if what == "write":
        opened = Path.open

        class Full:
            def __init__(self, file):
                self._file = file

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self._file.close()

            def write(self, data):
                self._file.write(data[:5])
                full()

        monkeypatch.setattr(Path, "open", lambda *a, **k: Full(opened(*a, **k)))
    elif what == "open":
        monkeypatch.setattr(Path, "open", full)
    elif what == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)


@pytest.mark.parametrize("what", ["open", "write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there_and_says_where(store, tmp_path, monkeypatch, what):
    for epoch in (1, 2):
        store.save(epoch, {"theta": [float(epoch)]})
    with monkeypatch.context() as patch:
        fail_at(patch, what)
        with pytest.raises(
            CheckpointError, match=r"bank: cannot write .*epoch-000003\.json.*space"
        ):
            store.save(3, {"theta": [3.0]})
        with pytest.raises(CheckpointError):
            store.save(2, {"theta": [9.0]})
    assert store.epochs() == [1, 2]
    assert store.load(1) == {"theta": [1.0]} and store.load(2) == {"theta": [2.0]}
    assert sorted(p.name for p in (tmp_path / "private").iterdir()) == [
        "epoch-000001.json", "epoch-000002.json",
    ]  # fmt: skip
    store.save(3, {"theta": [3.0]})  # once there is room again
    assert store.epochs() == [2, 3]


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"driver: cannot write .*file"):
        write_atomically(tmp_path / "file" / "job.json", {}, "driver")


@pytest.mark.parametrize("edit", ["state", "epoch", "name"])
def test_a_checkpoint_that_was_changed_by_hand_is_refused(store, tmp_path, edit):
    store.save(1, {"theta": [1.5, -2.0], "converged": False})
    path = tmp_path / "private" / "epoch-000001.json"
    stored = json.loads(path.read_text())
    if edit == "state":
        stored["state"]["theta"][0] = 5.0
    if edit == "epoch":
        stored["epoch"] = 2
    path.write_text(json.dumps(stored))
    if edit == "name":
        path.rename(path.with_name("epoch-000009.json"))
    with pytest.raises(CheckpointError, match=r"bank: .* was changed after it was written"):
        store.load(9 if edit == "name" else 1)


def test_what_lies_after_the_epoch_a_run_continues_at_is_forgotten(store):
    for epoch in (5, 6):
        store.save(epoch, {"epoch": epoch})
    store.rewind(5)
    assert store.epochs() == [5]
    store.rewind(0)
    store.save(1, {"epoch": 1})  # not pruned in favour of older, higher epochs
    assert store.epochs() == [1]
