"""Parities of a matrix from Jacobi symbols, where r^n and h_s^r meet under one key.

The symbol of a ciphertext modulo n is public. That of r^n is 1 or -1, that of h_s^r is 1, so a
product of r^n ciphertexts blinded by h_s^r has the symbol of prod J(c_i)^x_ij: the parity of the
sum of x_ij over the rows whose ciphertext has symbol -1.
"""

import numpy as np
import pytest

from vfl_crypto.linear import Ciphertext
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.paillier.limbs import from_limbs
from vfl_crypto.paillier.private import PrivateKey

ROWS, COLUMNS = 40, 64
SCHEME = PaillierScheme(2048, threads=1, window=4)


def symbol(a: int, n: int) -> int:
    """Jacobi's, for odd n, by reciprocity."""
    a, sign = a % n, 1
    while a:
        twos = (a & -a).bit_length() - 1
        a >>= twos
        if twos % 2 and n % 8 in {3, 5}:
            sign = -sign
        a, n = n, a
        if a % 4 == 3 and n % 4 == 3:
            sign = -sign
        a %= n
    return sign


def negative(ciphertext: Ciphertext, n: int) -> np.ndarray:
    return np.array([symbol(c, n) < 0 for c in from_limbs(ciphertext.body)], dtype=np.int64)


@pytest.fixture(scope="module")
def keys():
    """The same primes, with h_s and classic."""
    key = PrivateKey.generate(2048)
    return key.public, PrivateKey(*key.primes, classic=True).public


@pytest.fixture(scope="module")
def told(keys):
    """How many of the parities are as the symbols say, where both sides blind as given."""

    def attack(sender, evaluator):
        n, rng = sender.n, np.random.default_rng(0)
        sent = SCHEME.encryptor(sender.to_bytes()).encrypt(rng.normal(size=ROWS))
        rows = Ciphertext("paillier", evaluator.key_id, sent.scale_bits, ROWS, sent.body)
        X = rng.integers(-(2**15), 2**15, (ROWS, COLUMNS))
        faces = SCHEME.encryptor(evaluator.to_bytes())
        product = faces.rmatmul(np.ldexp(X.astype(np.float64), -16), rows)
        answer = faces.encrypt(np.zeros(COLUMNS), onto=product)
        return int((negative(answer, n) == negative(rows, n) @ X % 2).sum())

    return attack


def test_parities_are_read_where_the_two_meet(keys, told):
    """Protection off: ciphertexts by r^n under a key that is used with h_s."""
    with_h_s, classic = keys
    assert told(classic, with_h_s) == COLUMNS


def test_they_are_not_under_a_classic_key(keys, told):
    _, classic = keys
    assert abs(told(classic, classic) - COLUMNS / 2) <= 7 * COLUMNS**0.5 / 2


def test_all_symbols_are_one_under_a_key_with_h_s(keys):
    with_h_s, _ = keys
    sent = SCHEME.encryptor(with_h_s.to_bytes()).encrypt(np.zeros(ROWS))
    assert not negative(sent, with_h_s.n).any()
