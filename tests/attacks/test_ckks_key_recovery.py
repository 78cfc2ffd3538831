"""Li and Micciancio (ePrint 2020/1533): a bare CKKS decryption gives the key away.

A decryption is m + e with the encryption's own e. Encoded again it is c0 + c1 s exactly, an
equation for s in every word. The program reads real parts of slots, which is p + conj(p) for
p = c0 + c1 s; at a root and its conjugate that is one equation in two unknowns, so two openings
give the key.
"""

import numpy as np
import pytest

from vfl_crypto.oracles.ckks_noise import CkksParameters
from vfl_crypto.oracles.ckks_slots import Layout, class_values
from vfl_crypto.oracles.residues import wanted_coefficients
from vfl_crypto.oracles.tenseal import CkksScheme
from vfl_crypto.release import Decrypted, Door

N, P = 8192, CkksParameters()
SCHEME = CkksScheme()


@pytest.fixture(scope="module")
def setting():
    """A holder, two ciphertexts, and their slots as the secret key finds them."""
    holder = SCHEME.generate()
    rng = np.random.default_rng(0)
    ciphertexts = [holder.encryptor.encrypt(rng.uniform(-0.06, 0.06, 2048)) for _ in range(2)]
    slots = [holder._slots(c.body.reshape(2, 2, N)) for c in ciphertexts]
    return holder, ciphertexts, slots


def solve_for_the_key(ciphertexts, slots):
    """Coefficients of s, from public words modulo q0 and the two openings alone."""
    ring = SCHEME._ring
    q = ring.primes[0]
    b, a, p = [], [], []
    for ciphertext, values in zip(ciphertexts, slots, strict=True):
        words = ciphertext.body.reshape(2, 2, N)[:, 0]
        b.append(words[0].astype(object))
        a.append(words[1].astype(object))
        twice = ring.encode(2 * values, ring.sums_level, 2.0**P.row_bits)
        p.append(ring.plain_words(twice).astype(object))
    # word N - 1 - i is the value at the conjugate root of word i
    right = [(p[k] - b[k] - b[k][::-1]) % q for k in range(2)]
    half = N // 2
    determinant = (a[0] * a[1][::-1] - a[1] * a[0][::-1])[:half] % q
    inverse = np.array([pow(int(x), -1, q) for x in determinant], dtype=object)
    lower = (right[0] * a[1][::-1] - right[1] * a[0][::-1])[:half] * inverse % q
    upper = (a[0] * right[1] - a[1] * right[0])[:half] * inverse % q
    words = np.concatenate((lower, upper[::-1])).astype(np.uint64)
    return words, wanted_coefficients(words, N, q, ring.root)


def test_two_raw_decryptions_give_the_whole_key_which_reads_any_ciphertext(setting):
    holder, ciphertexts, slots = setting
    words, key = solve_for_the_key(ciphertexts, slots)
    assert set(np.unique(key)) == {-1.0, 0.0, 1.0}
    secret = np.random.default_rng(9).uniform(-0.06, 0.06, 2048)
    c0, c1 = holder.encryptor.encrypt(secret).body.reshape(2, 2, N)[:, 0].astype(object)
    q, root = SCHEME._ring.primes[0], SCHEME._ring.root
    plain = ((c0 + c1 * words.astype(object)) % q).astype(np.uint64)
    read = class_values(wanted_coefficients(plain, N, q, root))[: N // 2] * 2.0**-P.row_bits
    assert np.abs(Layout(2048, N // 2).gather(read) - secret).max() < 1e-9


def test_values_that_went_through_the_door_give_nothing(setting):
    _, ciphertexts, slots = setting
    door = Door(P.openings)
    released = [door.release(Decrypted(v, P.flood(P.rows_deviation()))).values for v in slots]
    _, key = solve_for_the_key(ciphertexts, released)
    assert np.abs(np.clip(key, -1e18, 1e18)).min() > 1.0  # not one coefficient is ternary
    _, truth = solve_for_the_key(ciphertexts, slots)
    assert abs(np.corrcoef(key, truth)[0, 1]) < 5 / np.sqrt(N)


def test_the_flood_alone_is_enough_without_the_rounding(setting):
    _, ciphertexts, slots = setting
    std = P.flood(P.rows_deviation())
    noisy = [v + np.random.default_rng(k).normal(size=len(v)) * std for k, v in enumerate(slots)]
    _, key = solve_for_the_key(ciphertexts, noisy)
    _, truth = solve_for_the_key(ciphertexts, slots)
    assert abs(np.corrcoef(key, truth)[0, 1]) < 5 / np.sqrt(N)
