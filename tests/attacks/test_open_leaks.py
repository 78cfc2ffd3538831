"""Labels from the gradients that level `open` gives to a passive party.

It is honest but curious: it knows its columns X and, per batch, X'd over the rows, in steps of
2^(e - 16). At the start d is the share of the rarer class minus the label, so a residual's sign is
the label, and the share is among what the party may guess. With the guards off the labels are
solved for; with them on no such gradient is ever opened, and from those that are the same solver
learns nothing.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest

import vfl
from vfl.errors import JobError, SecurityError
from vfl.messages import unpack
from vfl.protocols.open_gradient import Columns


@pytest.fixture
def attack(small_job, tmp_path, monkeypatch):
    """Train one epoch of p0's noise against its labels, then be p0: (guess, truth) in +-1."""

    def run(*, features, rows, batch_size=None, change=None, scale="standard", **options):
        opened = []
        gradient = Columns.gradient

        def watched(self, share, limbs, exponent):
            opened.append(gradient(self, share, limbs, exponent))
            return opened[-1]

        monkeypatch.setattr(Columns, "gradient", watched)
        model = vfl.LogisticRegression(
            epochs=1, optimizer="sgd", learning_rate=0.1, l2=0.0, batch_size=batch_size
        )
        tables = small_job(features=features, rows=rows, strangers=0).tables
        columns = tables.columns["p0"]
        columns[:] = np.random.default_rng(8).standard_normal(columns.shape)
        if change:
            change(columns)
        small = small_job(model=model, tables=tables, security="open", test_fraction=0.0, **options)
        parties = [
            msgspec.structs.replace(p, scale=scale) if p.name == "p0" else p
            for p in small.job.parties
        ]
        vfl.run_job(msgspec.structs.replace(small.job, parties=parties), folder=tmp_path / "run")
        tag = b"vfl row order" + bytes(16)  # of seed 0
        order = sorted(tables.joint, key=lambda i: hashlib.sha256(tag + i.encode()).digest())
        place = {name: row for row, name in enumerate(tables.ids["p0"])}
        X = columns[[place[name] for name in order]]
        if scale == "standard":
            X = (X - X.mean(axis=0)) / X.std(axis=0)
        count = rows // batch_size if batch_size else 1
        parts = np.split(X, count)
        assert len(opened) == count
        d = np.concatenate(
            [np.linalg.lstsq(part.T, g * len(part), rcond=None)[0]
             for part, g in zip(parts, opened, strict=True)]
        )  # fmt: skip
        return -d, np.array([1.0 if tables.label[name] else -1.0 for name in order])

    return run


def right(guess, truth):
    return np.mean(np.sign(guess) == truth)


def rare_flag(columns):
    """Column 1 marks one row."""
    columns[:, 1] = 0.0
    columns[17, 1] = 1.0


OFF = {"accept_gradient_leak": True, "accept_score_leak": True}
SOLVABLE = [
    ({"features": 60, "rows": 60}, SecurityError, r"60 of 60 rows .* leverage above 0\.5"),
    ({"features": 18, "rows": 96, "batch_size": 12}, JobError, "fewer than 512 rows"),
]


@pytest.mark.parametrize(("options", "_error", "_match"), SOLVABLE, ids=["columns", "batches"])
def test_a_small_batch_shows_every_label_with_the_guards_off(attack, options, _error, _match):
    guess, truth = attack(**options, **OFF)
    assert right(guess, truth) > 0.98


@pytest.mark.parametrize(("options", "error", "match"), SOLVABLE, ids=["columns", "batches"])
def test_the_guards_refuse_it_and_nothing_is_opened(attack, tap, options, error, match):
    with pytest.raises(error, match=match):
        attack(**options, accept_score_leak=True)
    kinds = {unpack(np.frombuffer(frame, np.uint8))[1].kind for *_, frame in tap.frames}
    assert not kinds & {"open.residual", "open.product", "open.gradient"}


def test_a_rare_flag_shows_the_label_of_the_one_who_has_it(attack):
    guess, truth = attack(features=3, rows=60, change=rare_flag, scale="none", **OFF)
    sure = np.abs(guess) > 0.3
    assert sure.sum() == 1
    assert right(guess[sure], truth[sure]) == 1.0


def test_and_the_guard_refuses_the_flag(attack):
    with pytest.raises(SecurityError, match=r"1 of 600 rows .* leverage above 0\.5"):
        attack(features=3, rows=600, change=rare_flag, scale="none", accept_score_leak=True)


@pytest.mark.parametrize(
    "options", [{"features": 4, "rows": 512}, {"features": 8, "rows": 1024, "batch_size": 512}]
)
def test_behind_the_guards_the_same_solver_guesses(attack, options):
    """As many bits as may be opened tell nothing of a row: each keeps h_i of its residual."""
    guess, truth = attack(**options)
    assert abs(right(guess, truth) - 0.5) < 6 * 0.5 / np.sqrt(len(truth))
    assert np.abs(guess).max() < 0.25


def test_as_many_bits_as_rows_would_be_needed_and_are_refused(attack):
    """No row stands out in 16 columns of 240, yet 256 bits about 240 labels may have one answer."""
    with pytest.raises(SecurityError, match="256 bits about 240 rows"):
        attack(features=16, rows=240, accept_score_leak=True)
