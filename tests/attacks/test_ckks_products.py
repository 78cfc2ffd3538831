"""What the key holder could take from a returned product: X in c1, and x_i d_i in the slots."""

import numpy as np
import pytest

from vfl_crypto.oracles.ckks_noise import CkksParameters
from vfl_crypto.oracles.residues import add_mod, unfold
from vfl_crypto.oracles.seal_ring import seal
from vfl_crypto.oracles.tenseal import CkksScheme

N, ROWS, P = 8192, 2048, CkksParameters()
SCHEME = CkksScheme()
RING = SCHEME._ring
HOLDER = SCHEME.generate()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4))
D = RNG.normal(size=ROWS)
ENCRYPTED = PUBLIC.encrypt(D)
LAYOUT = PUBLIC.check(ENCRYPTED)


def product():
    """A fresh SEAL object of X times [[d]] modulo q0 q1, as it is before the rescaling."""
    return next(PUBLIC._products(X, ENCRYPTED, LAYOUT))


def encoded_words():
    scale = P.plain_scale(LAYOUT, RING.primes[1])
    return RING.plain_words(RING.encode(LAYOUT.columns(X)[0, 0], RING.rows_level, scale))


def quotient(numerator, denominator):
    """Word by word modulo q0: what the factor of c1 would be."""
    q = RING.primes[0]
    pairs = zip(numerator.tolist(), denominator.tolist(), strict=True)
    return np.array([n * pow(d, -1, q) % q for n, d in pairs], dtype=np.uint64)


def agreement(c1):
    """In how many of N words the quotient by the sent c1 is the encoded matrix."""
    return int((quotient(c1, ENCRYPTED.body[0, 2]) == encoded_words()).sum())


def fresh_zero():
    zero = seal.Ciphertext()
    PUBLIC._encryptor.encrypt_zero(RING.rows_level, zero)
    return RING.words(zero)


def test_a_product_without_fresh_randomness_reveals_the_matrix():
    assert agreement(RING.words(product())[1, 0]) == N


def test_a_fresh_zero_encryption_hides_the_matrix():
    hidden = add_mod(RING.words(product())[1, 0], fresh_zero()[1, 0], np.uint64(RING.primes[0]))
    assert agreement(hidden) == 0


def test_one_zero_for_two_results_reveals_the_difference_of_the_matrices():
    q = np.uint64(RING.primes[0])
    zero = fresh_zero()[1, 0]
    first = add_mod(RING.words(product())[1, 0], zero, q)
    plain = RING.words(next(PUBLIC._products(np.zeros_like(X) + 0.5, ENCRYPTED, LAYOUT)))[1, 0]
    second = add_mod(plain, zero, q)
    difference = quotient(add_mod(first, q - second, q), ENCRYPTED.body[0, 2])
    halves = RING.encode(
        np.full(N // 2, 0.5 + 0.5j), RING.rows_level, P.plain_scale(LAYOUT, RING.primes[1])
    )
    expected = add_mod(encoded_words(), q - RING.plain_words(halves), q)
    assert (difference == expected).mean() > 0.999


def test_what_departs_reveals_no_word_of_the_matrix():
    departed = PUBLIC.encrypt(np.zeros(4), onto=PUBLIC.rmatmul(X, ENCRYPTED))
    assert agreement(departed.body[0, :N]) == 0


def test_every_result_of_one_message_has_randomness_of_its_own():
    twice = PUBLIC.rmatmul(np.hstack((X, X)), ENCRYPTED)
    assert np.array_equal(twice.body[0], twice.body[1])  # at home they are equal
    departed = PUBLIC.encrypt(np.zeros(8), onto=twice)
    assert not (departed.body[0] == departed.body[1]).any()
    again = PUBLIC.encrypt(np.zeros(8), onto=twice)  # another attempt, another mask
    assert not (departed.body == again.body).any()


def slots(words):
    """All slots that the key holder reads from words (2, N) modulo q0."""
    plain = HOLDER._decrypted(words[:, None], RING.sums_level, P.mean_bits)
    return np.array(RING.encoder.decode_complex(plain))


def correlations(seen):
    """With x_i d_i of the four features, which a full product holds in its slots."""
    parts = seen.reshape(ROWS, 2)
    columns = np.column_stack((parts.real, parts.imag))
    return [abs(np.corrcoef(columns[:, k], X[:, k] * D)[0, 1]) for k in range(4)]


def test_the_slots_of_a_full_product_show_every_row():
    full = PUBLIC._rescaled(product())
    assert min(correlations(slots(full))) > 0.999999


def test_a_full_product_shows_every_row_even_with_fresh_randomness():
    """Re-randomising hides X in c1, not the message: the unwanted slots must go as well."""
    ciphertext = product()
    zero = seal.Ciphertext()
    PUBLIC._encryptor.encrypt_zero(RING.rows_level, zero)
    zero.scale = ciphertext.scale
    RING.evaluator.add_inplace(ciphertext, zero)
    assert min(correlations(slots(PUBLIC._rescaled(ciphertext)))) > 0.999999


@pytest.mark.parametrize("attempt", range(3))
def test_the_slots_of_what_departs_are_noise_except_in_their_sums(attempt):
    departed = PUBLIC.encrypt(np.zeros(4), onto=PUBLIC.rmatmul(X, ENCRYPTED))
    row = departed.body[0]
    seen = slots(np.stack((unfold(row[N:], N), row[:N])))
    assert max(correlations(seen)) < 5 / np.sqrt(ROWS)
    assert seen.real.std() > 1e3 * np.abs(X * D[:, None]).max()  # uniform modulo q0
    flood = HOLDER.decrypt(departed)._flood_std
    assert np.abs(HOLDER.decrypt(departed)._values - X.T @ D).max() < 7 * flood


def test_a_departed_body_has_no_room_for_more_than_the_sums():
    departed = PUBLIC.encrypt(np.zeros(4), onto=PUBLIC.rmatmul(X, ENCRYPTED))
    assert departed.body.shape == (1, N + 4)
