"""Key switching: bit for bit a model in Python's integers, and little noise in a decryption."""

import functools
import math

import numpy as np
import pytest
from ring_models import both, column, image, negacyclic, primes_below, residues

from vfl_crypto import _native

pytestmark = pytest.mark.usefixtures("level")

S2 = (34359697409, 34359451649, 68719403009)  # q0, q1, P


def centred(x, q):
    return [v - q if v > q // 2 else v for v in x]


@functools.cache
def cases(bits, n=1024):
    """Primes by their sizes (S2 where none are given), a batch of ciphertexts and some key."""
    primes = S2
    if bits:
        # Distinct even where sizes repeat.
        primes = tuple(primes_below(2**b, n, i + 1)[i] for i, b in enumerate(bits))
    k = len(primes) - 1
    return primes, residues(primes[:-1], (3, 2), n), residues(primes, (k, 2), n, seed=1)


@functools.cache
def switched(bits, exponent, index):
    """One ciphertext of the case, by the definition."""
    primes, c, key = cases(bits)
    *qs, special = primes
    key = _native.Ring(c.shape[-1], primes).inverse(key).tolist()
    moved = [
        [image(limb, exponent, q) for limb, q in zip(poly, qs, strict=True)]
        for poly in c[index].tolist()
    ]
    digits = [centred(limb, q) for limb, q in zip(moved[1], qs, strict=True)]
    result = []
    for poly in range(2):
        sums = []
        for j, q in enumerate(primes):
            products = [
                negacyclic([v % q for v in digit], key[d][poly][j], q)
                for d, digit in enumerate(digits)
            ]
            sums.append([sum(terms) % q for terms in zip(*products, strict=True)])
        rest = centred(sums[-1], special)
        for j, q in enumerate(qs):
            inverse = pow(special, -1, q)
            start = moved[0][j] if poly == 0 else [0] * len(rest)
            result.append([
                (x + (t - u) * inverse) % q
                for x, t, u in zip(start, sums[j], rest, strict=True)
            ])  # fmt: skip
    return np.array(result, dtype=np.uint64).reshape(c[index].shape)


@pytest.mark.parametrize(
    "bits",
    [
        (),
        (49, 49, 49, 49),
        (50, 50, 50),
        (50, 30),
        (30, 50),
        (60, 40, 60),
        (30, 49, 49),
        (40, 20, 40),
        (20, 60),
    ],
    ids=str,
)
def test_switching_is_the_definition_in_integers(bits):
    primes, c, key = cases(bits)
    keyswitch = _native.KeySwitch(c.shape[-1], primes[:-1], primes[-1])
    for exponent in (1, 517):
        result = both(keyswitch.switch, c, key, exponent)
        assert np.array_equal(result[0], switched(bits, exponent, 0))
        single = both(keyswitch.switch, c[1:2].copy(), key, exponent)
        assert np.array_equal(result[1:2], single)
    assert np.array_equal(result[2], switched(bits, 517, 2))


def test_sums_of_many_digits_at_their_extremes_are_exact():
    """Eleven digits: sums of doubles must be reduced on the way."""
    n = 1024
    primes = primes_below(2**50, n, 12)
    ring = _native.Ring(n, primes)
    c = residues(primes[:-1], (1, 2), n)
    c[0, :, :, 10:] = (np.array(primes[:-1], dtype=np.uint64)[:, None] // np.uint64(2)) + np.uint64(
        1
    )
    key = residues(primes, (11, 2), n)
    key[:, :, :, 9:] = np.array(primes, dtype=np.uint64)[:, None] - np.uint64(1)
    # The digits' sums, from the ring's own tested operations.
    digits = np.array([centred(c[0, 1, d].tolist(), q) for d, q in enumerate(primes[:-1])])
    values = ring.forward(ring.lift(digits))
    sums = ring.inverse(ring.multiply_accumulate(values[None], key)[0]).astype(object)
    rest = np.array([centred(poly[-1], primes[-1]) for poly in sums])
    inverses = column([pow(primes[-1], -1, q) for q in primes[:-1]])
    expected = (sums[:, :-1] - rest[:, None]) * inverses % column(primes[:-1])
    expected[0] = (expected[0] + c[0, 0]) % column(primes[:-1])
    keyswitch = _native.KeySwitch(n, primes[:-1], primes[-1])
    assert np.array_equal(both(keyswitch.switch, c, key, 1)[0], expected)


def test_packing_is_its_formula():
    primes, c, key = cases(())
    n = c.shape[-1]
    ring = _native.Ring(n, primes[:-1])
    keyswitch = _native.KeySwitch(n, primes[:-1], primes[-1])
    nodes = np.concatenate((c, c[::-1], c[1:2]))  # seven: the last has no neighbour
    a, b = nodes[0::2].copy(), np.concatenate((nodes[1::2], np.zeros_like(c[:1])))
    for shift in (0, 256, n, 2 * n - 1):
        moved = ring.shift(b, shift)
        image = keyswitch.switch(ring.subtract(a, moved), key, 517)
        expected = ring.add(ring.add(a, moved), image)
        assert np.array_equal(both(keyswitch.pack, nodes, shift, key, 517), expected)
    for count in (1, 2, 3):
        few = both(keyswitch.pack, nodes[:count].copy(), 2 * n - 1, key, 517)
        assert np.array_equal(
            few[:1], expected[:1] if count > 1 else image_of_one(keyswitch, c, key)
        )
    assert keyswitch.pack(nodes[:0], 1, key, 517).shape == (0, 2, 2, n)


def image_of_one(keyswitch, c, key):
    ring = _native.Ring(c.shape[-1], S2[:2])
    return ring.add(c[:1].copy(), keyswitch.switch(c[:1].copy(), key, 517))


def test_images_are_chains_of_switches():
    primes, c, key = cases(())
    keyswitch = _native.KeySwitch(c.shape[-1], primes[:-1], primes[-1])
    keys, exponents = [key, key[::-1].copy(), key], [517, 3, 2047]
    blocks = np.concatenate((c, c[::-1])).reshape(2, 3, *c.shape[1:])
    images = both(keyswitch.images, blocks, keys, exponents)
    assert images.shape == (2, 8, *blocks.shape[1:])
    for which in range(8):
        chain = blocks.reshape(-1, *c.shape[1:])
        for step in range(3):
            if which >> step & 1:
                chain = keyswitch.switch(chain, keys[step], exponents[step])
        assert np.array_equal(images[:, which].reshape(chain.shape), chain)
    assert np.array_equal(keyswitch.images(blocks, [], [])[:, 0], blocks)


def test_a_switched_ciphertext_decrypts_to_the_image_with_the_noise_of_the_formula():
    n, exponent = 4096, 4096 // 8 + 1
    *qs, special = S2
    Q, draw = math.prod(qs), np.random.default_rng(8)
    full, ring = _native.Ring(n, S2), _native.Ring(n, qs)
    secret = draw.integers(-1, 1, n, endpoint=True)
    s = full.forward(full.lift(secret))
    moved = full.forward(full.automorphism(full.lift(secret), exponent))
    a = residues(S2, (2,), n, seed=9)
    errors = np.rint(draw.normal(0, 3.2, (2, n))).astype(np.int64)
    b = full.subtract(full.forward(full.lift(errors)), full.multiply(a, s))
    for d, q in enumerate(qs):  # the limb q_d carries P s(X^exponent)
        term = moved[d].astype(object) * special
        b[d, d] = ((b[d, d] + term) % q).astype(np.uint64)
    key = np.ascontiguousarray(np.stack([b, a], axis=1))

    def phase(c):
        limbs = ring.forward(c)
        words = ring.add(limbs[:, 0].copy(), ring.multiply(limbs[:, 1].copy(), s[:2].copy()))
        return ring.inverse(words)

    c = residues(qs, (4, 2), n, seed=10)
    result = both(_native.KeySwitch(n, qs, special).switch, c, key, exponent)
    noise = ring.subtract(phase(result), ring.automorphism(phase(c), exponent)).astype(object)
    joined = sum(noise[:, i] * (Q // q) * pow(Q // q, -1, q) for i, q in enumerate(qs)) % Q
    joined = np.where(joined > Q // 2, joined - Q, joined).astype(float)
    formula = math.sqrt((qs[0] / special) ** 2 / 12 * 2 * n * 3.2**2 + (1 + 2 * n / 3) / 12)
    assert formula == pytest.approx(44.5, abs=0.1)
    assert joined.std() == pytest.approx(formula, rel=0.04)
    assert abs(joined).max() < 6 * formula


@pytest.mark.parametrize(
    ("primes", "special", "reason"),
    [
        ([], S2[2], "at least one prime"),
        (S2[:2], S2[1], "twice"),
        (S2[:2], S2[2] + 2, "not a prime"),
        (S2[:2], primes_below(2**40, 1024, 1)[0], "not 1 modulo"),
    ],
)
def test_a_key_switch_needs_fitting_primes(primes, special, reason):
    with pytest.raises(ValueError, match=reason):
        _native.KeySwitch(4096, primes, special)


def test_shapes_that_do_not_fit_are_refused():
    primes, c, key = cases(())
    keyswitch = _native.KeySwitch(1024, primes[:-1], primes[-1])
    calls = [
        lambda: keyswitch.switch(c[0], key, 1),
        lambda: keyswitch.switch(c[:, :1].copy(), key, 1),
        lambda: keyswitch.switch(c[..., :512].copy(), key, 1),
        lambda: keyswitch.switch(c, key[:, :, :2].copy(), 1),
        lambda: keyswitch.switch(c, key[:1], 1),
        lambda: keyswitch.switch(c, key, 2),
        lambda: keyswitch.switch(c, key, 2049),
        lambda: keyswitch.pack(c[0], 0, key, 1),
        lambda: keyswitch.pack(c, 2048, key, 1),
        lambda: keyswitch.pack(c, 0, key, 0),
        lambda: keyswitch.pack(c, 0, key[0], 1),
        lambda: keyswitch.images(c, [key], [1]),
        lambda: keyswitch.images(c[None], [key], [1, 3]),
        lambda: keyswitch.images(c[None], [key[:1]], [1]),
        lambda: keyswitch.images(c[None], [key], [2]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"\w+ \w+"):
            call()
    assert keyswitch.switch(c[:0], key, 1).shape == (0, 2, 2, 1024)
