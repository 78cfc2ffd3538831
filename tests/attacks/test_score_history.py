"""Columns of the only passive party, from the sums of scores that the active party keeps.

In round t it learns z(t) = X u(t) for each training row. For rows whose columns it knows (customers
of both that it asked) it regresses these on the scores, and reads the other rows off. With as many
rounds as columns nothing is left to guess; `ScoreBudget` stops at half.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from shared_views import run
from sklearn.datasets import load_breast_cancer

from vfl.data.bundled import CLINIC, IMAGING, LABORATORY
from vfl.errors import SecurityError

ROWS, KNOWN = 2000, 500
ROUNDS = (0, 1, 2, 3, 4, 6, 12, 24)
WIDTHS = (4, 12)
STEP = 2.0**-16  # in which scores are opened
TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")


def table(width: int, seed: int = 3):
    """Passive columns (n, width), two own ones, all a little correlated, and labels (n,)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, width + 2)) + 0.6 * rng.standard_normal((ROWS, 1))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    chance = 1 / (1 + np.exp(-X @ rng.standard_normal(width + 2)))
    return X[:, 2:], X[:, :2], (rng.random(ROWS) < chance).astype(float)


def explained(X, seen, known=KNOWN) -> np.ndarray:
    """R2 (f,) of columns X, in rows not known, from what is seen of all rows (n, k)."""
    seen = np.column_stack([np.ones(len(X)), seen])
    guess = seen[known:] @ np.linalg.lstsq(seen[:known], X[:known], rcond=None)[0]
    rest = X[known:]
    return 1 - ((rest - guess) ** 2).sum(axis=0) / ((rest - rest.mean(axis=0)) ** 2).sum(axis=0)


@pytest.fixture
def history(play, tap, tmp_path):
    """width -> (X, own columns and label, opened scores (n, rounds)); without a budget or with."""

    def of(width, *, rounds=None, accepted=False):
        X, own, y = table(width)
        folder = tmp_path / f"{width}-{accepted}"
        views = run(play, tap, folder, {"p": X}, own, y, rounds=rounds, accepted=accepted)
        return X, np.column_stack([own, y]), views.scores()

    return of


def test_with_more_rounds_than_columns_every_column_is_read_off(history):
    X, own, Z = history(4, rounds=6, accepted=True)
    assert explained(X, np.column_stack([own, Z])).min() > 0.99


def test_within_the_budget_half_of_what_was_hidden_stays_hidden(history):
    X, own, Z = history(4)
    assert Z.shape == (ROWS, 2)
    before, after = explained(X, own).mean(), explained(X, np.column_stack([own, Z])).mean()
    hidden = (1 - after) / (1 - before)
    assert 0.4 < hidden < 0.6
    assert explained(X, np.column_stack([own, Z])).max() < 0.95


def test_the_budget_says_nothing_of_the_scores_themselves(history):
    """Honestly: the best combination of columns is known in full from the first round."""
    X, _, Z = history(4)
    for z in Z.T:
        rest = z - X @ np.linalg.lstsq(X, z, rcond=None)[0]
        assert rest.std() < 2 * STEP < 1e-3 * z.std()


def test_more_rounds_than_the_budget_are_refused_by_the_passive_party(history):
    with pytest.raises(SecurityError, match="this job would open 4 scores of each training"):
        history(4, rounds=4)


def directions(X, Z) -> np.ndarray:
    """Cosines (k,) between the span of columns X and of the scores' r largest directions."""
    found = np.linalg.svd(Z, full_matrices=False)[0][:, : X.shape[1]]
    return np.linalg.svd(np.linalg.qr(X)[0].T @ found, compute_uv=False)


def test_the_span_of_the_columns_shows_without_any_known_row(history):
    """X up to an invertible matrix: whoever lies where another does, and how far apart they are."""
    X, _, Z = history(4, rounds=8, accepted=True)
    assert directions(X, Z).min() > 0.99
    X, _, Z = history(4)
    cosines = directions(X, Z)
    assert len(cosines) == 2 and cosines.min() > 0.99  # two of four directions, no more


