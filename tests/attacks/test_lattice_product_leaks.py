"""What a key holder takes from a lattice product: the matrix, out of c1 and of unused coefficients.

It made the encrypted factor: it knows s, the messages d and a. The product of a plain polynomial p
and (b, a) has c1 = p a, and p d in its message; both are divided by what is known.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from lattice_products import (
    ARITHMETIC,
    PUBLIC,
    SECRET,
    correlation,
    product,
    returned_c1,
    upload,
)
from vfl_crypto.lattice import masking, noise
from vfl_crypto.lattice.encryption import (
    decrypt,
    encrypt_zero,
    times_secret,
)
from vfl_crypto.lattice.parameters import COMPACT, WIDE
from vfl_crypto.lattice.plan import Plan, choose
from vfl_crypto.lattice.product import Tiles, _images, evaluate
from vfl_crypto.lattice.tiles import Tile

# One row of X a ciphertext, no packing: 50-bit primes, so no word of `a` is 0, 1 in 10^10 runs.
N, RING, RNS = WIDE.n, ARITHMETIC["wide"].ring, ARITHMETIC["wide"].rns
ONE = Plan(WIDE, 1, N, 1, Tile(N, 1, N, 1), 0, 12, 40, noise.encrypted(WIDE, public=False))
RNG = np.random.default_rng(0)
X = RNG.integers(-2000, 2000, (1, N))
D = RNG.integers(0, 4096, (N, 1), dtype=np.uint64)


def inverted(words: np.ndarray) -> np.ndarray:
    """1 / word of words (primes, N) in NTT form."""
    rows = zip(words.tolist(), WIDE.primes, strict=True)
    return np.array([[pow(w, -1, q) for w in row] for row, q in rows], dtype=np.uint64)


def quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator modulo X^N + 1 and each prime, all (primes, N)."""
    words = RING.multiply(RING.forward(numerator), inverted(RING.forward(denominator)))
    return RING.inverse(words)


def agreement(found: np.ndarray, polynomial: np.ndarray) -> int:
    """In how many of N coefficients `found` is the integer polynomial, modulo every prime."""
    return int((found == RING.lift(polynomial)).all(axis=0).sum())


C = upload(ONE, D)
A = C[0, 0, 1]
PLAIN = ONE.tile.encode_plain(X)[0, 0]
BARE = product(ONE, X, C)


def test_a_product_without_fresh_randomness_is_the_matrix():
    assert agreement(quotient(BARE[0, 1], A), PLAIN) == N


def test_a_fresh_zero_hides_the_matrix_before_any_rounding():
    fresh = RING.add(BARE, encrypt_zero(PUBLIC["wide"], 1))
    assert agreement(quotient(fresh[0, 1], A), PLAIN) == 0


@pytest.mark.parametrize("protected", [False, True])
@pytest.mark.parametrize("departure", ["mask", "flood"])
def test_rounding_does_not_hide_the_matrix_and_the_zero_does(departure, protected, monkeypatch):
    """16 products by one number each: every number is tried on eight coefficients of c1."""
    if not protected:
        monkeypatch.setattr(masking, "encrypt_zero", lambda _, n: np.zeros_like(bare[:n]))
    plan = Plan(WIDE, 16, 1, N, Tile(N, 1, 1, N), 0, 12, 40, ONE.fresh_std)
    P, c = RNG.integers(-2000, 2000, (16, 1)), upload(plan, D.T)
    bare = product(plan, P, c)
    if departure == "mask":
        sent, _ = masking.mask(plan, PUBLIC["wide"], bare)
    else:
        sent = masking.flood(plan, PUBLIC["wide"], bare, np.zeros((16, N), dtype=np.uint64))
    a = RNS.scale_down(c[0, :, 1], 52)[0, :8] * 2.0**-52  # as parts of Q
    seen = RNS.scale_down(returned_c1(plan, sent), 52)[:, :8] * 2.0**-52
    tried = np.arange(-2048, 2048)
    away = seen[:, None] - tried[:, None] * a
    fits = (np.abs(away - np.rint(away)) < 2.0**-30).all(axis=2)
    assert fits.sum() == (0 if protected else 16)
    assert protected or np.array_equal(tried[fits.argmax(axis=1)], P[:, 0])


def test_packing_on_the_encrypted_factor_hides_nothing():
    """c1 = f_0 a_0 + f_1 a_1 for images a_0, a_1 that anybody computes: two rounds, two unknowns.

    f_0 = p_0 + X p_1 and f_1 is the image of p_0 - X p_1, so both rows of the matrix follow.
    """
    plan = Plan(WIDE, 2, N, 1, Tile(N, 1, N, 1), 1, 12, 40, ONE.fresh_std)
    P = np.vstack((X, RNG.integers(-2000, 2000, (1, N))))
    tiles = Tiles(plan, ARITHMETIC["wide"], P)
    images, c1 = [], []
    for _ in range(2):
        c = upload(plan, RNG.integers(0, 4096, (N, 1), dtype=np.uint64))
        images.append(_images(PUBLIC["wide"], plan, c)[:, 1])
        c1.append(RING.forward(evaluate(PUBLIC["wide"], tiles, c)[0, 1]))
    (a, b), (c, d) = images
    determinant = RING.subtract(RING.multiply(a, d), RING.multiply(b, c))
    f_0 = RING.subtract(RING.multiply(c1[0], d), RING.multiply(c1[1], b))
    f_1 = RING.subtract(RING.multiply(c1[1], a), RING.multiply(c1[0], c))
    found = RING.multiply(np.stack((f_0, f_1)), inverted(determinant))
    (factors,) = tiles.chunks()
    assert np.array_equal(found, factors[0])


