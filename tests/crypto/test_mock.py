"""The plaintext mock obeys the rules of a cipher and says that it protects nothing."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    KeyMismatchError,
    ReleaseBudgetError,
    ReleaseError,
    WireError,
)
from vfl_crypto.oracles.mock import MockScheme

SCHEME = MockScheme()
HOLDER = SCHEME.generate()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)


@given(rows=st.integers(1, 60), features=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_a_round_equals_numpy_exactly_until_the_door_rounds(rows, features, seed):
    rng = np.random.default_rng(seed)
    X, d, v = rng.normal(size=(rows, features)), rng.normal(size=rows), rng.normal(size=features)
    total = PUBLIC.add(PUBLIC.encrypt(d), PUBLIC.encrypt(d))
    departed = PUBLIC.encrypt(v, onto=PUBLIC.rmatmul(X, total))
    exact = X.T @ (d + d) + v
    assert np.array_equal(HOLDER.decrypt(departed)._values, exact)
    holder = MockScheme().generate()
    c = holder.encryptor.encrypt(exact)
    released = holder.release(holder.decrypt(c), 10)
    assert released.flood_std == 0.0
    assert np.abs(released.values - exact).max() <= np.abs(exact).max() * 2.0**-10


def test_it_says_that_it_protects_nothing():
    assert SCHEME.name == "mock" and not SCHEME.protects
    assert PUBLIC.info.security_bits == 0
    assert "protects nothing" in PUBLIC.info.parameters
    assert PUBLIC.info.key_id == HOLDER.encryptor.info.key_id


def test_fresh_is_what_encrypt_made_and_nothing_else():
    c = PUBLIC.encrypt(np.ones(3))
    product = PUBLIC.rmatmul(np.ones((3, 2)), c)
    assert c.fresh and PUBLIC.encrypt(np.ones(2), onto=product).fresh
    assert product.layout == "sums"
    assert not product.fresh and not PUBLIC.add(c, c).fresh


def test_an_encryption_keeps_its_own_copy():
    values = np.ones(3)
    c = PUBLIC.encrypt(values)
    values[0] = 7.0
    assert HOLDER.decrypt(c)._values.tolist() == [1.0, 1.0, 1.0]


def test_what_does_not_belong_together_is_refused():
    c = PUBLIC.encrypt(np.ones(3))
    product = PUBLIC.rmatmul(np.ones((3, 3)), c)
    foreign = MockScheme().generate().encryptor.encrypt(np.ones(3))
    wrong = [
        lambda: PUBLIC.add(c, foreign),
        lambda: HOLDER.decrypt(foreign),
        lambda: PUBLIC.rmatmul(np.ones((3, 1)), foreign),
        lambda: PUBLIC.encrypt(np.ones(3), onto=foreign),
        lambda: PUBLIC.add(c, PUBLIC.encrypt(np.ones(2))),
        lambda: PUBLIC.add(c, product),
        lambda: PUBLIC.encrypt(np.ones(2), onto=c),
        lambda: PUBLIC.encrypt(np.ones((3, 1))),
        lambda: PUBLIC.rmatmul(np.ones((2, 3)), c),
        lambda: PUBLIC.rmatmul(np.ones((3, 3)), product),
        lambda: PUBLIC.add(c, replace(c, scale_bits=4)),
        lambda: PUBLIC.add(c, replace(c, body=np.ones(3, dtype=np.float32))),
        lambda: PUBLIC.add(c, replace(c, body=np.ones(4))),
        lambda: PUBLIC.add(c, replace(c, layout="columns")),
        lambda: PUBLIC.add(c, replace(c, scheme="ckks")),
    ]
    for call in wrong:
        with pytest.raises(KeyMismatchError):
            call()


def test_values_that_are_not_finite_are_refused():
    for bad in (np.nan, np.inf):
        with pytest.raises(EncodingOverflowError):
            PUBLIC.encrypt(np.array([bad]))
        with pytest.raises(EncodingOverflowError):
            PUBLIC.rmatmul(np.array([[bad]]), PUBLIC.encrypt(np.ones(1)))


@pytest.mark.parametrize("bad", [b"", b"mock-public-1:", b"mock-public-1:" + b"z" * 64, b"x" * 78])
def test_bytes_that_are_no_public_key_are_refused(bad):
    with pytest.raises(WireError):
        SCHEME.encryptor(bad)


def test_the_budget_holds_the_key_closes_and_is_not_pickled():
    holder = MockScheme(openings=5).generate()
    c = holder.encryptor.encrypt(np.ones(3))
    holder.release(holder.decrypt(c))
    assert holder.openings_left == 2
    with pytest.raises(ReleaseBudgetError):
        holder.release(holder.decrypt(c))
    with pytest.raises(ReleaseError):
        pickle.dumps(holder)
    holder.close()
    with pytest.raises(CryptoError):
        holder.decrypt(c)
