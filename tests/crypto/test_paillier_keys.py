"""Paillier keys: structure, floor, and a parser that accepts only what was written."""

import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.errors import CryptoError, InsecureParametersError, WireError
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.paillier.keys import PublicKey, generate_primes
from vfl_crypto.paillier.limbs import (
    all_positive_below,
    from_limbs,
    random_limbs,
    to_limbs,
)
from vfl_crypto.paillier.private import PrivateKey


@pytest.fixture(scope="module")
def key():
    return PrivateKey.generate(2048)


def test_new_keys_have_blum_primes_without_common_structure(key):
    p, q = key.primes
    assert p != q
    assert p % 4 == q % 4 == 3
    assert math.gcd(p - 1, q - 1) == 2
    assert (p * q).bit_length() == 2048
    assert all(pow(a, r - 1, r) == 1 for r in (p, q) for a in (2, 3, 5, 7))


def test_h_s_is_an_nth_power_of_a_non_square_with_jacobi_symbol_one(key):
    """h = -x^2 is a non-square modulo both primes; h_s^lambda = 1 modulo n^2."""
    p, q = key.primes
    n, h_s = key.public.n, key.public.h_s
    assert pow(h_s, math.lcm(p - 1, q - 1), n * n) == 1
    assert pow(h_s, (p - 1) // 2, p) == p - 1
    assert pow(h_s, (q - 1) // 2, q) == q - 1


@pytest.mark.parametrize("bits", [0, 512, 1024, 2046])
def test_keys_below_the_floor_are_refused_with_the_remedy(bits):
    for make in (lambda: PaillierScheme(key_bits=bits), lambda: generate_primes(bits)):
        with pytest.raises(InsecureParametersError, match=r"floor of 2048; use 3072"):
            make()


def test_a_small_public_key_from_the_wire_is_refused(key):
    p = key.primes[0]
    small = msgspec.msgpack.encode(
        {"kind": "paillier-public-1", "n": p.to_bytes(128, "big"), "h_s": None}
    )
    with pytest.raises(InsecureParametersError):
        PaillierScheme(2048).encryptor(small)


def test_sizes_without_kernels_or_halves_are_refused():
    with pytest.raises(CryptoError, match="ceiling"):
        PaillierScheme(key_bits=16384)
    with pytest.raises(CryptoError, match="even"):
        generate_primes(2049)


def test_security_follows_nist():
    strength = {2048: 112, 3071: 112, 3072: 128, 7679: 128, 7680: 192}
    for bits, expected in strength.items():
        assert PublicKey((1 << bits) - 1, None).security_bits == expected
    assert PaillierScheme()._key_bits == 3072


def test_public_bytes_come_back_as_they_went(key):
    data = key.public.to_bytes()
    again = PublicKey.from_bytes(data)
    assert again == key.public
    assert again.to_bytes() == data
    assert len(again.key_id) == 16
    assert again.key_id != PublicKey(key.public.n, None).key_id


def test_keys_that_cannot_be_are_refused(key):
    n, h_s = key.public.n, key.public.h_s
    p = key.primes[0]

    def wire(n, h_s, /, **more):
        data = {"kind": "paillier-public-1", "n": n.to_bytes(300, "big").lstrip(b"\0")}
        length = 2 * len(data["n"])
        data["h_s"] = None if h_s is None else h_s.to_bytes(length, "big")
        return msgspec.msgpack.encode(data | more)

    assert PublicKey.from_bytes(wire(n, h_s)) == key.public
    bad = [
        wire(n - 1, h_s),
        wire(n, 1),
        wire(n, n * n),
        wire(n, p),
        wire(n, h_s, extra=1),
        wire(n, h_s, kind="paillier-public-2"),
        wire(n, h_s, n=b"\0" + n.to_bytes(256, "big")),
        wire(n, h_s) + b"\0",
        b"\xc1",
        b"",
        bytes(10_000),
    ]
    for data in bad:
        with pytest.raises(WireError):
            PublicKey.from_bytes(data)


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_public_bytes_never_pass_unnoticed(key, data):
    good = key.public.to_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
    try:
        parsed = PublicKey.from_bytes(bad)
    except (WireError, InsecureParametersError):
        return
    assert parsed.key_id != key.public.key_id


def test_equal_primes_are_refused(key):
    p = key.primes[0]
    with pytest.raises(CryptoError, match="differ"):
        PrivateKey(p, p)


def test_random_exponents_fill_exactly_their_bits():
    for bits in (1, 64, 65, 1024, 1100):
        values = from_limbs(random_limbs(400, bits))
        assert max(values).bit_length() == bits
        for bit in (0, bits - 1):  # 400 fair coins: within 7 deviations
            assert abs(sum(v >> bit & 1 for v in values) - 200) < 70


@given(st.lists(st.integers(0, 2**192 - 1), min_size=1))
def test_limbs_hold_integers(values):
    rows = to_limbs(values, 3)
    assert rows.dtype == np.uint64
    assert from_limbs(rows) == values


@pytest.mark.parametrize("limbs", [1, 2, 5])
def test_rows_are_compared_with_a_bound_as_integers_are(limbs):
    draw = random.Random(limbs)
    for _ in range(300):
        # Few distinct limbs, so that rows agree with the bound in many.
        digits = [[draw.choice((0, 1, 2**63, 2**64 - 1)) for _ in range(limbs)] for _ in range(4)]
        *rows, bound = (sum(d << (64 * i) for i, d in enumerate(row)) for row in digits)
        expected = all(0 < row < bound for row in rows)
        assert all_positive_below(to_limbs(rows, limbs), bound) == expected
    assert all_positive_below(to_limbs([], limbs), 1)
