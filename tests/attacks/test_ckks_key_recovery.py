"""Li and Micciancio (ePrint 2020/1533): a bare CKKS decryption gives the key away.

A decryption is m + e with the encryption's own e. Encoded again it is c0 + c1 s exactly, an
equation for s in every word. The program reads real parts of slots, which is p + conj(p) for
p = c0 + c1 s; at a root and its conjugate that is one equation in two unknowns, so two openings
give the key.
"""

import numpy as np
import pytest

from vfl_crypto.ckks import noise
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.encoding import decode, encode, residues
from vfl_crypto.ckks.encryption import phase
from vfl_crypto.ckks.holder import Holder
from vfl_crypto.ckks.keys import SecretKey
from vfl_crypto.ckks.parameters import Parameters

N, SLOTS, SCALE = 8192, 4096, 2.0**40
ARITHMETIC = Arithmetic(Parameters.of_bits(N, [50, 40, 50]))
Q = ARITHMETIC.parameters.data[0]


@pytest.fixture(scope="module")
def setting():
    """A holder, two of its ciphertexts, and their values as the secret key finds them."""
    holder = Holder(SecretKey(ARITHMETIC))
    values = np.random.default_rng(0).uniform(-0.06, 0.06, (2, SLOTS))
    vectors = holder.evaluator.encrypt(values, SCALE, 0.0625)
    raw = decode(ARITHMETIC, phase(holder._secret, vectors.words), SCALE).real
    return holder, vectors, raw


def solve_for_the_key(vectors, slots):
    """Coefficients of s, from public words modulo q0 and the two openings alone."""
    b, a = (vectors.words[:, part, 0].astype(object) for part in range(2))
    p = residues(ARITHMETIC, encode(ARITHMETIC, 2 * slots, SCALE), 1)[:, 0].astype(object)
    # word N - 1 - i is the value at the conjugate root of word i
    right = [(p[k] - b[k] - b[k][::-1]) % Q for k in range(2)]
    half = N // 2
    determinant = (a[0] * a[1][::-1] - a[1] * a[0][::-1])[:half] % Q
    inverse = np.array([pow(int(x), -1, Q) for x in determinant], dtype=object)
    lower = (right[0] * a[1][::-1] - right[1] * a[0][::-1])[:half] * inverse % Q
    upper = (a[0] * right[1] - a[1] * right[0])[:half] * inverse % Q
    words = np.concatenate((lower, upper[::-1])).astype(np.uint64)
    key = ARITHMETIC.ring(1).inverse(words[None])[0].astype(np.int64)
    return words, np.where(key > Q // 2, key - Q, key)


def test_two_raw_decryptions_give_the_whole_key_which_reads_any_ciphertext(setting):
    holder, vectors, raw = setting
    words, key = solve_for_the_key(vectors, raw)
    assert set(np.unique(key)) == {-1, 0, 1}
    assert np.array_equal(words, holder._secret.words[0])
    secret = np.random.default_rng(9).uniform(-0.06, 0.06, SLOTS)
    c0, c1 = holder.evaluator.encrypt(secret, SCALE, 0.0625).words[0, :, 0].astype(object)
    plain = ((c0 + c1 * words.astype(object)) % Q).astype(np.uint64)
    read = decode(ARITHMETIC, plain[None, None], SCALE)[0].real
    assert np.abs(read - secret).max() < 1e-7


def test_values_that_went_through_the_door_give_nothing(setting):
    holder, vectors, raw = setting
    released = holder.release(holder.decrypt(vectors)).values.reshape(2, SLOTS)
    _, key = solve_for_the_key(vectors, released)
    _, truth = solve_for_the_key(vectors, raw)
    assert np.abs(key).min() > 1  # not one coefficient is ternary
    assert abs(np.corrcoef(key, truth)[0, 1]) < 7 / np.sqrt(N)


def test_the_flood_alone_is_enough_without_the_rounding(setting):
    holder, vectors, raw = setting
    std = noise.flood(noise.peak(N) * vectors.deviation, noise.OPENINGS, noise.STATISTICAL_BITS)
    assert holder.decrypt(vectors)._flood_std == std
    noisy = raw + np.random.default_rng(1).normal(size=raw.shape) * std
    _, key = solve_for_the_key(vectors, noisy)
    _, truth = solve_for_the_key(vectors, raw)
    assert abs(np.corrcoef(key, truth)[0, 1]) < 7 / np.sqrt(N)
