"""Randomness of ciphertexts: random n-th powers, by whichever way they are made."""

import math
import random

import numpy as np
import pytest

from vfl_crypto import _native
from vfl_crypto.paillier import PaillierScheme, blinding
from vfl_crypto.paillier.blinding import ClassicBlinding, DjnBlinding, OwnerBlinding
from vfl_crypto.paillier.limbs import from_limbs, limbs_for, to_limbs
from vfl_crypto.paillier.private import PrivateKey
from vfl_crypto.paillier.products import Products

VALUES = np.array([0.0, -1.5, 2.0**20, 0.25, 7.0])


@pytest.fixture(scope="module")
def key():
    return PrivateKey.generate(2048)


@pytest.fixture(scope="module", params=["djn", "classic"])
def either(request, key):
    """A key, and the same primes as a classic key."""
    return key if request.param == "djn" else PrivateKey(*key.primes, classic=True)


def ways(key):
    """For anybody, and for the owner."""
    modulus = Products(key.public, 1).modulus
    anybody = (
        ClassicBlinding(key.public, modulus)
        if key.public.h_s is None
        else DjnBlinding(key.public, modulus, 6)
    )
    return anybody, OwnerBlinding(key, 6)


def test_every_element_is_an_nth_power_and_no_two_are_equal(either):
    """n-th powers are the elements whose order divides lcm(p - 1, q - 1): encryptions of zero."""
    p, q = either.primes
    n = p * q
    order = math.lcm(p - 1, q - 1)
    elements = []
    for way in ways(either):
        for make in (way.short, way.full):
            elements += from_limbs(make(5, 2))
    assert all(pow(e, order, n * n) == 1 for e in elements)
    assert len(set(elements)) == len(elements)


def test_the_owners_exponents_agree_modulo_two(key, monkeypatch):
    """Only such pairs are powers of h_s modulo n^2; each half is the power that was drawn."""
    drawn = []
    draw = blinding.random_limbs

    def record(count, bits):
        drawn.append(draw(count, bits))
        return drawn[-1]

    monkeypatch.setattr(blinding, "random_limbs", record)
    elements = from_limbs(OwnerBlinding(key, 6).full(9, 2))
    for index, prime in enumerate(key.primes):
        assert [e % prime**2 for e in elements] == [
            pow(key.public.h_s, r, prime**2) for r in from_limbs(drawn[index])
        ]
    left, right = (from_limbs(d) for d in drawn)
    assert [r % 2 for r in left] == [r % 2 for r in right]
    assert left != right


def test_public_powers_are_those_that_were_drawn(key, monkeypatch):
    drawn = []
    draw = blinding.random_limbs

    def record(count, bits):
        drawn.append(draw(count, bits))
        return drawn[-1]

    monkeypatch.setattr(blinding, "random_limbs", record)
    anybody, _ = ways(key)
    short, full = from_limbs(anybody.short(3, 1)), from_limbs(anybody.full(3, 1))
    square, h_s = key.public.n**2, key.public.h_s
    assert short == [pow(h_s, r, square) for r in from_limbs(drawn[0])]
    low, high = (from_limbs(d) for d in drawn[1:])
    assert full == [pow(h_s, a + (b << 1024), square) for a, b in zip(low, high, strict=True)]


def test_both_sides_encrypt_what_the_owner_opens(either):
    scheme = PaillierScheme(2048, threads=2, window=5)
    holder = scheme.holder(either)
    for encryptor in (holder.encryptor, scheme.encryptor(holder.public_key)):
        c = encryptor.encrypt(VALUES)
        again = encryptor.encrypt(VALUES, onto=encryptor.rmatmul(np.eye(5), c))
        assert holder.decrypt(c)._values.tolist() == VALUES.tolist()
        assert holder.decrypt(again)._values.tolist() == (2 * VALUES).tolist()


@pytest.mark.parametrize("level", _native.cpu_levels())
def test_remainders_join_to_the_number_they_came_from(level):
    before = _native.cpu_level()
    _native.set_cpu_level(level)
    draw = random.Random(1)
    for low, high in ((13**2, 17**2), (3, (1 << 521) - 1), ((1 << 521) - 1, (1 << 607) - 1),
                      (2**1024 - 105, 2**1024 - 3)):  # fmt: skip
        product = low * high
        values = [0, 1, low, high, product - 1, product - low, draw.randrange(product)]
        rings = [_native.Modulus(to_limbs([m], limbs_for(m.bit_length()))[0]) for m in (low, high)]
        parts = [
            to_limbs((v % m for v in values), ring.limbs)
            for m, ring in zip((low, high), rings, strict=True)
        ]
        inverse = to_limbs([pow(low, -1, high)], rings[1].limbs)[0]
        for limbs in (limbs_for(product.bit_length()), rings[0].limbs + rings[1].limbs + 1):
            joined = _native.crt_join(*parts, *rings, inverse, limbs, 2)
            assert from_limbs(joined) == values
    _native.set_cpu_level(before)


def test_remainders_that_cannot_be_joined_are_refused():
    five, seven = (_native.Modulus(to_limbs([m], 1)[0]) for m in (5, 7))
    rows = to_limbs([1, 2], 1)
    three = to_limbs([3], 1)[0]
    with pytest.raises(ValueError, match="below the second"):
        _native.crt_join(rows, rows, seven, five, three, 1)
    with pytest.raises(ValueError, match="do not match"):
        _native.crt_join(rows, rows[:1], five, seven, three, 1)
    with pytest.raises(ValueError, match="row 1 is not below"):
        _native.crt_join(to_limbs([1, 5], 1), rows, five, seven, three, 1)
    with pytest.raises(ValueError, match="inverse"):
        _native.crt_join(rows, rows, five, seven, to_limbs([7], 1)[0], 1)


def test_whether_a_key_is_classic_travels_with_it():
    holder = PaillierScheme(2048, threads=1, window=4, classic=True).generate()
    other = PaillierScheme(2048, threads=1, window=4).encryptor(holder.public_key)
    assert other.key.h_s is None
    assert holder.decrypt(other.encrypt(VALUES))._values.tolist() == VALUES.tolist()
