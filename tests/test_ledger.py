"""The ledger against the declarations: nothing undeclared crosses, nothing declared is dead."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest

import vfl
from vfl.api import audit_folder
from vfl.errors import CheckpointError, JobError
from vfl.ledger import Entry, Ledger, audit, read_entries
from vfl.messages import Envelope, FieldHeader
from vfl.program import DECLARATIONS, DECLARED
from vfl.spec import ScheduleSpec

COORDINATED = [
    (1, "logistic", "arbiter"), (2, "linear", "arbiter"), (3, "logistic", "arbiter"),
    (2, "tolerant", "arbiter"),
]  # fmt: skip
SHARED = [(1, "logistic", "shared"), (2, "logistic", "shared")]
SEALED = [(1, "linear", "sealed"), (3, "linear", "sealed")]
OPEN = [(1, "logistic", "open"), (2, "linear", "open")]
SHAPES = [*COORDINATED, *SHARED, *SEALED, *OPEN]  # passive parties, model or schedule, level


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """Each shape of job, trained and then used, with all its entries."""
    return {}


@pytest.fixture
def entries_of(runs, small_job, tmp_path):
    """All ledger entries of a trained and used job, made once a shape."""

    def entries(shape) -> list[Entry]:
        if shape not in runs:
            passives, kind, level = shape
            models = {"linear": vfl.LinearRegression}
            small = small_job(
                passives=passives, model=models.get(kind, vfl.LogisticRegression)(epochs=2),
                schedule=ScheduleSpec("backup" if kind == "tolerant" else "all_arrived"),
                security=level, rows=150,
                features=8 if level == "shared" else 3, active_features=2 * passives,
            )  # fmt: skip
            folder = tmp_path / f"run-{len(runs)}"
            run = vfl.run_job(small.job, folder=folder)
            assert run.result.ledger.clean
            run.predict({p.name: p.data for p in small.job.parties if p.data})
            paths = sorted(folder.glob("*/ledger.jsonl"))
            assert len(paths) == passives + (2 if level == "arbiter" else 1)
            runs[shape] = [entry for path in paths for entry in read_entries(path)]
        return runs[shape]

    return entries


def used(entries) -> set[tuple[str, str, str]]:
    return {(e.kind, e.sender_role, e.receiver_role) for e in entries}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_field_that_crossed_a_border_is_declared_with_its_protection(entries_of, shape):
    for entry in entries_of(shape):
        declared = DECLARED[entry.kind, entry.sender_role, entry.receiver_role]
        assert {f.name: f.protection for f in entry.fields} == declared


@pytest.mark.parametrize("shape", SHAPES)
def test_both_ends_of_every_border_recorded_the_same_bytes(entries_of, shape):
    ends = {"sent": [], "received": []}
    for e in entries_of(shape):
        ends[e.direction].append((e.job, e.sender, e.receiver, e.kind, e.scope, e.bytes, e.digest))
    assert sorted(ends["sent"]) == sorted(ends["received"])
    assert len(set(ends["sent"])) == len(ends["sent"])
    assert audit(entries_of(shape), DECLARED).clean


@pytest.mark.parametrize("shape", COORDINATED)
def test_the_bytes_of_public_keys_are_counted_apart(entries_of, shape):
    """Of the cipher, from the arbiter; and of the masks, between passive parties."""
    kinds = {"train.key", "sum.key"}
    keys = [e for e in entries_of(shape) if e.kind in kinds and e.direction == "sent"]
    found = audit(entries_of(shape), DECLARED)
    assert {b.receiver for b in found.borders if b.sender == "arbiter" and b.keys} == {
        "bank", *(f"p{k}" for k in range(shape[0]))
    }  # fmt: skip
    assert found.keys == sum(e.bytes for e in keys) < found.bytes
    assert found.bytes == sum(e.bytes for e in entries_of(shape) if e.direction == "sent")


def test_every_declared_flow_occurs_in_some_job(entries_of):
    seen = set().union(*(used(entries_of(shape)) for shape in SHAPES))
    assert set(DECLARED) - seen == set()


def test_every_disclosed_message_is_in_the_disclosures_of_its_receiver(entries_of):
    declared = {(d.carried_by, d.to) for p in DECLARATIONS for d in p.disclosures if d.carried_by}
    disclosed = {
        (e.kind, e.receiver_role)
        for shape in SHAPES
        for e in entries_of(shape)
        if any(f.protection == "disclosed" for f in e.fields)
    }
    assert disclosed <= declared


def test_the_arbiter_takes_no_part_in_alignment_and_prediction(entries_of):
    for shape in COORDINATED:
        for kind, sender, receiver in used(entries_of(shape)):
            assert kind.startswith("train.") or "arbiter" not in (sender, receiver)


def test_no_single_score_opens_as_long_as_there_are_two_passive_parties(entries_of):
    for shape in SHAPES:
        kinds = {kind for kind, *_ in used(entries_of(shape))}
        pairs = [("score.sole", "score.masked")]
        if shape in SHARED:
            pairs.append(("shared.sole_scores", "shared.masked_scores"))
        for sole, masked in pairs:
            assert (sole in kinds, masked in kinds) == (shape[0] == 1, shape[0] > 1)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "train.labels"},
        {"kind": "train.labels", "fields": []},
        {"fields": []},
        {"receiver_role": "arbiter"},
        {"sender_role": "passive", "kind": "train.start"},
    ],
    ids=["kind", "kind without fields", "no fields", "receiver", "sender"],
)
def test_a_planted_undeclared_entry_is_found_even_if_both_ends_agree(entries_of, change):
    entries = entries_of(SHAPES[0])
    one = next(e for e in entries if e.kind == "train.residual")
    planted = [
        msgspec.structs.replace(one, direction=direction, digest="0" * 64, **change)
        for direction in ("sent", "received")
    ]
    found = audit([*entries, *planted], DECLARED)
    assert found.undeclared and not found.unmatched and not found.clean


@pytest.mark.parametrize("protection", ["public", "disclosed", "masked"])
def test_a_field_that_lost_its_protection_is_undeclared(entries_of, protection):
    entries = entries_of(SHAPES[0])
    at = next(i for i, e in enumerate(entries) if e.kind == "train.scores")
    fields = [msgspec.structs.replace(f, protection=protection) for f in entries[at].fields]
    altered = [*entries]
    altered[at] = msgspec.structs.replace(altered[at], fields=fields)
    (text, _) = sorted(audit(altered, DECLARED).undeclared)
    assert "train.scores.values" in text and "from p0 to bank" in text


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"bytes": 1}, {"scope": "train/9/9"}, {"receiver": "p9"}]
)
def test_an_entry_altered_at_one_end_is_unmatched(entries_of, change):
    entries = [*entries_of(SHAPES[0])]
    at = next(i for i, e in enumerate(entries) if e.kind == "train.gradient")
    entries[at] = msgspec.structs.replace(entries[at], **change)
    found = audit(entries, DECLARED)
    assert found.unmatched and not found.clean


def test_a_smaller_count_of_disclosed_values_at_one_end_is_unmatched(entries_of):
    entries = [*entries_of(SHAPES[0])]
    at = next(i for i, e in enumerate(entries) if e.kind == "train.step" and e.direction == "sent")
    fields = [msgspec.structs.replace(f, count=0) for f in entries[at].fields]
    entries[at] = msgspec.structs.replace(entries[at], fields=fields)
    assert audit(entries, DECLARED).unmatched


def test_a_message_that_overtook_its_key_is_matched(entries_of):
    """Its receiver does not know yet how strong the new key is; the bytes are the same."""
    entries = list(entries_of(SHAPES[0]))
    place = next(
        i for i, e in enumerate(entries) if e.direction == "received" and e.kind == "train.scores"
    )
    fields = [
        msgspec.structs.replace(f, parameters="", security_bits=0) for f in entries[place].fields
    ]
    assert fields != entries[place].fields
    entries[place] = msgspec.structs.replace(entries[place], fields=fields)
    assert audit(entries, DECLARED).clean


def test_a_lost_entry_is_unmatched(entries_of):
    entries = entries_of(SHAPES[0])
    for missing in (0, len(entries) // 2, len(entries) - 1):
        assert len(audit(entries[:missing] + entries[missing + 1 :], DECLARED).unmatched) == 1


def test_the_sums_of_an_audit_are_the_sums_of_the_sent_entries(entries_of):
    entries = entries_of(SHAPES[1])
    sent = [e for e in entries if e.direction == "sent"]
    found = audit(entries, DECLARED)
    assert sum(b.bytes for b in found.borders) == sum(e.bytes for e in sent)
    assert sum(b.messages for b in found.borders) == len(sent)
    disclosed = [f for e in sent for f in e.fields if f.protection == "disclosed"]
    assert sum(found.disclosures.values()) == sum(f.count for f in disclosed)
    fields = [(e.kind, f.count) for e in sent for f in e.fields]
    counts = [1 if kind.endswith(".key") else count for kind, count in fields]  # whatever its size
    assert sum(found.protections.values()) == sum(counts)


def test_a_line_cut_short_by_a_crash_takes_no_later_line_with_it(tmp_path):
    path = tmp_path / "ledger.jsonl"
    envelope = Envelope("j", "k", "a", "b", "s", [FieldHeader("f", "public")])
    for attempt in range(3):
        ledger = Ledger({"a": "active", "b": "passive"}, path)
        ledger.record("sent", envelope, 10 + attempt, "d")
        ledger.record("sent", envelope, 20 + attempt, "d")
        ledger.close()
        path.write_bytes(path.read_bytes()[:-9])  # the crash
    assert [entry.bytes for entry in read_entries(path)] == [10, 11, 12]


class FillingDisk(io.BytesIO):
    """Takes a little of each write, then nothing."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        took = min(self.room, max(1, len(data) // 3))
        self.room -= took
        return super().write(bytes(data[:took]))


