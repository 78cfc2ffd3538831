"""What a passive party makes of a run on shares: its own shares, moves, curvature, coefficients.

Shares of gradients and scores are its own masks and tell nothing. Its coefficients are the result;
they are sums of residuals over its rows, so what isolates a row in them gives its label away.
"""

from __future__ import annotations

import numpy as np
import pytest
from shared_views import UNIFORM, chi_square, decrypted, run

from vfl.errors import SecurityError
from vfl.models.families import LOGISTIC, POISSON, balanced
from vfl.models.whitening import Whitening
from vfl.protocols.blocks import HANDED_BITS
from vfl_crypto.words import Words


def labels(rows, rng, share=0.5):
    return (rng.random(rows) < share).astype(float)


def solved(X, coordinates):
    """Residuals (n,) up to scale, of least norm, from X~'d."""
    whitened = Whitening.fit(X, 0.25, 2, 0.0).columns
    return np.linalg.lstsq(whitened.T, coordinates, rcond=None)[0]


# gradients


@pytest.fixture
def wide(play, tap, tmp_path):
    """More columns than rows, which say nothing about the labels: (views, X, y)."""
    rng = np.random.default_rng(21)
    X = rng.standard_normal((240, 300))
    X -= X.mean(axis=0)
    y = labels(240, rng)
    return run(play, tap, tmp_path, {"p": X}, rng.standard_normal((240, 2)), y, rounds=2), X, y


def test_both_shares_of_a_gradient_give_every_label_and_one_gives_none(wide):
    views, X, y = wide
    own = next(share for shape, share in views.kept if shape[0] < shape[1])
    theirs = decrypted(views.of("gradient")[0].values)
    right = (solved(X, (own + theirs).signed(44)) < 0) == (y > 0)
    assert right.all()  # protection off: the active party's share beside the own one
    right = (solved(X, own.signed(44)) < 0) == (y > 0)
    assert abs(right.mean() - 0.5) < 6 * 0.5 / np.sqrt(len(y))


def test_what_the_party_keeps_is_uniform(wide):
    views, *_ = wide
    for bits in (52, 96):
        shares = [share for _, share in views.kept if share.bits == bits]
        assert shares and chi_square(shares) < UNIFORM


# coefficients: what they say is said, but no more


def test_as_many_columns_as_rows_hold_every_label_in_the_coefficients(wide, play, tap, tmp_path):
    """So the party is refused such a model, unless the leak is accepted."""
    views, X, y = wide
    coordinates = Whitening.fit(X, 0.25, 2, 0.0).coordinates(views.trained["p"].weights)[:, 0]
    assert np.array_equal(solved(X, -coordinates) < 0, y > 0)
    with pytest.raises(SecurityError, match="p: 240 of 240 rows have a leverage"):
        run(play, tap, tmp_path / "again", {"p": X}, X[:, :2], y, rounds=1, leverage=True)


@pytest.mark.parametrize("label", [0, 1])
def test_a_flag_of_one_row_has_its_label_in_the_coefficient(play, tap, tmp_path, label):
    """Such columns are refused in the same way."""
    rng = np.random.default_rng(22)
    X, y = rng.standard_normal((1000, 4)), labels(1000, rng)
    X[:, 3] = 0.0
    X[17, 3], y[17] = 1.0, label
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    views = run(play, tap, tmp_path, {"p": X}, rng.standard_normal((1000, 2)), y, rounds=2)
    assert (views.trained["p"].weights[3, 0] > 0) == bool(label)
    with pytest.raises(SecurityError, match="p: 1 of 1000 rows have a leverage"):
        run(play, tap, tmp_path / "again", {"p": X}, X[:, :2], y, rounds=2, leverage=True)


def test_a_row_that_stands_out_beside_the_intercept_is_refused(play, tap, tmp_path):
    """A column of ones but for one row is the intercept and a flag."""
    rng = np.random.default_rng(24)
    X, y = rng.standard_normal((1000, 4)), labels(1000, rng)
    X[:, 3] = 1.0
    X[17, 3] = 0.0
    with pytest.raises(SecurityError, match="p: 1 of 1000 rows have a leverage"):
        run(play, tap, tmp_path, {"p": X}, X[:, :2], y, rounds=1, leverage=True)


@pytest.fixture
def usual(play, tap, tmp_path):
    """Ten columns, of which all say something, and 2000 rows: (views, X, y)."""
    rng = np.random.default_rng(23)
    X, own = rng.standard_normal((2000, 10)), rng.standard_normal((2000, 2))
    score = X @ rng.standard_normal(10) / 3 + own @ [1.0, -1.0]
    y = (rng.random(2000) < 1 / (1 + np.exp(-score))).astype(float)
    return run(play, tap, tmp_path, {"p": X}, own, y, rounds=5, l2=0.01), X, y


