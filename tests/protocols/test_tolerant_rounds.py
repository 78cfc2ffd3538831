"""Rounds that go on without everybody, under encryption: real roles on emulated links."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from emulated import emulate, straggling_job, weights
from killing import KilledError, kill

import vfl
from vfl.context import Context
from vfl.errors import DeadlineError, JobError, PartyLostError
from vfl.ledger import read_entries
from vfl.parties import coordinated
from vfl.protocols.arbiter_messages import Residual, Scores
from vfl.spec import ScheduleSpec
from vfl_crypto.oracles.mock import MockScheme
from vfl_scheduler import LinkModel

TOLERANT = {
    "backup": ScheduleSpec("backup"),
    "unlimited": ScheduleSpec("backup", backups=2, max_age="unlimited"),
    "null": ScheduleSpec("backup", fill="null"),
    "bounded": ScheduleSpec("bounded_staleness", max_age=2),
    "deadline": ScheduleSpec("deadline"),
    "adaptive": ScheduleSpec("adaptive"),
}


@pytest.mark.parametrize("schedule", TOLERANT.values(), ids=TOLERANT.keys())
def test_every_policy_trains_a_good_model_and_declares_all(emulation, schedule):
    ours = emulation(schedule)
    assert ours.run.ledger.clean
    assert ours.run.result.epochs == 5 and len(ours.rounds) == 20
    filled = [age for ended in ours.rounds for age in ended.ages.values()]
    skipped = [ended for ended in ours.rounds if len(ended.arrived) < 3]
    assert skipped, "links at half speed and nobody was late: the test tests nothing"
    if schedule.fill == "null":
        assert not filled
    else:
        first = [ended for ended in ours.rounds if ended.at.number == 0]
        assert all(len(ended.arrived) == 3 for ended in first)  # nothing could stand in
        assert filled and max(filled) <= (schedule.age or 5)
        assert all(len(ended.arrived) + len(ended.filled) == 3 for ended in ours.rounds)
    assert ours.run.metrics["auc"] > 0.9


def test_with_everybody_in_time_tolerant_rounds_are_the_usual_ones(emulation):
    usual = emulation(ScheduleSpec(), p=0.0)
    patient = ScheduleSpec("deadline", quantile=1.0)
    ours = emulation(patient, p=0.0)
    assert all(len(ended.arrived) == 3 for ended in ours.rounds)
    assert weights(usual) == weights(ours)


def test_a_run_replays_from_its_seed(emulation):
    one, same, other = (emulation(TOLERANT["adaptive"], seed=seed) for seed in (1, 1, 2))
    assert one.network.log == same.network.log
    assert [ended.ages for ended in one.rounds] == [ended.ages for ended in same.rounds]
    assert one.network.log != other.network.log
    assert weights(one) == weights(same)


@pytest.mark.parametrize("name", ["unlimited", "adaptive"])
def test_lost_repeated_and_reordered_frames_change_nothing_but_times(emulation, name):
    rough = LinkModel(2e6, 0.02, loss=0.1, duplication=0.3, outages=((0.5, 1.5), (4.0, 6.0)))
    ours = emulation(TOLERANT[name], link=rough)
    assert ours.run.ledger.clean and len(ours.rounds) == 20
    (contributions,) = ours.contributions
    assert contributions.rounds.counts.repeated == 0  # the mailbox had dropped them


@pytest.mark.parametrize("name", ["backup", "unlimited", "null", "adaptive"])
def test_under_a_new_key_old_contributions_are_dropped_and_encrypted_anew(
    emulation, monkeypatch, name
):
    monkeypatch.setattr(coordinated, "make_scheme", lambda _: MockScheme(openings=160))
    ours = emulation(TOLERANT[name], seed=3)
    assert ours.run.ledger.clean and len(ours.rounds) == 20
    keys = {message.values.key_id for _, _, message in ours.messages(Residual)}
    assert len(keys) > 1
    again = [scope for _, scope, _ in ours.messages(Scores) if "/again/" in scope]
    assert len(again) >= 3  # each owner, at least one batch
    # No residual adds up ciphertexts of two keys: the mock would have refused to.
    assert ours.run.metrics["auc"] > 0.9
    (contributions,) = ours.contributions
    dropped = contributions.outdated
    assert (f"{dropped} contributions came under a key" in ours.notes) == (dropped > 0)
    sent = Counter((sender, scope) for sender, scope, _ in ours.messages(Scores))
    assert set(sent.values()) == {1}  # nothing was sent twice under one name
    assert dropped <= len(again)


def test_what_is_encrypted_anew_is_a_fresh_encryption_of_the_same_scores(emulation, monkeypatch):
    scheme = MockScheme(openings=160)
    monkeypatch.setattr(coordinated, "make_scheme", lambda _: scheme)
    ours = emulation(TOLERANT["unlimited"], seed=3)
    sent = {(sender, scope): message for sender, scope, message in ours.messages(Scores)}
    renewed = [(key, message) for key, message in sent.items() if "/again/" in key[1]]
    assert renewed
    for (sender, scope), message in renewed:
        before = sent[sender, scope.partition("/again/")[0]]
        assert before.values.key_id != message.values.key_id
        np.testing.assert_array_equal(before.values.body, message.values.body)  # the mock's clear


def test_a_request_that_got_lost_is_sent_again_with_the_same_bytes(emulation, monkeypatch):
    send, lost = Context.send, []

    async def losing(self, to, message, *, scope):
        if isinstance(message, Residual) and (to, scope) == ("p1", "train/1/0") and not lost:
            lost.append((message.kind, scope))
            raise PartyLostError("p1 is not there")
        await send(self, to, message, scope=scope)

    monkeypatch.setattr(Context, "send", losing)
    ours = emulation(ScheduleSpec(deadline_s=30.0, on_lost="wait"), p=0.0)
    assert lost and len(ours.rounds) == 20 and ours.run.ledger.clean
    assert any(e.kind == "waiting" and "from p1 in train/1/1" in e.text for e in ours.events)
    entries = read_entries(ours.run.folder / "bank" / "ledger.jsonl")
    again = {
        e.digest for e in entries if (e.receiver, e.kind, e.scope) == ("p1", *lost[0])
    }  # fmt: skip
    assert len(again) == 1
    usual = emulation(ScheduleSpec(), p=0.0)
    assert weights(usual) == weights(ours)


@pytest.mark.parametrize("after", [20, 45])
def test_a_run_that_was_cut_off_goes_on_from_the_last_common_pass(
    monkeypatch, small_job, tmp_path, after
):
    job = straggling_job(small_job, TOLERANT["adaptive"], epochs=12)
    with monkeypatch.context() as patch:
        kill(patch, "p1", after)
        with pytest.raises(KilledError):
            emulate(monkeypatch, job, tmp_path / "run")
    ours = emulate(monkeypatch, job, tmp_path / "run", resume=True)
    first = ours.rounds[0].at.number
    assert first >= 1 and "training starts over" not in ours.notes
    assert len(ours.rounds) == 4 * (12 - first) and ours.run.result.epochs == 12
    assert len(ours.rounds[0].arrived) == 3  # nothing is cached across keys
    assert ours.run.ledger.clean and ours.run.metrics["auc"] > 0.95


def test_without_a_cached_value_the_first_pass_waits_and_names_who_is_missing(
    emulation, monkeypatch
):
    send = Context.send

    async def silent(self, to, message, *, scope):
        if not (self.name == "p2" and isinstance(message, Scores)):
            await send(self, to, message, scope=scope)

    monkeypatch.setattr(Context, "send", silent)
    for schedule in (ScheduleSpec("backup"), ScheduleSpec("adaptive", on_lost="surrogate")):
        with pytest.raises(DeadlineError, match=r"'train.scores' from p2 in train/0/0"):
            emulation(schedule)


@pytest.mark.parametrize(
    ("schedule", "options", "says"),
    [
        (ScheduleSpec("backup"), {"security": "shared"}, r"policy: backup .* sums .* differ"),
        (ScheduleSpec("adaptive"), {"security": "open"}, r"policy: adaptive .* under open"),
        (ScheduleSpec(on_lost="drop"), {"security": "sealed"}, r"on_lost: drop .* under sealed"),
        (ScheduleSpec("backup"), {"passives": 1}, r"policy: backup needs two passive parties"),
        (ScheduleSpec("backup", backups=3), {}, r"backups must lie between 1 and 2"),
        (ScheduleSpec("backup", backups=0), {}, r"backups must lie between 1 and 2"),
        (ScheduleSpec("backup", max_age=0), {}, r"max_age must be at least 1 pass"),
        (ScheduleSpec("backup", fill="null", max_age=2), {}, r"max_age is of stale fill-in"),
        (ScheduleSpec("deadline", quantile=0.0), {}, r"quantile must lie in"),
        (ScheduleSpec("adaptive", min_fresh=1.5), {}, r"min_fresh must lie in"),
        (ScheduleSpec("adaptive", backups=1), {}, r"backups is not of policy: adaptive .*backup"),
        (ScheduleSpec("adaptive", local_steps=0), {}, r"local_steps must lie between 1 and 64"),
        (ScheduleSpec("adaptive", local_steps=65), {}, r"local_steps must lie between 1 and 64"),
        (ScheduleSpec("backup", local_steps=2), {}, r"local_steps is not of policy: backup"),
        (ScheduleSpec(local_steps=2), {}, r"local_steps is not of policy: all_arrived"),
        (ScheduleSpec(max_age=2), {}, r"max_age is not of policy: all_arrived"),
        (ScheduleSpec(deadline_s=0.0), {}, r"deadline_s must be finite and above 0"),
        (ScheduleSpec("backup"), {"reshuffle": True}, r"reshuffle changes its rows"),
    ],
)  # fmt: skip
def test_schedules_that_cannot_work_are_refused_when_the_job_is_read(
    small_job, schedule, options, says
):
    options = {"passives": 3, "security": "arbiter"} | options
    kind = vfl.LinearRegression if options["security"] == "sealed" else vfl.LogisticRegression
    model = kind(reshuffle=options.pop("reshuffle", False))
    with pytest.raises(JobError, match=says):
        small_job(model=model, schedule=schedule, accept_gradient_leak=True, **options)
