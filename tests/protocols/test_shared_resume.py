"""A run on shares, cut off anywhere, ends in the model it would have had; masks are fresh."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from glm import MODELS, draw, job_of, weights_of
from killing import KilledError, kill

import vfl
from vfl.api import audit_folder
from vfl.context import Context
from vfl.errors import CheckpointError
from vfl.messages import Masked, unpack
from vfl.protocols.masked_sum import MaskKey
from vfl.protocols.shared_messages import Coefficients, Move, PublicKey
from vfl_crypto.linear import Ciphertext

# Shares are rounded alike but for one unit of 2^-24 in each step, wherever their masks wrap.
SAME = 1e-5

ROUNDS = 5
CASES = {
    "one passive party": ("logistic", [2, 3], {}),
    "two passive parties": ("logistic", [1, 2, 2], {}),
    "damped steps": ("poisson", [2, 3], {}),
    "folds": ("logistic", [2, 3], {"folds": 2}),
}


def make(case, **options):
    kind, widths, more = CASES[case]
    tables = draw(kind, widths, n=60, seed=3, steep=2.5)  # full steps are too long for counts
    model = MODELS[kind](epochs=ROUNDS, tolerance=0.0)
    return tables, job_of(tables, model, **{"crypto": "lattice"} | more | options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Each case as it ends undisturbed: (run, messages sent by each party)."""
    made = {}

    def run(case):
        if case not in made:
            _, job = make(case)
            with pytest.MonkeyPatch.context() as patch:
                counts, send = Counter(), Context.send

                async def counted(self, to, message, *, scope):
                    counts[self.name] += 1
                    await send(self, to, message, scope=scope)

                patch.setattr(Context, "send", counted)
                made[case] = (
                    vfl.run_job(job, folder=tmp_path_factory.mktemp("whole") / "run"),
                    counts,
                )
        return made[case]

    return run


def messages(tap):
    return [unpack(np.frombuffer(frame, np.uint8))[0] for *_, frame in tap.frames]


def check_fresh(tap):
    """No ciphertext, masked vector or key crossed a border twice."""
    hidden = Counter()
    for message in messages(tap):
        value = getattr(message, "values", None)
        if isinstance(value, Ciphertext):
            hidden[value.body.tobytes()] += 1
        elif isinstance(value, Masked):
            hidden[value.value.tobytes()] += 1
    assert len(hidden) > 10 and set(hidden.values()) == {1}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("case", CASES)
def test_a_run_killed_at_any_message_ends_in_the_same_model(
    whole, tmp_path, monkeypatch, tap, case, seed
):
    expected, counts = whole(case)
    tables, job = make(case)
    rng = np.random.default_rng([seed, len(case)])
    parties = list(tables)
    party, resume = parties[seed % len(parties)], False
    tap.frames.clear()
    for _ in range(2):  # and once more while it resumes
        with monkeypatch.context() as patch:
            kill(patch, party, int(rng.integers(counts[party] // (1 + resume))))
            try:
                vfl.run_job(job, folder=tmp_path / "cut", resume=resume)
            except KilledError:
                resume = True
                party = parties[rng.integers(len(parties))]
    run = vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    for ours, theirs in zip(
        weights_of(run.folder, tables), weights_of(expected.folder, tables), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=SAME)
    assert run.metrics == pytest.approx(expected.metrics, rel=1e-4, abs=1e-4)
    assert run.result.losses == pytest.approx(expected.result.losses, rel=1e-4, abs=1e-4)
    assert run.result.epochs == expected.result.epochs
    assert run.result.resumed and run.result.ledger.clean
    assert not audit_folder(tmp_path / "cut").undeclared
    check_fresh(tap)
    masks = Counter(m.key.value for m in messages(tap) if isinstance(m, MaskKey))
    assert set(masks.values()) <= {1}


def test_the_damped_case_goes_back_at_least_once(tmp_path, tap):
    job = make("damped steps", crypto="mock")[1]
    vfl.run_job(job, folder=tmp_path / "run")
    moves = Counter(m.what.value for m in messages(tap) if isinstance(m, Move))
    assert moves["retreat"] >= 1 and moves["stop"] == 1


@pytest.mark.parametrize(
    ("case", "scope"), [("one passive party", "train/0/2"), ("folds", "train/1/1")]
)
def test_a_resumed_run_continues_and_does_not_start_over(tmp_path, monkeypatch, tap, case, scope):
    job = make(case)[1]
    send = Context.send

    async def sending(self, to, message, *, scope):
        if self.name == "p0" and scope == cut and message.kind == "shared.gradient":
            raise KilledError("p0 was killed")
        await send(self, to, message, scope=scope)

    cut = f"{scope}/0"
    with monkeypatch.context() as patch:
        patch.setattr(Context, "send", sending)
        with pytest.raises(KilledError):
            vfl.run_job(job, folder=tmp_path / "cut")
    tap.frames.clear()
    vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    scopes = {unpack(np.frombuffer(f, np.uint8))[1].scope for *_, f in tap.frames}
    seen = sorted(s.rsplit("/", 1)[0] for s in scopes if s.count("/") == 3)
    assert seen[0] == scope


def test_each_attempt_has_a_key_of_its_own_and_hands_weights_over_once(tmp_path, monkeypatch, tap):
    job = make("two passive parties")[1]
    for resume in (False, True):
        with monkeypatch.context() as patch:
            kill(patch, "bank", 22)
            with pytest.raises(KilledError, match="train/"):
                vfl.run_job(job, folder=tmp_path / "cut", resume=resume)
    vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    sent = messages(tap)
    assert len({m.key.value.tobytes() for m in sent if isinstance(m, PublicKey)}) == 3
    assert len([m for m in sent if isinstance(m, MaskKey)]) == 8  # the last attempt scores, too
    assert len([m for m in sent if isinstance(m, Coefficients)]) == 2
    check_fresh(tap)


@pytest.mark.parametrize("party", ["bank", "p0"])
def test_a_share_changed_on_disk_is_refused_and_the_party_named(tmp_path, monkeypatch, party):
    job = make("one passive party", crypto="mock")[1]
    with monkeypatch.context() as patch:
        kill(patch, "bank", 18)
        with pytest.raises(KilledError, match="train/"):
            vfl.run_job(job, folder=tmp_path / "cut")
    for path in (tmp_path / "cut" / party).glob("epoch-*.json"):
        text = path.read_text()
        path.write_text(text.replace('"round":', '"round":1'))
    with pytest.raises(CheckpointError, match=f"{party}: .*was changed after it was written"):
        vfl.run_job(job, folder=tmp_path / "cut", resume=True)


def test_scores_are_not_counted_again_for_an_attempt_that_died(tmp_path, monkeypatch):
    """They are the same points; the model's count is that of its rounds."""
    job = make("one passive party", crypto="mock")[1]
    with monkeypatch.context() as patch:
        kill(patch, "p0", 12)
        with pytest.raises(KilledError, match="train/"):
            vfl.run_job(job, folder=tmp_path / "cut")
    run = vfl.run_job(job, folder=tmp_path / "cut", resume=True)
    text = (run.folder / "p0" / "model.json").read_text()
    assert f'"scores_opened":{ROUNDS}' in text
