"""Several values in one ciphertext: exact up to the guard bits, and refused beyond them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.errors import CryptoError, EncodingOverflowError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.paillier.limbs import from_limbs
from vfl_crypto.paillier.packing import Slots
from vfl_crypto.paillier.scheme import DATA, PLAIN

SCHEME = PaillierScheme(key_bits=2048, threads=1, window=5)
TOP = 2.0**24 - 2.0**-28  # the largest value that DATA holds, nearly


@pytest.fixture(scope="module")
def holder():
    return SCHEME.generate()


def opened(holder, ciphertext):
    return holder.decrypt(ciphertext)._values.tolist()


@given(st.data(), st.integers(2, 700), st.integers(1, 40))
def test_slots_give_back_any_integers_below_half_their_range(data, bits, count):
    slots = Slots(bits, 2048)
    edge = (1 << (bits - 1)) - 1
    integers = data.draw(st.lists(st.integers(-edge, edge), min_size=count, max_size=count))
    for values in (integers, [edge] * count, [-edge] * count):
        plaintexts = slots.join(values)
        assert len(plaintexts) == slots.rows(count)
        assert all(abs(m) < 1 << 2046 for m in plaintexts)
        assert slots.split(plaintexts, count) == values


def test_a_plaintext_above_its_slots_is_an_error_not_a_number():
    slots = Slots(100, 2048)
    for bad in (1 << 300, -(1 << 300), 1 << 2045):
        with pytest.raises(CryptoError, match="exceeds its slots"):
            slots.split([bad], 3)


@pytest.mark.parametrize(
    "layout",
    ["packed-", "packed-1", "packed-2047", "packed-099", "packed-9٣", "packed-" + "9" * 99],
)
def test_layouts_that_cannot_be_are_refused(holder, layout):
    c = dataclasses.replace(holder.encryptor.encrypt(np.zeros(1)), layout=layout)
    with pytest.raises(WireError, match="layout"):
        holder.decrypt(c)


@settings(max_examples=8)
@given(n=st.integers(1, 9), f=st.integers(1, 45), seed=st.integers(0, 99))
def test_packed_results_are_the_results(holder, n, f, seed):
    rng = np.random.default_rng(seed)
    d, X = rng.uniform(-TOP, TOP, n), rng.uniform(-1023, 1023, (n, f))
    encryptor = SCHEME.encryptor(holder.public_key)
    product = encryptor.rmatmul(X, encryptor.encrypt(d))
    packed = encryptor.pack(product, additions=1)
    departing = encryptor.encrypt(np.full(f, 2.0**33), onto=packed)
    assert (packed.fresh, departing.fresh) == (False, True)
    assert len(departing.body) == -(-f // (2046 // (80 + n.bit_length() + 2)))
    assert opened(holder, packed) == opened(holder, product)
    exact = PLAIN.encode(X).astype(object).T @ DATA.encode(d).astype(object) + (1 << (33 + 46))
    assert opened(holder, departing) == [math.ldexp(float(m), -46) for m in exact]


def test_the_worst_sums_stay_in_their_slots_and_one_more_is_refused(holder):
    """Largest values, all of one sign beside all of the other, as often as was declared."""
    encryptor = holder.encryptor
    d, X = np.full(4, TOP), np.array([[1023.999], [-1023.999]] * 3).T.repeat(4, axis=0)
    product = encryptor.rmatmul(X, encryptor.add(encryptor.encrypt(d), encryptor.encrypt(d)))
    packed = encryptor.pack(product, additions=8)
    more = packed
    for _ in range(8):
        more = encryptor.encrypt(np.array([2.0**33, -(2.0**33)] * 3), onto=more)
    assert more.terms == packed.terms + 8 == 16
    want = np.array(opened(holder, product)) + 8 * np.array([2.0**33, -(2.0**33)] * 3)
    assert opened(holder, more) == want.tolist()
    with pytest.raises(EncodingOverflowError, match="no room"):
        encryptor.encrypt(np.zeros(6), onto=more)
    with pytest.raises(EncodingOverflowError, match="no room"):
        encryptor.add(more, packed)


def test_packed_values_add_as_often_as_they_were_made_for(holder):
    encryptor = SCHEME.encryptor(holder.public_key)
    values = np.array([TOP, -TOP] * 25)
    rows = [encryptor.encrypt_packed(values, additions=3) for _ in range(4)]
    total = rows[0]
    for row in rows[1:]:
        total = encryptor.add(total, row)
    assert len(total.body) == -(-50 // (2046 // 58))
    assert opened(holder, total) == (4 * values).tolist()
    with pytest.raises(EncodingOverflowError, match="no room"):
        encryptor.add(total, rows[0])
    with pytest.raises(EncodingOverflowError, match="no room"):
        encryptor.encrypt(np.full(50, 2.0**25), onto=rows[0])


def test_what_has_no_bound_is_not_packed(holder):
    encryptor = holder.encryptor
    product = encryptor.rmatmul(np.eye(2), encryptor.encrypt(np.ones(2)))
    masked = encryptor.encrypt(np.array([2.0**200, 0.0]), onto=product)
    twice = encryptor.rmatmul(np.eye(2), product)
    for unbounded in (masked, encryptor.add(masked, product), twice):
        assert unbounded.terms == 0
        with pytest.raises(EncodingOverflowError):
            encryptor.pack(unbounded)
    with pytest.raises(KeyMismatchError, match="already"):
        encryptor.pack(encryptor.pack(product))
    with pytest.raises(KeyMismatchError, match="packed"):
        encryptor.rmatmul(np.eye(2), encryptor.pack(product))
    with pytest.raises(KeyMismatchError, match="cannot add"):
        encryptor.add(product, encryptor.pack(product))
    with pytest.raises(EncodingOverflowError, match="more than a key"):
        Slots.for_sums(2047, 1, 2048)


def test_a_matrix_of_integers_shares_its_scale_with_rows_and_is_bounded_as_sums():
    scheme = PaillierScheme(2048, DATA, FixedPoint(26, 0), threads=1, window=4)
    holder = scheme.generate()
    encryptor = holder.encryptor
    product = encryptor.rmatmul(np.full((3, 2), 2.0**26 - 1), encryptor.encrypt(np.full(3, TOP)))
    packed = encryptor.pack(product)
    assert packed.layout == "packed-84"
    assert opened(holder, packed) == opened(holder, product)


def test_a_departing_packed_product_is_blinded_in_full(holder):
    """It is a product: whoever knows [[d]] could try matrices. A fresh encryption hides it."""
    encryptor = SCHEME.encryptor(holder.public_key)
    c = encryptor.encrypt(np.array([0.5]))
    packed = encryptor.pack(encryptor.rmatmul(np.array([[3 * 2.0**-16, -5 * 2.0**-16]]), c))
    square, shift = encryptor.key.n**2, 1 << Slots.of_layout(packed.layout, 2048).bits
    (base,) = from_limbs(c.body)

    def search(target):
        (goal,) = from_limbs(target.body)
        return [
            (a, b)
            for a in range(-6, 7)
            for b in range(-6, 7)
            if pow(base, a + b * shift, square) == goal
        ]

    assert search(packed) == [(3, -5)]
    assert search(encryptor.encrypt(np.zeros(2), onto=packed)) == []
