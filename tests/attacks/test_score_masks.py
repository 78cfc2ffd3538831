"""One passive party's scores among several: the active party is to learn the sum and nothing else.

Of each party it gets two shares of the scores, of which one is under pairwise masks. Without masks
they add up to that party's scores; and sums over two sets of parties differ by whoever is in one.
"""

from __future__ import annotations

import numpy as np
import pytest
from shared_views import run

from vfl.context import Context
from vfl.errors import ProtocolError
from vfl.messages import Public
from vfl.protocols import shared
from vfl.protocols.shared_messages import Weights
from vfl_crypto.secagg import PairwiseMasker

ROWS = 1500


class NoMasks:
    """A masker that masks nothing."""

    def mask_words(self, words, context):
        return words


@pytest.fixture
def session(play, tap, tmp_path):
    """Three passive parties of three columns each, two rounds: (views, columns)."""

    def of():
        rng = np.random.default_rng(11)
        columns = {name: rng.standard_normal((ROWS, 3)) for name in ("p0", "p1", "p2")}
        own = rng.standard_normal((ROWS, 2))
        score = own @ [1.0, -1.0] + sum(X @ [0.8, -0.5, 0.3] for X in columns.values())
        y = (rng.random(ROWS) < 1 / (1 + np.exp(-score))).astype(float)
        return run(play, tap, tmp_path, columns, own, y, rounds=2), columns

    return of


def last_scores(views, columns, party):
    """The truth, of the last probe: whose weights the party was handed."""
    return (columns[party] @ views.trained[party].weights)[:, 0]


def correlation(a, b):
    return abs(np.corrcoef(a, b)[0, 1])


@pytest.fixture
def unmasked(monkeypatch):
    """Protection off; or the active party's view when the other passive parties tell it masks."""

    async def nothing(ctx, scope):
        return NoMasks()

    monkeypatch.setattr(shared, "agree", nothing)


@pytest.mark.usefixtures("unmasked")
def test_without_masks_both_shares_give_a_party_s_scores(session):
    views, columns = session()
    for party in columns:
        true = last_scores(views, columns, party)
        np.testing.assert_allclose(views.scores(party)[:, -1], true, atol=3e-4)


def test_under_masks_they_are_noise_and_the_sum_is_all_there_is(session):
    views, columns = session()
    total = views.scores()[:, -1]
    truths = {party: last_scores(views, columns, party) for party in columns}
    np.testing.assert_allclose(total, sum(truths.values()), atol=9e-4)
    for party, true in truths.items():
        guess = views.scores(party)[:, -1]
        assert correlation(guess, true) < 6 / np.sqrt(ROWS)
        rest = true - np.polyval(np.polyfit(total, true, 1), total)  # beyond the sum
        assert correlation(guess, rest) < 6 / np.sqrt(ROWS)
        print(
            f"{party}: {correlation(total, true):.2f} from the sum, {correlation(guess, true):.3f}"
        )


def test_two_parties_of_three_together_do_not_open_the_third_without_its_mask(session):
    """Every two share a mask, so a set without p2 is as uniform as one party alone."""
    views, columns = session()
    guess = views.scores("p0", "p1")[:, -1]
    true = last_scores(views, columns, "p0") + last_scores(views, columns, "p1")
    assert correlation(guess, true) < 6 / np.sqrt(ROWS)


def test_all_but_one_that_share_what_they_know_get_the_last_one_s_scores(session):
    """No protection against collusion: the sum less the colluders' own."""
    views, columns = session()
    colluders = sum(last_scores(views, columns, p) for p in ("p0", "p1"))
    found = views.scores()[:, -1] - colluders
    np.testing.assert_allclose(found, last_scores(views, columns, "p2"), atol=9e-4)


@pytest.mark.usefixtures("unmasked")
def test_a_colluder_s_many_columns_pay_for_another_one_s_few(play, tap, tmp_path):
    """No protection: 5 rounds are within the budget of ten columns, of which one party has two."""
    rng = np.random.default_rng(12)
    columns = {"many": rng.standard_normal((ROWS, 8)), "few": rng.standard_normal((ROWS, 2))}
    own = rng.standard_normal((ROWS, 1))
    score = columns["many"].sum(axis=1) / 3 + columns["few"] @ [1.0, -0.5] + own[:, 0]
    y = (rng.random(ROWS) < 1 / (1 + np.exp(-score))).astype(float)
    seen = run(play, tap, tmp_path, columns, own, y).scores("few")
    assert seen.shape == (ROWS, 5)
    known = np.linalg.lstsq(seen[:100], columns["few"][:100], rcond=None)[0]
    away = columns["few"][100:] - seen[100:] @ known
    assert (away**2).mean() < 0.02


def test_sums_over_two_sets_show_whoever_is_in_one_of_them():
    """The variant that is refused below: contributors drop out after the fact."""
    maskers = {name: PairwiseMasker(name) for name in ("p0", "p1", "p2")}
    keys = {name: masker.public_key for name, masker in maskers.items()}
    for name, masker in maskers.items():
        masker.agree({peer: key for peer, key in keys.items() if peer != name})
    words = {name: np.arange(5, dtype=np.uint64) + 100 * k for k, name in enumerate(maskers)}

    def opened(names, context):
        masked = (maskers[n].mask_words(words[n], context, names) for n in names)
        return np.add.reduce(list(masked), dtype=np.uint64)

    difference = opened(["p0", "p1", "p2"], b"first") - opened(["p0", "p1"], b"second")
    assert np.array_equal(difference, words["p2"])


def test_a_passive_party_refuses_a_sum_over_anything_but_all(session, monkeypatch):
    send = Context.send

    async def without_the_last(self, to, message, *, scope):
        if isinstance(message, Weights):
            message = Weights(message.values, Public(message.contributors.value[:-1]))
        await send(self, to, message, scope=scope)

    monkeypatch.setattr(Context, "send", without_the_last)
    with pytest.raises(ProtocolError, match=r"asked to open a sum over \['p0', 'p1'\]; all"):
        session()


def carries(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """(what a sum modulo 2^32 says of its top four bits, who really wrapped) of three parties.

    Shares are below 2^28, their sum modulo 2^28 is always the same; masked ones are cut to `bits`
    before they are sent.
    """
    rng = np.random.default_rng(12)
    shares = rng.integers(0, 1 << 28, (3, 20_000), dtype=np.uint64)
    shares[2] = (np.uint64(12345) - shares[0] - shares[1]) % np.uint64(1 << 28)
    maskers = [PairwiseMasker(f"p{k}") for k in range(3)]
    for masker in maskers:
        masker.agree({m._name: m.public_key for m in maskers if m is not masker})
    cut = np.uint64((1 << bits) - 1)
    sent = [m.mask_words(own, b"a round") & cut for m, own in zip(maskers, shares, strict=True)]
    return np.sum(sent, axis=0) % (1 << 32) >> 28, shares.sum(axis=0) >> 28


def test_a_sum_that_is_wider_than_its_shares_counts_who_wrapped():
    told, wrapped = carries(32)
    assert np.array_equal(told, wrapped)


def test_masked_shares_are_no_wider_than_what_is_summed(session):
    told, wrapped = carries(28)
    assert correlation(told, wrapped) < 6 / np.sqrt(len(told))
    views, _ = session()
    assert all((m.values.value < 1 << 28).all() for m in views.of("masked_scores"))
