"""Labels from opened gradients: solved exactly where the guards are off, refused where they are on.

The attacker is an honest but curious passive party. It knows its columns X and, from the
optimiser's step on them, X^T d over each batch; at the start d is minus half the labels.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import msgspec
import numpy as np
import pytest

import vfl
from vfl.errors import JobError, SecurityError
from vfl.messages import unpack
from vfl.protocols.guards import MAX_LEVERAGE, OPENED_BITS, check_gradient_leak, leverage
from vfl.spec import ScheduleSpec, check_job
from vfl_crypto.release import Decrypted, Door
from vfl_scheduler import Adaptive

RATE = 0.5


def steps_of(tap, party="p0"):
    """The steps of the first epoch, batch by batch, as the party got them."""
    found = {}
    for frame in tap.received_by(party):
        message, envelope, _ = unpack(np.frombuffer(frame, np.uint8))
        if envelope.kind == "train.step" and envelope.scope.startswith("train/0/"):
            found[int(envelope.scope.rsplit("/", 1)[1])] = message.values.value
    return [found[k] for k in sorted(found)]


def solved(X, batches, steps):
    """The residual d (n,) of least norm with X^T d = step m / rate, batch by batch."""
    parts = [
        np.linalg.lstsq(X[rows].T, step * (rows.stop - rows.start) / RATE, rcond=None)[0]
        for rows, step in zip(batches, steps, strict=True)
    ]
    return np.concatenate(parts)


@pytest.fixture
def attack(small_job, tmp_path, tap):
    """Train one epoch, then be p0: (residual it solves for, the true one)."""

    def run(change=None, *, batch_size=None, scale="standard", optimizer="sgd", **options):
        model = vfl.LogisticRegression(
            epochs=1, optimizer=optimizer, learning_rate=RATE, l2=0.0, batch_size=batch_size
        )
        options = {"strangers": 0, "test_fraction": 0.0} | options
        features, rows = options.pop("features", 3), options.pop("rows", 60)
        small = small_job(features=features, rows=rows, strangers=options.pop("strangers"))
        tables = small.tables
        if change:
            change(tables.columns["p0"])
        small = small_job(model=model, tables=tables, **options)
        parties = [
            msgspec.structs.replace(p, scale=scale) if p.name == "p0" else p
            for p in small.job.parties
        ]
        vfl.run_job(msgspec.structs.replace(small.job, parties=parties), folder=tmp_path / "run")
        tag = b"vfl row order" + bytes(16)  # of seed 0
        order = sorted(tables.joint, key=lambda i: hashlib.sha256(tag + i.encode()).digest())
        place = {name: row for row, name in enumerate(tables.ids["p0"])}
        X = tables.columns["p0"][[place[name] for name in order]]
        if scale == "standard":
            X = (X - X.mean(axis=0)) / X.std(axis=0)
        count = max(1, rows // batch_size) if batch_size else 1
        edges = [round(rows * i / count) for i in range(count + 1)]
        batches = [slice(a, b) for a, b in itertools.pairwise(edges)]
        label = np.array([1.0 if tables.label[name] else -1.0 for name in order])
        return solved(X, batches, steps_of(tap)), -label / 2

    return run


def one_hot(columns):
    """Column 1 is a rare flag: one row has it."""
    columns[:, 1] = 0.0
    columns[17, 1] = 1.0


def found_exactly(guess, true):
    """The share of rows whose residual is known to a tenth of its size."""
    return np.mean(np.abs(guess - true) < 0.05)


def test_as_many_columns_as_rows_show_every_label(attack):
    guess, true = attack(features=60, rows=60, accept_gradient_leak=True)
    assert np.mean(np.sign(guess) == np.sign(true)) == 1.0
    assert found_exactly(guess, true) > 0.9


def test_small_batches_show_every_label(attack):
    guess, true = attack(features=18, rows=96, batch_size=12, accept_gradient_leak=True)
    right = np.sign(guess) == np.sign(true)
    assert right[:12].all()  # the weights are still at zero
    assert right.mean() > 0.95  # later residuals hold a score besides the label


def test_a_rare_flag_shows_the_label_of_the_one_who_has_it(attack):
    guess, true = attack(one_hot, scale="none", accept_gradient_leak=True)
    rows = np.flatnonzero(np.abs(guess - true) < 0.01)
    assert len(rows) >= 1  # column 1 of the gradient is this row's residual and nothing else


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (None, {"features": 60, "rows": 60}),
        (None, {"features": 40, "rows": 60}),
        (one_hot, {"scale": "none"}),
        (one_hot, {}),
    ],
    ids=["as many columns as rows", "two thirds", "rare flag", "rare flag, scaled"],
)
def test_the_guard_refuses_these_jobs_before_anything_is_opened(attack, tap, change, options):
    with pytest.raises(SecurityError, match=r"p0: \d+ of 60 rows .* leverage above 0\.5"):
        attack(change, **options)
    kinds = {unpack(np.frombuffer(f, np.uint8))[1].kind for *_, f in tap.frames}
    assert "train.step" not in kinds and "train.gradient" not in kinds


def test_the_refusal_names_no_row(attack):
    with pytest.raises(SecurityError) as caught:
        attack(one_hot)
    assert "person-" not in str(caught.value) and " 17" not in str(caught.value)


def test_a_job_with_small_batches_is_refused_before_it_starts(attack):
    with pytest.raises(JobError, match="fewer than 512 rows"):
        attack(features=12, rows=96, batch_size=12)


def test_new_batches_in_every_epoch_are_refused(small_job):
    job = small_job().job
    model = vfl.LogisticRegression(reshuffle=True)
    with pytest.raises(JobError, match="differences of opened gradients isolate single rows"):
        check_job(msgspec.structs.replace(job, model=model))


def test_gradients_over_rows_that_differ_in_one_give_that_one_s_label(small_job, tmp_path, tap):
    """What changing batches would open, and what a second run on one row less does open."""

    def first_gradient(tables, dropped):
        keep = {name: [i for i in ids if i != dropped] for name, ids in tables.ids.items()}
        columns = {
            name: values[[i in set(keep[name]) for i in tables.ids[name]]]
            for name, values in tables.columns.items()
        }
        model = vfl.LogisticRegression(epochs=1, optimizer="sgd", learning_rate=RATE, l2=0.0)
        small = small_job(
            model=model, tables=replace(tables, ids=keep, columns=columns), test_fraction=0.0
        )
        parties = [
            msgspec.structs.replace(p, scale="none") if p.name == "p0" else p
            for p in small.job.parties
        ]
        tap.frames.clear()
        job = msgspec.structs.replace(small.job, parties=parties)
        vfl.run_job(job, folder=tmp_path / f"run-{dropped}")
        (step,) = steps_of(tap)
        return step * (len(tables.joint) - (dropped is not None)) / RATE

    tables = small_job(rows=600, features=3, strangers=0).tables
    whole = first_gradient(tables, None)
    for place in (17, 18, 19, 20):
        target, row = tables.ids["p0"][place], tables.columns["p0"][place]
        difference = whole - first_gradient(tables, target)
        label = 1.0 if tables.label[target] else -1.0
        assert difference @ row / (row @ row) == pytest.approx(-label / 2, abs=0.05)


def noise(columns):
    """Columns that say nothing about the label: what the attacker finds, the gradient told it."""
    columns[:] = np.random.default_rng(8).standard_normal(columns.shape)


def test_the_attack_needs_no_columns_that_say_anything_about_the_label(attack):
    guess, true = attack(noise, features=60, rows=60, accept_gradient_leak=True)
    assert np.mean(np.sign(guess) == np.sign(true)) == 1.0


@pytest.mark.parametrize("options", [{"rows": 512}, {"rows": 1100, "batch_size": 512}])
def test_behind_the_guard_no_residual_can_be_read_off(attack, options):
    """Protection on: the same solver, on jobs that the guards let through."""
    guess, true = attack(noise, features=4, **options)
    # Row i gets back the share h_i of its residual, 4 / 512 on average, and a mix of all others.
    assert found_exactly(guess, true) == 0.0
    assert np.abs(guess).max() < 0.25
    assert 0.4 < np.mean(np.sign(guess) == np.sign(true)) < 0.6


# leverage against the textbook


def hat_diagonal(X):
    return np.diag(X @ np.linalg.pinv(X))


@pytest.mark.parametrize("shape", [(30, 4), (10, 10), (5, 12), (40, 1)])
def test_leverage_is_the_diagonal_of_the_hat_matrix(shape):
    X = np.random.default_rng(4).standard_normal(shape)
    np.testing.assert_allclose(leverage(X), hat_diagonal(X), atol=1e-10)
    assert leverage(X).sum() == pytest.approx(min(shape))


def test_leverage_does_not_change_with_the_basis_of_the_columns():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((50, 4))
    doubled = np.hstack([X, X @ rng.standard_normal((4, 3)), 1e-7 * X])
    np.testing.assert_allclose(leverage(doubled), leverage(X), atol=1e-8)


@pytest.mark.parametrize("shape", [(6, 0), (6, 3)])
def test_without_columns_or_with_zeros_nothing_is_isolated(shape):
    assert np.array_equal(leverage(np.zeros(shape)), np.zeros(6))


def test_a_row_with_a_direction_of_its_own_has_leverage_one():
    X = np.random.default_rng(6).standard_normal((20, 3))
    X[:, 2] = 0.0
    X[7, 2] = 1e-3  # however small
    assert leverage(X)[7] == pytest.approx(1.0)


def test_the_guard_counts_the_rows_above_a_half():
    X = np.zeros((600, 2))
    X[:, 0] = 1.0
    X[:2, 1] = [1.0, -1.0]  # each has 1/2 of this direction and 1/600 of the other
    assert (leverage(X) > MAX_LEVERAGE).sum() == 2
    with pytest.raises(SecurityError, match="shop: 2 of 600 rows in batch 0"):
        check_gradient_leak("shop", X, [slice(0, 600)], reshuffled=False, accepted=False)
    check_gradient_leak("shop", X, [slice(0, 600)], reshuffled=False, accepted=True)
    X[2:4, 1] = [1.0, -1.0]
    check_gradient_leak("shop", X, [slice(0, 600)], reshuffled=False, accepted=False)


def test_a_short_batch_is_refused_unless_it_is_the_whole_table():
    X = np.ones((1000, 1))
    check_gradient_leak("shop", X[:100], [slice(0, 100)], reshuffled=False, accepted=False)
    with pytest.raises(SecurityError, match="batch 1 has 400 rows"):
        check_gradient_leak(
            "shop", X, [slice(0, 600), slice(600, 1000)], reshuffled=False, accepted=False
        )


def labelings_that_fit(X, opened, quantum):
    """Every y in {-1, +1}^n whose gradient at the start, -X^T y / 4, rounds to what was opened."""
    n = len(X)
    signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    fits = (np.round(-signs @ X / 4 / quantum) * quantum == opened).all(axis=1)
    return signs[fits]


@pytest.mark.parametrize(("columns", "refused"), [(3, True), (1, False)])
def test_labels_of_few_rows_are_solved_for_when_more_bits_are_opened_than_there_are_rows(
    columns, refused
):
    """No row stands out (leverage below 1/2), and yet 48 bits about 20 labels leave one answer."""
    rng = np.random.default_rng(1)
    X, y = rng.uniform(-1.5, 1.5, (20, columns)), rng.choice([-1.0, 1.0], 20)
    assert leverage(X).max() < MAX_LEVERAGE
    released = Door(100).release(Decrypted(-X.T @ y / 4), OPENED_BITS)
    found = labelings_that_fit(X, released.values, released.quantum)
    assert any((labels == y).all() for labels in found)
    if refused:
        assert len(found) == 1
        with pytest.raises(SecurityError, match="48 bits about 20 rows"):
            check_gradient_leak("shop", X, [slice(0, 20)], reshuffled=False, accepted=False)
    else:
        assert len(found) > 1
        check_gradient_leak("shop", X, [slice(0, 20)], reshuffled=False, accepted=False)


def test_a_reshuffled_job_is_refused_by_the_party_itself():
    X = np.random.default_rng(0).standard_normal((600, 2))
    with pytest.raises(SecurityError, match="reshuffle"):
        check_gradient_leak("shop", X, [slice(0, 600)], reshuffled=True, accepted=False)


def test_entries_that_fixed_point_turns_into_zeros_count_as_zeros():
    """One row of 1e-4 among rows of 1e-6: 0.1 of the leverage, but all of what is multiplied."""
    X = np.full((100_000, 1), 1e-6)
    X[7] = 1e-4
    assert leverage(X).max() < 0.1
    with pytest.raises(SecurityError, match="1 of 100000 rows"):
        check_gradient_leak("shop", X, [slice(0, 100_000)], reshuffled=False, accepted=False)


def test_a_vector_that_shrinks_is_not_opened_more_finely():
    door = Door(100)
    first = door.release(Decrypted(np.array([900.0, 0.3])), OPENED_BITS)
    assert first.quantum == 2.0**-6
    later = door.release(Decrypted(np.array([0.9, 0.3003])), OPENED_BITS, first.quantum)
    assert later.values.tolist() == [58 / 64, 19 / 64] and later.quantum == first.quantum
    assert door.release(Decrypted(np.array([0.9, 0.3003])), OPENED_BITS).quantum == 2.0**-16


# local steps


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_gradients_on_one_residual_show_as_many_parts_of_a_quantum_as_there_are(steps):
    """Each is the first one plus what the party knows: so the guard counts log2 of them as bits."""
    door, rng = Door(10**6), np.random.default_rng(steps)
    offsets = [0.0, *rng.uniform(-3, 3, steps - 1)]
    outcomes = set()
    for part in np.linspace(1e-4, 1, 2000, endpoint=False):
        entry = (1000.5 + part) * 2.0**-16  # all that a first opening rounds to the same value
        opened = [
            door.release(Decrypted(np.array([0.75, entry + offset * 2.0**-16])), OPENED_BITS)
            for offset in offsets
        ]
        assert {one.quantum for one in opened} == {2.0**-16}
        outcomes.add(tuple(one.values[1] for one in opened))
    assert len(outcomes) == steps


def test_the_guard_asks_for_the_rows_of_the_bits_that_local_steps_open():
    X = np.random.default_rng(0).standard_normal((600, 33))
    check_gradient_leak("shop", X, [slice(0, 600)], reshuffled=False, accepted=False, steps=4)
    with pytest.raises(SecurityError, match=r"627 bits about 600 rows.* 19 rows a"):
        check_gradient_leak("shop", X, [slice(0, 600)], reshuffled=False, accepted=False, steps=5)


def test_the_arbiter_knows_second_moments_after_as_many_local_steps_as_columns(
    small_job, tmp_path, tap, monkeypatch
):
    """Not protected. It opens gradients and computes the steps: X'X is one by the other."""
    monkeypatch.setattr(Adaptive, "steps", lambda *_: 5)
    model = vfl.LogisticRegression(epochs=1, optimizer="sgd", learning_rate=RATE, l2=0.0)
    schedule = ScheduleSpec("adaptive", local_steps=5)
    small = small_job(
        passives=2, model=model, schedule=schedule, rows=400, strangers=0, test_fraction=0.0
    )
    vfl.run_job(small.job, folder=tmp_path / "run")
    opened, steps = [], []
    for frame in tap.received_by("arbiter") + tap.received_by("p1"):
        message, envelope, _ = unpack(np.frombuffer(frame, np.uint8))
        if envelope.kind == "train.gradient" and envelope.sender == "p1":
            opened.append(message.values.body)  # the mock's are in the clear
        elif envelope.kind == "train.step":
            steps.append(message.values.value)
    moved = -np.cumsum(steps[:-1], axis=0)
    found = np.linalg.solve(moved, np.array(opened)[1:] - opened[0]) * 4
    X = small.tables.columns["p1"]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(found, X.T @ X, rtol=1e-6, atol=1e-4)
