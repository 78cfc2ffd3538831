"""The lattice behind `LinearScheme`: rounds of the protocol, shares, refusals, foreign bytes."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
    ReleaseBudgetError,
    ReleaseError,
)
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.lattice import LatticeScheme
from vfl_crypto.lattice.parameters import COMPACT
from vfl_crypto.linear import Matrix

SCHEME = LatticeScheme(threads=2)
HOLDER = SCHEME.generate()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)
OTHER = SCHEME.encryptor(SCHEME.generate().public_key)


def quantised(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values * 2.0**bits) * 2.0**-bits


def exact(X: np.ndarray, *d: np.ndarray) -> np.ndarray:
    """X^T (d_1 + d_2 + ...) for the quantised factors."""
    return quantised(X, 10).T @ sum(quantised(part, 17) for part in d)


def opened(ciphertext) -> np.ndarray:
    return HOLDER.decrypt(ciphertext)._values


@settings(max_examples=20)
@given(
    rows=st.one_of(st.integers(1, 300), st.integers(8000, 9000)),
    features=st.integers(1, 70), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_round_is_exact_until_the_door_rounds(rows, features, seed):
    """Two encryptions added, multiplied, flooded: the value of the quantised factors."""
    rng = np.random.default_rng(seed)
    X, d, e = rng.normal(size=(rows, features)), rng.normal(size=rows), rng.normal(size=rows)
    v = quantised(rng.normal(size=features) * 100, 27)
    total = PUBLIC.encrypt(e, onto=PUBLIC.encrypt(d))
    departed = PUBLIC.encrypt(v, onto=PUBLIC.rmatmul(X, total))
    assert np.array_equal(opened(departed), exact(X, d, e) + v)
    assert departed.fresh and departed.layout == "sums" and departed.count == features


def test_values_of_full_range_do_not_overflow():
    rows = 5000
    X, d = np.full((rows, 2), 255.9), np.full(rows, 63.9)
    X[:, 1] *= -1
    total = PUBLIC.encrypt(d)
    for _ in range(15):
        total = PUBLIC.encrypt(d, onto=total)
    departed = PUBLIC.encrypt(np.zeros(2), onto=PUBLIC.rmatmul(X, total))
    assert np.allclose(opened(departed), exact(X, *[d] * 16), rtol=1e-15)
    with pytest.raises(EncodingOverflowError, match="holds 16"):
        PUBLIC.encrypt(d, onto=total)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_largest_product_and_the_largest_value_onto_it(sign):
    """Both reach a quarter of t: the sum is still right, one unit more is refused."""
    d = np.full(1, np.nextafter(64.0, 0.0))  # rounds up to 64
    total = PUBLIC.encrypt(d)
    for _ in range(15):
        total = PUBLIC.encrypt(d, onto=total)
    product = PUBLIC.rmatmul(np.full((1, 1), sign * np.nextafter(256.0, 0.0)), total)
    quarter = 2.0 ** (PUBLIC.formats.plan(1, 1).modulus_bits - 2 - product.scale_bits)
    assert opened(product) == sign * quarter
    unit = 2.0**-product.scale_bits
    departed = PUBLIC.encrypt(np.array([sign * (quarter - unit)]), onto=product)
    assert opened(departed) == sign * (2 * quarter - unit)
    with pytest.raises(EncodingOverflowError, match="value in units"):
        PUBLIC.encrypt(np.array([np.nextafter(quarter, 0.0)]), onto=product)


def test_rows_and_undeparted_products_decrypt_too():
    rng = np.random.default_rng(0)
    X, d = rng.normal(size=(9000, 3)), rng.normal(size=9000)
    for encryptor in (PUBLIC, HOLDER.encryptor):
        c = encryptor.encrypt(d)
        assert np.array_equal(opened(c), quantised(d, 17))
        assert np.array_equal(opened(PUBLIC.add(c, PUBLIC.encrypt(d))), 2 * quantised(d, 17))
        assert np.array_equal(opened(PUBLIC.rmatmul(X, c)), exact(X, d))


def test_the_key_holder_sends_half_the_bytes():
    d = np.ones(8192)
    seeded, public = HOLDER.encryptor.encrypt(d), PUBLIC.encrypt(d)
    assert seeded.nbytes < 0.51 * public.nbytes
    assert seeded.body.tobytes() != HOLDER.encryptor.encrypt(d).body.tobytes()


def test_a_matrix_is_prepared_once():
    rng = np.random.default_rng(1)
    X, d = Matrix(rng.normal(size=(600, 40))), rng.normal(size=600)
    scheme = LatticeScheme()
    holder = scheme.generate()
    encryptor = scheme.encryptor(holder.public_key)
    c = encryptor.encrypt(d)
    first = encryptor.rmatmul(X, c)
    assert scheme._budget.used > 0
    again = encryptor.rmatmul(X, c)
    assert np.array_equal(first.body, again.body)
    after = scheme.encryptor(scheme.generate().public_key)  # a new key keeps the tiles
    assert after._tiles(X) is encryptor._tiles(X)
    del X
    assert scheme._budget.used == 0


def test_opening_drops_low_bits_and_counts():
    holder = SCHEME.generate()
    encryptor = holder.encryptor
    d = np.linspace(-1, 1, 600)
    X = np.stack((d, d * 1e-5), axis=1)
    gradient = encryptor.encrypt(np.zeros(2), onto=encryptor.rmatmul(X, encryptor.encrypt(d)))
    budget = holder.openings_left
    assert budget == 6 * 2**16
    released = holder.release(holder.decrypt(gradient))
    assert holder.openings_left == budget - 2
    assert released.quantum >= 2.0 ** (16 - 27)
    assert np.array_equal(released.values % released.quantum, np.zeros(2))
    holder._door.opened = holder._door.budget - 1
    with pytest.raises(ReleaseBudgetError, match="rotate"):
        holder.release(holder.decrypt(gradient))


def test_what_is_out_of_range_is_refused():
    d, c = np.ones(4), PUBLIC.encrypt(np.ones(4))
    for bad in (64.0, -64.0, np.nan, np.inf):
        with pytest.raises(EncodingOverflowError):
            PUBLIC.encrypt(np.array([bad]))
    for bad in (256.0, np.nan):
        with pytest.raises(EncodingOverflowError, match="entry of the matrix"):
            PUBLIC.rmatmul(np.full((4, 1), bad), c)
    with pytest.raises(EncodingOverflowError, match="smaller batch"):
        PUBLIC.encrypt(np.ones(2**17 + 1))
    for call in (
        lambda: PUBLIC.encrypt(np.ones((2, 2))),
        lambda: PUBLIC.encrypt(np.ones(0)),
        lambda: PUBLIC.encrypt(np.ones(3), onto=c),
        lambda: PUBLIC.rmatmul(np.ones((3, 1)), c),
        lambda: PUBLIC.rmatmul(np.ones((4, 0)), c),
        lambda: PUBLIC.rmatmul(np.ones(4), c),
        lambda: PUBLIC.rmatmul(np.ones((4, 1)), PUBLIC.rmatmul(np.eye(4), c)),
        lambda: PUBLIC.add(c, PUBLIC.encrypt(np.ones(5))),
        lambda: PUBLIC.add(PUBLIC.rmatmul(np.eye(4), c), PUBLIC.rmatmul(np.eye(4), c)),
        lambda: PUBLIC.add(c, OTHER.encrypt(d)),
        lambda: HOLDER.decrypt(OTHER.encrypt(d)),
        lambda: HOLDER.decrypt(replace(c, scale_bits=18)),
        lambda: HOLDER.decrypt(replace(c, layout="sums")),
    ):
        with pytest.raises(KeyMismatchError):
            call()


def test_what_departed_cannot_be_worked_on():
    departed = PUBLIC.encrypt(
        np.zeros(2), onto=PUBLIC.rmatmul(np.eye(2), PUBLIC.encrypt(np.ones(2)))
    )
    with pytest.raises(KeyMismatchError, match="only a product"):
        PUBLIC.encrypt(np.zeros(2), onto=departed)
    with pytest.raises(KeyMismatchError, match="not an encrypted vector"):
        PUBLIC.rows(departed)


def test_the_compact_set_does_not_flood():
    scheme = LatticeScheme(COMPACT, FixedPoint(3, 8), FixedPoint(3, 8), terms=0)
    holder = scheme.generate()
    encryptor = scheme.encryptor(holder.public_key)
    X, d = np.ones((4096, 3)), np.ones(4096)
    product = encryptor.rmatmul(X, holder.encryptor.encrypt(d))
    assert holder.decrypt(product)._values.tolist() == [4096.0] * 3
    with pytest.raises(KeyMismatchError, match="key holder alone"):
        encryptor.encrypt(d)
    with pytest.raises(InsecureParametersError, match="no room to flood"):
        encryptor.encrypt(np.zeros(3), onto=product)
    with pytest.raises(KeyMismatchError, match="both sides must agree"):
        SCHEME.encryptor(holder.public_key)


def test_many_threads_prepare_a_matrix_once():
    scheme = LatticeScheme(levels=4)
    holder = scheme.generate()
    encryptor = scheme.encryptor(holder.public_key)
    rng = np.random.default_rng(5)
    X, c = Matrix(rng.normal(size=(600, 40))), encryptor.encrypt(rng.normal(size=600))
    with ThreadPoolExecutor(8) as pool:
        products = list(pool.map(lambda _: encryptor.rmatmul(X, c).body.tobytes(), range(16)))
    assert len(set(products)) == 1
    used = scheme._budget.used
    assert used == sum(tile.nbytes for tile in encryptor._tiles(X)._kept.values())


@pytest.mark.parametrize("levels", [-1, 10])
def test_packing_levels_have_a_range(levels):
    with pytest.raises(InsecureParametersError, match="0 to 9"):
        LatticeScheme(levels=levels)


def test_secrets_are_not_copied_and_not_printed():
    for thing in (HOLDER, HOLDER._secret):
        with pytest.raises(ReleaseError):
            pickle.dumps(thing)
        assert "array" not in repr(thing)
    holder = SCHEME.generate()
    c = holder.encryptor.encrypt(np.ones(3))
    encryptor = holder.encryptor
    holder.close()
    with pytest.raises(CryptoError, match="closed"):
        holder.decrypt(c)
    assert encryptor.encrypt(np.ones(8192)).nbytes > 150_000 * 1.9  # no secret, no seed