def test_columns_of_few_values_are_solved_for_within_the_budget(play, tap, tmp_path):
    """No protection: a score of 17 bits tells 4096 rows of flags apart, budget or not."""
    rng = np.random.default_rng(5)
    flags = (rng.random((1500, 12)) < 0.3).astype(float)
    X = (flags - flags.mean(axis=0)) / flags.std(axis=0)
    y = (rng.random(1500) < 1 / (1 + np.exp(-X @ rng.standard_normal(12)))).astype(float)
    own = rng.standard_normal((1500, 2))
    z = run(play, tap, tmp_path, {"p": X}, own, y, rounds=1).scores()[:, 0]
    known = np.column_stack([np.ones(24), flags[:24]])
    weights = np.linalg.lstsq(known, z[:24], rcond=None)[0]
    patterns = ((np.arange(4096)[:, None] >> np.arange(12)) & 1).astype(float)
    scores = weights[0] + patterns @ weights[1:]
    order = np.argsort(scores)
    place = np.clip(np.searchsorted(scores[order], z[24:]), 1, 4095)
    nearer = np.abs(scores[order[place]] - z[24:]) < np.abs(scores[order[place - 1]] - z[24:])
    guess = patterns[order[np.where(nearer, place, place - 1)]]
    right = (guess == flags[24:]).all(axis=1).mean()
    print(f"rows with all 12 flags right: {right:.2f}")
    assert right > 0.95


def measured(history) -> list[list[float]]:
    """Per number of rounds: mean and largest R2 of 4 columns, then of 12."""
    lines: list[list[float]] = [[] for _ in ROUNDS]
    for width in WIDTHS:
        X, own, Z = history(width, rounds=max(ROUNDS), accepted=True)
        for line, rounds in zip(lines, ROUNDS, strict=True):
            found = explained(X, np.column_stack([own, Z[:, :rounds]]))
            line += [float(found.mean()), float(found.max())]
    return lines


def compare_with_security_md(lines: dict[str, list[float]]):
    """Cells to two digits, in the row of that name; deviations by masks and rounding are below."""
    for name, line in lines.items():
        print(f"| {name} |", " | ".join(f"{r2:.2f}" for r2 in line), "|")
    for name, line in lines.items():
        (printed,) = re.findall(rf"^\| {name} \|((?: \d\.\d\d \|)+)$", TEXT, re.MULTILINE)
        shown = [float(cell) for cell in printed.strip(" |").split(" | ")]
        np.testing.assert_allclose(shown, line, atol=0.02)


def test_security_md_has_the_measured_table(history):
    lines = {str(rounds): line for rounds, line in zip(ROUNDS, measured(history), strict=True)}
    compare_with_security_md(lines)


def test_security_md_has_what_shows_of_real_columns(play, tap, tmp_path):
    """The demo's columns of all 569 people, of whom 200 are known."""
    bundle = load_breast_cancer()
    names = [str(name) for name in bundle.feature_names]
    order = np.random.default_rng(0).permutation(569)
    values = ((bundle.data - bundle.data.mean(axis=0)) / bundle.data.std(axis=0))[order]
    clinic, imaging, laboratory = (
        values[:, [names.index(c) for c in party]] for party in (CLINIC, IMAGING, LABORATORY)
    )
    y = (bundle.target[order] == 0).astype(float)

    def line(blocks, rounds):
        accepted = rounds is not None
        folder = tmp_path / f"{len(blocks)}-{accepted}"
        views = run(play, tap, folder, blocks, clinic, y, rounds=rounds, accepted=accepted, l2=0.01)
        X, known = np.column_stack(list(blocks.values())), np.column_stack([clinic, y])
        before = explained(X, known, 200)
        after = explained(X, np.column_stack([known, views.scores()]), 200)
        return [float(r2) for found in (before, after) for r2 in (found.mean(), found.max())]

    one, two = {"laboratory": laboratory}, {"imaging": imaging, "laboratory": laboratory}
    lines = {
        "laboratory alone, 5 rounds": line(one, None),
        "laboratory alone, 100 rounds": line(one, 100),
        "both, 10 rounds": line(two, None),
        "both, 100 rounds": line(two, 100),
    }
    compare_with_security_md(lines)
