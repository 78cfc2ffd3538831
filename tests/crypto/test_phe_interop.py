"""phe and our Paillier agree: keys, ciphertexts and products, both ways."""

import dataclasses

import numpy as np
import phe
import pytest

from vfl_crypto.errors import InsecureParametersError, KeyMismatchError
from vfl_crypto.oracles.phe import (
    PheScheme,
    from_phe,
    from_phe_private,
    from_phe_public,
    to_phe,
    to_phe_private,
    to_phe_public,
    uses_gmp,
)
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.paillier.private import PrivateKey

OURS = PaillierScheme(key_bits=2048, threads=1, window=4)
THEIRS = PheScheme(key_bits=2048)
VALUES = np.array([0.0, 1.0, -1.0, 1234.5, -(2.0**-30), 2.0**23])


@pytest.fixture(scope="module")
def key():
    return PrivateKey.generate(2048, classic=True)


@pytest.fixture(scope="module")
def foreign():
    """phe's own key, remade until its primes do not admit h_s."""
    while True:
        private = phe.generate_paillier_keypair(n_length=2048)[1]
        if private.p % 4 == 1 or private.q % 4 == 1:
            return private


def opened(holder, ciphertext):
    return holder.decrypt(ciphertext)._values.tolist()


def test_phe_decrypts_ours(key):
    c = OURS.holder(key).encryptor.encrypt(VALUES)
    assert c.scale_bits % 4  # so that the exponent needs padding
    private = to_phe_private(key)
    assert [private.decrypt(number) for number in to_phe(c, key.public)] == VALUES.tolist()


def test_we_decrypt_what_phe_encrypts(key):
    public = to_phe_public(key.public)
    numbers = [public.encrypt(v, precision=2.0**-32) for v in VALUES.tolist()]
    c = from_phe(numbers, key.public, scale_bits=32)
    assert opened(OURS.holder(key), c) == VALUES.tolist()


def test_numbers_leave_and_enter_at_one_exponent_whatever_their_size(key):
    c = OURS.holder(key).encryptor.encrypt(VALUES)
    assert {number.exponent for number in to_phe(c, key.public)} == {-8}
    numbers = [to_phe_public(key.public).encrypt(v) for v in (1.0, 2.0**20)]
    assert len({number.exponent for number in numbers}) == 2  # what phe shows by itself
    c = from_phe(numbers, key.public, scale_bits=56)
    assert {number.exponent for number in to_phe(c, key.public)} == {-14}
    assert not c.fresh


def test_a_phe_number_that_does_not_fit_is_refused(key, foreign):
    number = to_phe_public(key.public).encrypt(0.001)
    for scale_bits in (8, 255):
        with pytest.raises(KeyMismatchError, match="multiple of four of at least"):
            from_phe([number], key.public, scale_bits)
    with pytest.raises(KeyMismatchError, match="another key"):
        from_phe([foreign.public_key.encrypt(1)], key.public, 32)


def test_a_foreign_key_without_blum_primes_keeps_the_classic_blinding(foreign):
    holder = OURS.holder(from_phe_private(foreign))
    assert holder.encryptor.key.h_s is None
    c = holder.encryptor.encrypt(VALUES)
    again = holder.encryptor.encrypt(np.zeros(len(VALUES)), onto=c)
    assert not np.any(np.all(c.body == again.body, axis=1))
    assert opened(holder, again) == VALUES.tolist()
    numbers = to_phe(again, from_phe_public(foreign.public_key))
    assert [foreign.decrypt(number) for number in numbers] == VALUES.tolist()
    other = OURS.encryptor(holder.public_key)
    assert opened(holder, other.encrypt(VALUES)) == VALUES.tolist()


def test_a_key_of_phe_is_classic_whatever_its_primes(key):
    again = from_phe_private(to_phe_private(key))
    assert again.public.h_s is None
    assert set(again.primes) == set(key.primes)


def test_ciphertexts_of_phe_are_refused_under_a_key_with_h_s(key):
    public = PrivateKey(*key.primes).public
    assert public.h_s is not None
    with pytest.raises(KeyMismatchError, match="use a classic key"):
        from_phe([to_phe_public(public).encrypt(1)], public, 32)


def test_a_short_phe_key_is_refused():
    private = phe.generate_paillier_keypair(n_length=512)[1]
    for read in (lambda: from_phe_public(private.public_key), lambda: from_phe_private(private)):
        with pytest.raises(InsecureParametersError):
            read()


def test_both_schemes_compute_the_same_plaintexts(foreign):
    """The oracle: the same protocol steps through two implementations, opened by both."""
    ours, theirs = OURS.holder(from_phe_private(foreign)), THEIRS.holder(foreign)
    rng = np.random.default_rng(7)
    d, X, v = rng.normal(size=8), rng.normal(size=(8, 3)), rng.normal(size=3) * 1e6
    results = []
    for holder in (ours, theirs):
        e = holder.encryptor
        rows = e.encrypt(d)
        product = e.rmatmul(X, e.add(rows, e.encrypt(d, onto=rows)))
        results.append(e.encrypt(v, onto=product))
    first, second = results
    assert opened(ours, first) == opened(theirs, second)
    swapped = dataclasses.replace(second, scheme="paillier")
    assert opened(ours, swapped) == opened(ours, first)


def test_the_oracle_obeys_the_interface():
    holder = THEIRS.generate()
    other = THEIRS.encryptor(holder.public_key)
    c = other.encrypt(VALUES)
    assert (c.scheme, other.info.security_bits, uses_gmp()) == ("phe", 112, True)
    assert holder.release(holder.decrypt(c), 4).values[-1] == 2.0**23
    assert holder.openings_left == 2**20 - len(VALUES)
    with pytest.raises(KeyMismatchError):
        OURS.encryptor(holder.public_key).add(c, c)
