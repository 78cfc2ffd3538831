"""A run that was cut off anywhere goes on to the very weights it would have had."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from killing import KilledError, kill

import vfl
from vfl.api import audit_folder
from vfl.errors import CheckpointError, JobError, VflError
from vfl.messages import unpack
from vfl.parties import coordinated
from vfl.protocols.arbiter_messages import PublicKey
from vfl_crypto.lattice import LatticeScheme
from vfl_crypto.paillier import PaillierScheme

PARTIES = ("bank", "p0", "p1", "arbiter")


def stored_models(folder):
    paths = sorted(folder.glob("*/model.json"))
    return {path.parent.name: path.read_bytes() for path in paths}


def sent_by(tap) -> dict[str, int]:
    return {party: sum(sender == party for sender, *_ in tap.frames) for party in PARTIES}


@pytest.fixture
def job(small_job):
    model = vfl.LogisticRegression(epochs=6, batch_size=30)
    return small_job(passives=2, model=model, accept_gradient_leak=True, rows=80)


@pytest.mark.parametrize("seed", range(8))
def test_a_run_killed_at_any_message_ends_in_the_same_weights(
    job, tmp_path, monkeypatch, tap, seed
):
    whole = vfl.run_job(job.job, folder=tmp_path / "whole")
    expected = stored_models(tmp_path / "whole")
    counts = sent_by(tap)
    rng = np.random.default_rng(seed)
    party = PARTIES[seed % 4]
    folder = tmp_path / "cut"
    resume = False
    for _ in range(2):  # and once more while it resumes
        with monkeypatch.context() as patch:
            kill(patch, party, int(rng.integers(counts[party] // (1 + resume))))
            try:
                vfl.run_job(job.job, folder=folder, resume=resume)
            except KilledError:
                resume = True
                party = PARTIES[rng.integers(4)]
    run = vfl.run_job(job.job, folder=folder, resume=True)
    assert stored_models(folder) == expected
    assert run.metrics == whole.metrics
    assert run.result.changes == whole.result.changes
    assert run.result.resumed and run.result.ledger.clean
    assert not audit_folder(folder).undeclared


def test_a_resumed_run_continues_and_does_not_start_over(job, tmp_path, monkeypatch, tap):
    with monkeypatch.context() as patch:
        kill(patch, "bank", 40)
        with pytest.raises(KilledError, match=r"train\.\w+ of train/[345]/"):
            vfl.run_job(job.job, folder=tmp_path / "cut")
    tap.frames.clear()
    vfl.run_job(job.job, folder=tmp_path / "cut", resume=True)
    scopes = {unpack(np.frombuffer(f, np.uint8))[1].scope for *_, f in tap.frames}
    assert not any(scope.startswith(("train/0", "train/1", "train/2")) for scope in scopes)
    assert "train/5/0" in scopes


@pytest.mark.parametrize("crypto", ["paillier", "lattice"])
def test_a_resumed_encrypted_run_has_the_same_weights_under_a_new_key(
    small_job, tmp_path, monkeypatch, tap, crypto
):
    small = small_job(
        model=vfl.LogisticRegression(epochs=4), crypto=crypto, rows=60, features=1,
        active_features=1, test_fraction=0.0,
    )  # fmt: skip
    vfl.run_job(small.job, folder=tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill(patch, "p0", 7)
        with pytest.raises(KilledError, match="train/"):
            vfl.run_job(small.job, folder=tmp_path / "cut")
    assert (tmp_path / "cut" / "p0" / "epoch-000001.json").exists()
    vfl.run_job(small.job, folder=tmp_path / "cut", resume=True)
    assert stored_models(tmp_path / "cut") == stored_models(tmp_path / "whole")
    messages = [unpack(np.frombuffer(frame, np.uint8))[0] for *_, frame in tap.frames]
    keys = {m.key.value.tobytes() for m in messages if isinstance(m, PublicKey)}
    assert len(keys) == 3  # one an attempt
    ids = {m.values.key_id for m in messages if m.kind == "train.gradient"}
    assert len(ids) == 3


def test_no_secret_key_is_in_any_file_of_a_run_or_on_the_wire(
    small_job, tmp_path, monkeypatch, tap
):
    holders = []

    class Watched(PaillierScheme):
        def generate(self):
            holder = super().generate()
            holders.append((holder, holder._private.primes))
            return holder

    monkeypatch.setattr(coordinated, "make_scheme", lambda _: Watched(key_bits=2048))
    small = small_job(model=vfl.LogisticRegression(epochs=2), rows=60, features=1)
    vfl.run_job(small.job, folder=tmp_path / "run")
    ((holder, primes),) = holders
    assert holder._private is None  # dropped at the end
    n = holder.encryptor.key.n
    assert holder.encryptor.key.to_bytes() in tap.everything
    assert int(np.prod([p % 97 for p in primes])) % 97 == n % 97  # the primes of that key
    files = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 8
    for prime in primes:
        raw = prime.to_bytes(128, "little")
        for form in (raw, raw[::-1], raw[:16], raw[::-1][:16], b"%d" % prime, b"%x" % prime):
            assert not any(form in content for content in [*files, tap.everything])


def test_no_secret_of_the_lattice_is_in_any_file_of_a_run_or_on_the_wire(
    small_job, tmp_path, monkeypatch, tap
):
    secrets = []

    class Watched(LatticeScheme):
        def generate(self):
            holder = super().generate()
            secrets.append((holder, holder._secret))
            return holder

    monkeypatch.setattr(coordinated, "make_scheme", lambda _: Watched())
    small = small_job(model=vfl.LogisticRegression(epochs=2), rows=60, features=1)
    vfl.run_job(small.job, folder=tmp_path / "run")
    ((holder, secret),) = secrets
    assert holder._secret is None  # dropped at the end
    assert holder.public_key in tap.everything
    files = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 8
    ternary = secret._ternary[:64]
    assert set(np.unique(ternary)) == {-1, 0, 1}
    for words in (ternary, ternary.astype(np.int8), ternary + 1, secret.ntt[:, :8]):
        form = np.ascontiguousarray(words).tobytes()
        assert not any(form in content for content in [*files, tap.everything])


# what must not change between two attempts


@pytest.fixture
def cut(job, tmp_path, monkeypatch):
    """A job whose run was cut off after some epochs."""
    with monkeypatch.context() as patch:
        kill(patch, "p1", 22)
        with pytest.raises(KilledError, match=r"train/[345]/"):
            vfl.run_job(job.job, folder=tmp_path / "cut")
    return job


@pytest.mark.parametrize("party", ["bank", "p0"])
def test_a_changed_data_file_is_refused_and_the_party_named(cut, tmp_path, party):
    path = cut.folder / f"{party}.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    cells[1] = "0.123456"
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    with pytest.raises(CheckpointError, match=f"{party}: .*was made from other data"):
        vfl.run_job(cut.job, folder=tmp_path / "cut", resume=True)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("model", {"model": vfl.LogisticRegression(epochs=7, batch_size=30)}),
        ("model", {"model": vfl.LinearRegression(epochs=6, batch_size=30)}),
        ("seed", {"seed": 5}),
        ("test_fraction", {"test_fraction": 0.3}),
        ("crypto", {"crypto": vfl.CryptoSpec("mock", 3072)}),
    ],
)
def test_a_changed_job_is_refused_and_the_key_named(cut, tmp_path, key, change):
    changed = msgspec.structs.replace(cut.job, **change)
    with pytest.raises(JobError, match=f"{key} differ"):
        vfl.run_job(changed, folder=tmp_path / "cut", resume=True)


def test_a_changed_party_is_refused(cut, tmp_path):
    parties = [
        msgspec.structs.replace(p, drop=["p01"]) if p.name == "p0" else p for p in cut.job.parties
    ]
    changed = msgspec.structs.replace(cut.job, parties=parties)
    with pytest.raises(JobError, match="parties differ"):
        vfl.run_job(changed, folder=tmp_path / "cut", resume=True)


def test_nothing_is_resumed_where_no_run_is(job, tmp_path):
    with pytest.raises(JobError, match=r"cannot resume .*job\.json is not readable"):
        vfl.run_job(job.job, folder=tmp_path / "no", resume=True)


def test_without_a_folder_the_newest_unfinished_run_of_that_job_is_resumed(
    job, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match="no run of 'job' under vfl-runs to resume"):
        vfl.run_job(job.job, resume=True)
    whole = vfl.run_job(job.job)
    with pytest.raises(JobError, match="is complete: nothing to resume"):
        vfl.run_job(job.job, resume=True)
    with monkeypatch.context() as patch:
        kill(patch, "p1", 22)
        with pytest.raises(KilledError):
            vfl.run_job(job.job)
    vfl.run_job(msgspec.structs.replace(job.job, name="job-other"))  # newer, and of another job
    run = vfl.run_job(job.job, resume=True)
    assert run.folder != whole.folder and run.result.resumed
    assert stored_models(run.folder) == stored_models(whole.folder)


def test_a_folder_that_holds_a_run_is_not_written_over(job, tmp_path):
    vfl.run_job(job.job, folder=tmp_path / "run")
    before = stored_models(tmp_path / "run")
    with pytest.raises(JobError, match="already holds a run"):
        vfl.run_job(job.job, folder=tmp_path / "run")
    assert stored_models(tmp_path / "run") == before


@pytest.mark.parametrize("party", PARTIES)
def test_a_truncated_checkpoint_is_an_error_that_names_party_and_file(cut, tmp_path, party):
    for path in (tmp_path / "cut" / party).glob("epoch-*.json"):
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=rf"{party}: cannot read .*epoch-\d+\.json"):
        vfl.run_job(cut.job, folder=tmp_path / "cut", resume=True)


@pytest.mark.parametrize("party", PARTIES)
def test_a_full_disk_at_a_checkpoint_loses_nothing(job, tmp_path, monkeypatch, party):
    vfl.run_job(job.job, folder=tmp_path / "whole")
    folder = tmp_path / "cut"
    fsync = os.fsync

    def full(descriptor):
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if f"/{party}/epoch-000004" in name:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        match = rf"{party}: cannot write .*epoch-000004\.json: No space left"
        with pytest.raises(CheckpointError, match=match):
            vfl.run_job(job.job, folder=folder)
    names = sorted(path.name for path in (folder / party).glob("epoch-*"))
    assert names == ["epoch-000002.json", "epoch-000003.json"]  # and no partial file
    vfl.run_job(job.job, folder=folder, resume=True)
    assert stored_models(folder) == stored_models(tmp_path / "whole")


def test_a_second_run_in_a_partys_own_folder_does_not_see_the_first_ones_checkpoints(
    small_job, tmp_path
):
    small = small_job(model=vfl.LogisticRegression(epochs=2))
    parties = [
        msgspec.structs.replace(p, folder=str(tmp_path / f"of-{p.name}")) for p in small.job.parties
    ]
    job = msgspec.structs.replace(small.job, parties=parties)
    first = vfl.run_job(job, folder=tmp_path / "a" / "run")
    again = vfl.run_job(job, folder=tmp_path / "b" / "run")  # the same private folders
    assert again.result.changes == first.result.changes
    assert again.result.epochs == 2 and not again.result.resumed


def test_guards_cannot_be_switched_off_by_resuming(job, tmp_path, monkeypatch):
    guarded = msgspec.structs.replace(
        job.job, accept_gradient_leak=False, model=vfl.LogisticRegression(epochs=6)
    )
    with monkeypatch.context() as patch:
        kill(patch, "arbiter", 12)
        with pytest.raises(KilledError):
            vfl.run_job(guarded, folder=tmp_path / "cut")
    loose = msgspec.structs.replace(guarded, accept_gradient_leak=True)
    with pytest.raises(JobError, match="accept_gradient_leak differ"):
        vfl.run_job(loose, folder=tmp_path / "cut", resume=True)


def test_a_run_without_guards_says_so(job, tmp_path):
    run = vfl.run_job(job.job, folder=tmp_path / "run")
    assert any("accept_gradient_leak" in note for note in run.result.notes)


def test_openings_are_counted_over_all_attempts(job, tmp_path, monkeypatch):
    whole = vfl.run_job(job.job, folder=tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill(patch, "arbiter", 25)
        with pytest.raises(KilledError):
            vfl.run_job(job.job, folder=tmp_path / "cut")
    run = vfl.run_job(job.job, folder=tmp_path / "cut", resume=True)
    assert run.result.opened >= whole.result.opened > 0


def test_a_training_that_diverges_says_what_to_lower(small_job, tmp_path):
    model = vfl.LogisticRegression(optimizer="sgd", learning_rate=1e300, epochs=3)
    small = small_job(model=model)
    with pytest.raises(VflError, match=r"lower model\.learning_rate"):
        vfl.run_job(small.job, folder=tmp_path / "run")