def test_packing_of_the_results_confirms_every_guess_of_the_matrix():
    """It is a function of public keys and no randomness: the key holder repeats it and compares."""
    plan = Plan(WIDE, 2, N, 1, Tile(N, 1, N, 1), 0, 12, 40, ONE.fresh_std)
    assert plan.levels == 1
    P = np.vstack((X, -X))
    c, wrong = upload(plan, D), P.copy()
    wrong[1, 17] += 1
    packed = product(plan, P, c)
    right, other = product(plan, P, c), product(plan, wrong, c)
    assert np.array_equal(right, packed)
    assert not (other == packed).all(axis=(0, 1, 2)).any()
    fresh = RING.add(packed, encrypt_zero(PUBLIC["wide"], 1))
    for guess in (right, other):  # with a zero on top both are off by what looks uniform
        parts = RING.subtract(fresh, guess)[0, 1] / np.array(WIDE.primes)[:, None]
        for row in parts:
            assert chisquare(np.bincount((row * 16).astype(int), minlength=16)).pvalue > 1e-9


def test_one_zero_for_two_results_gives_the_difference_of_the_rows():
    other = RNG.integers(-2000, 2000, (1, N))
    zero = encrypt_zero(PUBLIC["wide"], 1)
    first, second = RING.add(BARE, zero), RING.add(product(ONE, other, C), zero)
    found = quotient(RING.subtract(first, second)[0, 1], A)
    assert agreement(found, PLAIN - ONE.tile.encode_plain(other)[0, 0]) == N


@pytest.mark.parametrize("departure", ["mask", "flood"])
def test_every_result_and_every_retry_has_a_zero_of_its_own(departure):
    """Two equal rows are two equal ciphertexts at home; away no coefficient of c1 repeats."""
    plan = Plan(WIDE, 2, 3, N, Tile(N, 1, 1, N), 0, 12, 40, ONE.fresh_std)
    C = RNG.integers(0, 4096, (3, N), dtype=np.uint64)
    twins = product(plan, np.array([[5, -6, 7]] * 2), upload(plan, C))
    assert plan.results == 2 and np.array_equal(twins[0], twins[1])
    values = np.zeros((2, N), dtype=np.uint64)
    c1 = []
    for _ in range(2):
        if departure == "mask":
            sent, _ = masking.mask(plan, PUBLIC["wide"], twins)
        else:
            sent = masking.flood(plan, PUBLIC["wide"], twins, values)
        c1 += list(returned_c1(plan, sent))
    for i, j in itertools.combinations(range(4), 2):
        assert not (c1[i] == c1[j]).all(axis=0).any()


def test_unused_coefficients_are_the_other_inner_products_and_give_the_matrix():
    """c0 sent whole: all N coefficients of p d can be read, and d is known."""
    fresh = RING.add(BARE, encrypt_zero(PUBLIC["wide"], 1))  # c1 is covered
    messages = decrypt(SECRET["wide"], fresh, 40)[0].view(np.int64)
    signed = messages << 24 >> 24
    shifted = np.array([X[0, : N - j] @ D[j:, 0].view(np.int64) for j in range(3)])
    tail = np.array([X[0, N - j :] @ D[:j, 0].view(np.int64) for j in range(3)])
    assert signed[0] == shifted[0] == (X[0] @ D[:, 0].view(np.int64))
    assert np.array_equal(signed[:3], shifted - tail)
    known = RING.lift(D[:, 0].view(np.int64))
    assert agreement(quotient(RING.lift(signed), known), PLAIN) == N


def test_without_the_rest_of_c0_the_other_inner_products_cannot_be_read():
    sent, _ = masking.mask(ONE, PUBLIC["wide"], BARE)
    messages = decrypt(SECRET["wide"], BARE, 40)[0]
    half = RNS.scale_down(times_secret(SECRET["wide"], returned_c1(ONE, sent)), 40)[0]
    assert abs(correlation(half[1:], messages[1:])) < 7 / np.sqrt(N)
    assert (half == messages).sum() < 3


@pytest.mark.parametrize(
    "shape", [(1, 4096, 1), (300, 4096, 1), (9, 100, 3), (2, 5, 4096)], ids=str
)
def test_the_bytes_that_leave_hold_c1_and_one_number_a_result(shape):
    plan = choose(COMPACT, shape, plain_bits=8, modulus_bits=33)
    public = SECRET["compact"].publish(plan.levels)
    zeros = np.zeros((plan.results, 2, 2, 4096), dtype=np.uint64)
    sent, share = masking.mask(plan, public, zeros)
    numbers = shape[0] * shape[2]
    assert len(share) == shape[0] * shape[2]
    assert len(sent) == plan.results * 4096 * (33 + 9) // 8 + -(-numbers * (33 + 4) // 8)
