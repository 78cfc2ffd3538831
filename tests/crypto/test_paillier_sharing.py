"""Masked products: two shares that add up, of which neither says anything alone."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, ReleaseBudgetError
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.paillier import PaillierScheme, sharing
from vfl_crypto.paillier.scheme import DATA, PLAIN

SCHEME = PaillierScheme(key_bits=2048, threads=1, window=5)
SHORT = PaillierScheme(2048, FixedPoint(10, 20), FixedPoint(4, 12), threads=1, window=5)


@pytest.fixture(scope="module")
def holder():
    return SCHEME.generate()


def signed(words, bits):
    return [int(w) - (1 << bits) * (int(w) >> (bits - 1)) for w in words]


@settings(max_examples=8)
@given(n=st.integers(1, 7), f=st.integers(1, 30), seed=st.integers(0, 99), short=st.booleans())
def test_shares_add_up_to_the_product_or_one_unit_more(holder, n, f, seed, short):
    scheme = SHORT if short else SCHEME
    data, plain = (FixedPoint(10, 20), FixedPoint(4, 12)) if short else (DATA, PLAIN)
    owner = scheme.holder(holder._private)
    encryptor = scheme.encryptor(owner.public_key)
    rng = np.random.default_rng(seed)
    top, most = 2.0**data.integer_bits - 1, 2.0**plain.integer_bits - 1
    d, X = rng.uniform(-top, top, n), rng.uniform(-most, most, (n, f))
    d[0], X[0] = top, -most
    masked, ours = encryptor.mask(encryptor.rmatmul(X, encryptor.encrypt(d)))
    theirs = owner.share(masked)
    assert masked.fresh
    assert (ours.modulus_bits, ours.scale_bits) == (theirs.modulus_bits, theirs.scale_bits)
    exact = plain.encode(X).astype(object).T @ data.encode(d).astype(object)
    dropped = data.fraction_bits + plain.fraction_bits - ours.scale_bits
    assert (dropped == 0) == short  # short values fit 64 bits as they are
    total = signed(ours.values + theirs.values, 64)
    assert all(
        got - (v >> dropped) in ((0,) if short else (0, 1))
        for got, v in zip(total, exact, strict=True)
    )


def test_masks_fill_their_range_and_are_new_every_time(holder):
    """64 bits more than the value: sums of 400 top bits are those of fair coins."""
    values = sharing.masks(400, 90)
    assert len(set(values)) == 400
    assert max(values).bit_length() == 154
    for bit in (0, 80, 153):
        assert abs(sum(v >> bit & 1 for v in values) - 200) < 70  # seven deviations
    encryptor = holder.encryptor
    product = encryptor.rmatmul(np.eye(3), encryptor.encrypt(np.ones(3)))
    (first, one), (second, two) = encryptor.mask(product), encryptor.mask(product)
    assert not np.array_equal(first.body, second.body)
    assert not set(one.values.tolist()) & set(two.values.tolist())


def test_the_key_holder_reads_the_product_without_a_mask_and_not_with_it(holder, monkeypatch):
    encryptor = holder.encryptor
    values = np.linspace(-8, 8, 40)
    product = encryptor.rmatmul(np.eye(40), encryptor.encrypt(values))

    def learned():
        """Correlation of what the key holder opens with what was to be hidden."""
        opened = np.array(holder._integers(encryptor.mask(product)[0]), dtype=float)
        return abs(np.corrcoef(opened, values)[0, 1]) if np.ptp(opened) else 0.0

    assert learned() < 6 / math.sqrt(40)  # six deviations of a correlation of nothing
    assert all(m >> 100 for m in holder._integers(encryptor.mask(product)[0]))
    monkeypatch.setattr(sharing, "masks", lambda count, bits: [0] * count)
    assert learned() == pytest.approx(1.0)


def test_a_share_is_not_a_value_and_a_value_is_not_a_share(holder):
    encryptor = holder.encryptor
    product = encryptor.rmatmul(np.eye(2), encryptor.encrypt(np.ones(2)))
    masked, _ = encryptor.mask(product)
    for call in (
        lambda: holder.decrypt(masked),
        lambda: holder.share(product),
        lambda: holder.share(encryptor.pack(product)),
        lambda: encryptor.encrypt(np.zeros(2), onto=masked),
        lambda: encryptor.add(masked, masked),
        lambda: encryptor.mask(masked),
        lambda: encryptor.mask(encryptor.encrypt(np.ones(2))),
    ):
        with pytest.raises(KeyMismatchError):
            call()
    unbounded = encryptor.encrypt(np.array([2.0**200, 0.0]), onto=product)
    with pytest.raises(EncodingOverflowError, match="no mask"):
        encryptor.mask(unbounded)
    with pytest.raises(EncodingOverflowError, match="no mask"):
        holder.share(dataclasses.replace(masked, terms=0))
    with pytest.raises(KeyMismatchError, match="the same fixed points"):
        holder.share(dataclasses.replace(masked, terms=masked.terms * 4))


def test_opened_shares_are_counted():
    holder = SCHEME.generate()
    encryptor = holder.encryptor
    masked, ours = encryptor.mask(
        encryptor.rmatmul(np.eye(2), encryptor.encrypt(np.array([1.5, -2.0])))
    )
    before = holder.openings_left
    theirs = holder.open_share(holder.share(masked))
    assert holder.openings_left == before - 2
    values = np.array(signed(ours.values + theirs.values, 64)) * 2.0**-ours.scale_bits
    assert values == pytest.approx([1.5, -2.0], abs=2 * 2.0**-ours.scale_bits)
    holder._door.opened = 2**20 - 1
    with pytest.raises(ReleaseBudgetError):
        holder.open_share(theirs)