def test_a_full_disk_under_the_ledger_is_an_error_that_names_it(tmp_path):
    ledger = Ledger({}, tmp_path / "ledger.jsonl")
    ledger._file = disk = FillingDisk(500)
    envelope = Envelope("j", "k", "a", "b", "s", [])
    ledger.record("sent", envelope, 1, "d")
    disk.room = 20
    with pytest.raises(CheckpointError, match=r"ledger\.jsonl.*No space left"):
        ledger.record("sent", envelope, 1, "d")
    first = disk.getvalue().splitlines()[0]  # short writes are finished
    assert msgspec.json.decode(first, type=Entry).kind == "k"


def test_a_folder_without_a_ledger_cannot_be_audited(tmp_path):
    with pytest.raises(JobError, match="is no run"):
        audit_folder(tmp_path)


def test_ledgers_kept_elsewhere_are_found_and_missing_ones_named(small_job, tmp_path):
    small = small_job()
    private = [
        msgspec.structs.replace(p, folder=str(tmp_path / "private")) if p.name == "bank" else p
        for p in small.job.parties
    ]
    vfl.run_job(msgspec.structs.replace(small.job, parties=private), folder=tmp_path / "run")
    assert audit_folder(tmp_path / "run").clean
    (tmp_path / "private" / "run" / "ledger.jsonl").unlink()
    found = audit_folder(tmp_path / "run")
    assert found.clean and found.absent == ["bank"]