def test_the_last_message_follows_from_the_coefficients_and_the_own_share(usual):
    """So it says nothing else: whoever knows the two can write it himself, bit for bit."""
    views, X, _ = usual
    (message,) = views.of("coefficients")
    received = Words(message.values.value, HANDED_BITS)
    whitening = Whitening.fit(X, 0.25, 2, 0.01)
    u = whitening.coordinates(views.trained["p"].weights)[:, 0]
    known = Words.of(np.rint(np.ldexp(u, 24)).astype(np.int64), HANDED_BITS)
    written = known - views.end["p"].modulo(HANDED_BITS)
    assert written.to_list() == received.to_list()


# everything together


def accuracy(seen, y):
    """Of labels of the second half of all rows, by a linear probe that learnt on the first."""
    seen, half = np.column_stack([np.ones(len(y)), seen]), len(y) // 2
    probe = np.linalg.lstsq(seen[:half], y[:half], rcond=None)[0]
    return float(np.mean((seen[half:] @ probe > 0.5) == (y[half:] > 0.5)))


def transcript(views, X):
    """The party's shares of all rounds, per row: of scores (n, 5), and of gradients (n, 5)."""
    whitened = Whitening.fit(X, 0.25, 2, 0.01).columns
    scores = [share.signed(40) for shape, share in views.kept if shape[0] > shape[1]]
    steps = [whitened @ share.signed(44) for shape, share in views.kept if shape[0] < shape[1]]
    return [np.column_stack(seen) / np.std(seen, axis=1) for seen in (scores, steps)]


def test_a_probe_of_all_that_a_party_has_is_no_better_than_its_columns_and_coefficients(usual):
    views, X, y = usual
    known = np.column_stack([X, X @ views.trained["p"].weights])
    scores, steps = transcript(views, X)
    alone, beside = accuracy(known, y), accuracy(np.column_stack([known, scores, steps]), y)
    print(f"columns and coefficients {alone:.3f}, and transcript {beside:.3f}")
    assert alone > 0.6
    assert beside - alone < 6 * 0.5 / np.sqrt(len(y) / 2)
    for column in scores.T:
        assert abs(np.corrcoef(column, y)[0, 1]) < 6 / np.sqrt(len(y))
    residuals = decrypted(views.of("residual")[0].values)[: len(y)].signed()  # protection off
    assert accuracy(np.column_stack([known, residuals / residuals.std()]), y) == 1.0


# what is said in the open: moves and curvature


def replayed(restarts, count):
    """Momenta of advances when it restarts at those rounds: t / (t + 3), in steps of 1 / 256."""
    momenta, since = [], 0
    for round_ in range(count):
        since = 0 if round_ in restarts else since
        momenta.append(round(256 * since / (since + 3)) / 256)
        since += 1
    return momenta


def test_moves_say_how_many_rounds_and_at_which_the_loss_rose(play, tap, tmp_path):
    """One bit a round: the momenta follow from the rounds at which it restarted."""
    rng = np.random.default_rng(24)
    base = rng.standard_normal((800, 1))
    X, own = base + 0.1 * rng.standard_normal((800, 6)), base + 0.1 * rng.standard_normal((800, 2))
    y = (rng.random(800) < 1 / (1 + np.exp(-3 * base[:, 0]))).astype(float)
    views = run(play, tap, tmp_path, {"p": X}, own, y, rounds=60, accepted=True)
    *moves, last = views.of("move")
    assert last.what.value == "stop" and len(moves) == 60
    assert all(m.what.value == "advance" and m.sizes.value[0] == 1.0 for m in moves)
    momenta = [m.sizes.value[1] for m in moves]
    restarts = {t for t in range(1, 60) if momenta[t] == 0.0}
    assert restarts and momenta == replayed(restarts, 60)


def test_curvature_says_how_large_the_smallest_class_is_and_what_counts_average():
    y = np.zeros((1000, 1))
    y[:130] = 1.0
    told = LOGISTIC.curvature(y, balanced(y[:, 0]))
    assert 1 / (2 * told / 0.25) == pytest.approx(0.13)  # of all rows
    assert LOGISTIC.curvature(y, np.ones(1000)) == 0.25  # without class weights: nothing
    counts = np.random.default_rng(25).poisson(1.7, (1000, 1)).astype(float)
    assert POISSON.curvature(counts, np.ones(1000)) == pytest.approx(counts.mean())
