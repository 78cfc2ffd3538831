"""A passive party's columns from the products that come back to the active party, which decrypts.

It knows what it sent: of the weights its uniform share a(t), of the residuals d(t). Without masks,
X a(t) and X'd(t) are equations in X: a(t) are known words modulo 2^52, so X follows by elimination
after as many rounds as columns. (What a ciphertext itself holds: `test_lattice_share_leaks`.)
"""

from __future__ import annotations

import numpy as np
import pytest
from shared_views import UNIFORM, chi_square, decrypted, run

from vfl.models.whitening import Whitening
from vfl_crypto.oracles.mock import MockEncryptor
from vfl_crypto.sharing import masked_layout, modulus_bits
from vfl_crypto.words import Words

ROWS, COLUMNS, ROUNDS = 300, 3, 40
T = 1 << 52


@pytest.fixture
def session(play, tap, tmp_path):
    """(views, whitened columns as the protocol multiplies with them)."""

    def of():
        rng = np.random.default_rng(31)
        X, own = rng.standard_normal((ROWS, COLUMNS)), rng.standard_normal((ROWS, 2))
        y = (rng.random(ROWS) < 1 / (1 + np.exp(-X @ [1.0, -1.0, 0.5] - own[:, 0]))).astype(float)
        views = run(play, tap, tmp_path, {"p": X}, own, y, rounds=ROUNDS, accepted=True)
        return views, np.rint(np.ldexp(Whitening.fit(X, 0.25, 2, 0.0).columns, 16))

    return of


@pytest.fixture
def unmasked(monkeypatch):
    """Protection off: products of that many rows are returned as they are."""

    def of(rows):
        multiply = MockEncryptor.multiply

        def bare(self, plain, ciphertext):
            if plain.shape[0] != rows:
                return multiply(self, plain, ciphertext)
            bits = modulus_bits(ciphertext, "words")
            product = plain @ self.words(ciphertext, "words")
            return self.wrap(product, masked_layout(bits)), Words.zeros(rows, bits)

        monkeypatch.setattr(MockEncryptor, "multiply", bare)

    return of


def solved(sent, returned):
    """X (n, r) from X a(t) = b(t) modulo 2^52: Gauss with odd pivots, in Python's integers.

    Forty rounds have none for one of three columns once in 2^37 runs.
    """
    system = [a.to_list() + b.to_list() for a, b in zip(sent, returned, strict=True)]
    for k in range(COLUMNS):
        pivot = next(t for t in range(k, len(system)) if system[t][k] % 2)
        system[k], system[pivot] = system[pivot], system[k]
        inverse = pow(system[k][k], -1, T)
        system[k] = [v * inverse % T for v in system[k]]
        for t in range(len(system)):
            if t != k and (factor := system[t][k]):
                system[t] = [
                    (v - factor * p) % T for v, p in zip(system[t], system[k], strict=True)
                ]
    X = np.array([row[COLUMNS:] for row in system[:COLUMNS]], dtype=np.float64).T
    return np.where(X >= T / 2, X - T, X)


def key_holder_s(views):
    sent = [decrypted(m.values) for m in views.of("weights")]
    return solved(sent, [decrypted(m.values) for m in views.of("products")])


def test_products_without_masks_give_every_entry_of_the_columns(session, unmasked):
    unmasked(ROWS)
    views, X = session()
    assert np.array_equal(key_holder_s(views), X)


def test_masked_products_give_none(session):
    views, X = session()
    found = key_holder_s(views)
    assert not (np.abs(found - X) < 2**20).any()  # chance: 900 entries of 2^-31 each
    for column, true in zip(found.T, X.T, strict=True):
        assert abs(np.corrcoef(column, true)[0, 1]) < 6 / np.sqrt(ROWS)


def first_gradient(views, X):
    """What the key holder reads of X'd in the first round, and what X'd is."""
    d = decrypted(views.of("residual")[0].values)[:ROWS].signed(44 - 16)
    return decrypted(views.of("gradient")[0].values).signed(44), np.ldexp(X, -16).T @ d


def test_gradients_without_masks_are_moments_of_columns_and_labels(session, unmasked):
    unmasked(COLUMNS)
    views, X = session()
    found, true = first_gradient(views, X)
    np.testing.assert_allclose(found, true, atol=1e-6)  # its share of the weights is still zero


def test_masked_gradients_are_far_from_any_moment(session):
    views, X = session()
    found, true = first_gradient(views, X)
    assert (np.abs(true) < 2.0).all() and (np.abs(found) > 2.0**8).all()  # less: 2^-42 each


@pytest.mark.parametrize(("kind", "bits"), [("products", 52), ("gradient", 96)])
def test_what_the_key_holder_reads_is_uniform(session, kind, bits):
    views, _ = session()
    shares = [decrypted(m.values) for m in views.of(kind)]
    assert all(share.bits == bits for share in shares)
    assert chi_square(shares) < UNIFORM


def test_the_variant_without_masks_is_not_uniform(session, unmasked):
    """The test above sees what it is to see."""
    unmasked(COLUMNS)
    views, _ = session()
    assert chi_square([decrypted(m.values) for m in views.of("gradient")]) > 10 * UNIFORM