def test_what_a_dead_attempt_had_under_way_is_no_alarm(entries_of):
    """An attempt that another followed; had it ended, the same loss would be one."""
    entries = entries_of(SHAPES[0])
    start = [msgspec.structs.replace(e, job="dead", at=e.at - 1e6) for e in entries]
    start = [e for e in start if not e.kind.startswith("score.")]
    lost = next(i for i, e in enumerate(start) if e.direction == "received")
    dead = start[:lost] + start[lost + 1 :]
    assert audit(dead + entries, DECLARED).clean
    scored = [msgspec.structs.replace(e, job="dead") for e in entries if e.kind[:6] == "score."]
    assert len(audit(dead + scored + entries, DECLARED).unmatched) == 1


def test_the_ledger_holds_no_value_of_any_message(small_job, tmp_path):
    small = small_job(model=vfl.LinearRegression(epochs=2))
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    text = b"".join(Path(p).read_bytes() for p in (tmp_path / "run").glob("*/ledger.jsonl"))
    weights = [
        w
        for party in ("bank", "p0")
        for (w,) in msgspec.json.decode((tmp_path / "run" / party / "model.json").read_bytes())[
            "weights"
        ]
    ]
    cells = np.concatenate([v.ravel() for v in small.tables.columns.values()])
    for value in [*weights, *cells]:
        assert repr(float(value)).encode() not in text
    assert run.result.ledger.clean
