"""What the key holder could take from a returned product: X in c1, and x_i d_i in the slots."""

import numpy as np
import pytest

from vfl_crypto.ckks import CkksScheme
from vfl_crypto.ckks.encoding import decode, encode, residues
from vfl_crypto.ckks.encryption import encrypt_public, phase
from vfl_crypto.ckks.encryptor import ROWS_LEVEL, SUMS_LEVEL
from vfl_crypto.ckks.fold import unfold
from vfl_crypto.ckks.formats import Formats

N, ROWS, P = 8192, 2048, Formats()
SCHEME = CkksScheme()
HOLDER = SCHEME.generate()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)
ARITHMETIC = SCHEME._arithmetic
Q0 = ARITHMETIC.parameters.data[0]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4))
D = RNG.normal(size=ROWS)
ENCRYPTED = PUBLIC.encrypt(D)
LAYOUT = PUBLIC.layout(ENCRYPTED)
SENT = PUBLIC.rows(ENCRYPTED, LAYOUT)


def product(matrix=X):
    """X times [[d]] modulo q0 q1 q2, (1, 2, 3, N), as it is before the rescaling."""
    return PUBLIC.products(matrix, SENT, LAYOUT)


def encoded_words(matrix=X):
    """The encoded matrix modulo q0."""
    scale = P.plain_scale(LAYOUT, ARITHMETIC.parameters.data[ROWS_LEVEL - 1])
    coefficients = encode(ARITHMETIC, LAYOUT.columns(matrix)[0], scale)
    return residues(ARITHMETIC, coefficients, ROWS_LEVEL)[0, 0]


def quotient(numerator):
    """Word by word modulo q0, by c1 as it was sent: what the factor of c1 would be."""
    pairs = zip(numerator.tolist(), SENT[0, 1, 0].tolist(), strict=True)
    return np.array([n * pow(d, -1, Q0) % Q0 for n, d in pairs], dtype=np.uint64)


def agreement(c1):
    """In how many of N words the quotient by the sent c1 is the encoded matrix."""
    return int((quotient(c1) == encoded_words()).sum())


def fresh_zero():
    return encrypt_public(PUBLIC._public, np.zeros((1, N), dtype=np.int64), ROWS_LEVEL)


def added(left, right):
    return ARITHMETIC.ring(left.shape[-2]).add(left, right)


def test_a_product_without_fresh_randomness_reveals_the_matrix():
    assert agreement(product()[0, 1, 0]) == N


def test_a_fresh_zero_encryption_hides_the_matrix():
    assert agreement(added(product(), fresh_zero())[0, 1, 0]) == 0


def test_one_zero_for_two_results_reveals_the_difference_of_the_matrices():
    zero, halves = fresh_zero(), np.full_like(X, 0.5)
    first, second = added(product(), zero)[0, 1, 0], added(product(halves), zero)[0, 1, 0]
    q = np.uint64(Q0)
    difference = quotient((first + (q - second)) % q)
    assert np.array_equal(difference, (encoded_words() + (q - encoded_words(halves))) % q)


def test_what_departs_reveals_no_word_of_the_matrix():
    departed = PUBLIC.encrypt(np.zeros(4), onto=PUBLIC.rmatmul(X, ENCRYPTED))
    c1, _ = PUBLIC.sums(departed, LAYOUT)
    assert agreement(c1[0, 0]) == 0


def test_every_result_of_one_message_has_randomness_of_its_own():
    twice = PUBLIC.rmatmul(np.hstack((X, X)), ENCRYPTED)
    home = PUBLIC.sums(twice, LAYOUT)
    assert all(np.array_equal(part[0], part[1]) for part in home)  # at home they are equal
    departed = PUBLIC.sums(PUBLIC.encrypt(np.zeros(8), onto=twice), LAYOUT)
    assert not any((part[0] == part[1]).any() for part in departed)
    again = PUBLIC.sums(PUBLIC.encrypt(np.zeros(8), onto=twice), LAYOUT)  # another mask
    assert not any((a == b).any() for a, b in zip(departed, again, strict=True))


def slots(words):
    """All slots that the key holder reads from words (1, 2, 2, N)."""
    return decode(ARITHMETIC, phase(HOLDER._secret, words), 2.0**P.mean_bits)[0]


def correlations(seen):
    """With x_i d_i of the four features, which a full product holds in its slots."""
    parts = seen.reshape(ROWS, 2)
    columns = np.column_stack((parts.real, parts.imag))
    return [abs(np.corrcoef(columns[:, k], X[:, k] * D)[0, 1]) for k in range(4)]


def test_the_slots_of_a_full_product_show_every_row():
    assert min(correlations(slots(PUBLIC._rescaled(product())))) > 0.999999


def test_a_full_product_shows_every_row_even_with_fresh_randomness():
    """Re-randomising hides X in c1, not the message: the unwanted slots must go as well."""
    hidden = added(product(), fresh_zero())
    assert min(correlations(slots(PUBLIC._rescaled(hidden)))) > 0.999999


@pytest.mark.parametrize("attempt", range(3))
def test_the_slots_of_what_departs_are_noise_except_in_their_sums(attempt):
    departed = PUBLIC.encrypt(np.zeros(4), onto=PUBLIC.rmatmul(X, ENCRYPTED))
    c1, folds = PUBLIC.sums(departed, LAYOUT)
    seen = slots(np.stack((unfold(folds, N), c1), axis=1))
    assert max(correlations(seen)) < 7 / np.sqrt(ROWS)
    assert seen.real.std() > 1e3 * np.abs(X * D[:, None]).max()  # uniform modulo q0 q1
    flood = HOLDER.decrypt(departed)._flood_std
    assert np.abs(HOLDER.decrypt(departed)._values - X.T @ D).max() < 7 * flood


def test_a_departed_body_has_no_room_for_more_than_the_sums():
    departed = PUBLIC.encrypt(np.zeros(4), onto=PUBLIC.rmatmul(X, ENCRYPTED))
    c1, folds = PUBLIC.sums(departed, LAYOUT)
    assert c1.shape == (1, SUMS_LEVEL, N)
    assert folds.shape == (1, SUMS_LEVEL, 4)
    assert departed.body.size == 8 + (c1.size + folds.size) * 4
