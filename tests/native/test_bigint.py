"""Modular arithmetic of the kernels against Python's integers, at every instruction level."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto import _native
from vfl_crypto.paillier.limbs import from_limbs, limbs_for, to_limbs

SIZES = (64, 65, 127, 508, 509, 1023, 1024, 2047, 2048, 3072)
THREADS = (1, 2)

pytestmark = pytest.mark.usefixtures("level")


def ring(n, *, square):
    return _native.Modulus(to_limbs([n], limbs_for(n.bit_length()))[0], square=square)


def moduli(bits):
    """An ordinary odd number of that size, and the smallest and largest of it."""
    draw = random.Random(bits)
    return draw.getrandbits(bits) | 1 << (bits - 1) | 1, 1 << (bits - 1) | 1, (1 << bits) - 1


def residues(m, count, seed=0):
    """The edges of [0, m) and random numbers: `count` in all."""
    draw = random.Random(seed)
    ones = (1 << (m.bit_length() - 1)) - 1
    edges = [0, 1, m - 1, m - 2, m // 2, ones, math.isqrt(m), ones ^ (ones >> 64)]
    return (edges + [draw.randrange(m) for _ in range(count)])[:count]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("bits", SIZES)
def test_products_are_those_of_python_integers(bits, square):
    for n in moduli(bits):
        m, modulus = n * n if square else n, ring(n, square=square)
        left = [a for a in residues(m, 10) for _ in range(10)]
        right = residues(m, 10) * 10
        expected = [a * b % m for a, b in zip(left, right, strict=True)]
        arrays = to_limbs(left, modulus.limbs), to_limbs(right, modulus.limbs)
        for threads in THREADS:
            assert from_limbs(_native.modmul(*arrays, modulus, threads)) == expected


def test_a_modulus_of_6144_bits_and_more_is_no_special_case():
    for bits in (6144, 6200, 8192):
        n = moduli(bits)[0]
        modulus = ring(n, square=False)
        values = residues(n, 9)
        rows = to_limbs(values, modulus.limbs)
        assert from_limbs(_native.modmul(rows, rows[::-1].copy(), modulus)) == [
            a * b % n for a, b in zip(values, values[::-1], strict=True)
        ]


@settings(max_examples=150)
@given(data=st.data(), bits=st.integers(2, 700), square=st.booleans())
def test_products_hold_for_any_odd_modulus(data, bits, square):
    n = data.draw(st.integers(max(3, 1 << (bits - 1)), (1 << bits) - 1)) | 1
    m, modulus = n * n if square else n, ring(n, square=square)
    a, b = (data.draw(st.integers(0, m - 1)) for _ in "ab")
    product = _native.modmul(to_limbs([a], modulus.limbs), to_limbs([b], modulus.limbs), modulus)
    assert from_limbs(product) == [a * b % m]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("bits", [64, 509, 1024, 1536])
def test_powers_are_those_of_python_integers(bits, square):
    n = moduli(bits)[0]
    m, modulus = n * n if square else n, ring(n, square=square)
    bases = residues(m, 10)
    exponents = [0, 1, 2, 31, 32, (1 << 192) - 1, 1 << 191, *residues(1 << 192, 10)][:10]
    rows, powers = to_limbs(bases, modulus.limbs), to_limbs(exponents, 3)
    for threads in THREADS:
        assert from_limbs(_native.modexp(rows, powers, modulus, threads)) == [
            pow(b, e, m) for b, e in zip(bases, exponents, strict=True)
        ]
        for e in (0, exponents[-1]):
            shared = _native.modexp(rows, to_limbs([e], 3), modulus, threads)
            assert from_limbs(shared) == [pow(b, e, m) for b in bases]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize(("exponent_bits", "window"), [(1, 1), (130, 5), (192, 8), (190, 11)])
def test_a_fixed_base_gives_the_same_powers(exponent_bits, window, square):
    n = moduli(768)[0]
    m, modulus = n * n if square else n, ring(n, square=square)
    base = residues(m, 9)[-1]
    top = (1 << exponent_bits) - 1
    exponents = [0, 1, top, top // 3, *residues(top + 1, 12)[-4:]]
    times = residues(m, len(exponents))
    for threads in THREADS:
        table = _native.FixedBase(
            to_limbs([base], modulus.limbs)[0], modulus, exponent_bits, window, threads
        )
        rows = to_limbs(exponents, 4)
        powers = [pow(base, e, m) for e in exponents]
        assert from_limbs(table.pow(rows, threads=threads)) == powers
        assert from_limbs(table.pow(rows, to_limbs(times, modulus.limbs), threads)) == [
            t * p % m for t, p in zip(times, powers, strict=True)
        ]


def assert_multiexp(n, bases, exponents, *, square, threads):
    m, modulus = n * n if square else n, ring(n, square=square)
    positive, negative = _native.multiexp(
        to_limbs(bases, modulus.limbs), exponents, modulus, threads
    )
    for j, (p, q) in enumerate(zip(from_limbs(positive), from_limbs(negative), strict=True)):
        up = math.prod(
            pow(b, int(x), m) for b, x in zip(bases, exponents[:, j], strict=True) if x > 0
        )
        down = math.prod(
            pow(b, -int(x), m) for b, x in zip(bases, exponents[:, j], strict=True) if x < 0
        )
        assert p * down % m == q * up % m
        assert math.gcd(q, m) == 1
    return positive, negative


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 5, 19, 20, 26, 40, 61])
def test_multi_exponentiation_is_the_product_of_powers(bits, square):
    n = 3 * moduli(512)[0] | 1
    draw = random.Random(bits)
    bases = [b for b in (draw.randrange(1, n) for _ in range(40)) if math.gcd(b, n) == 1][:17]
    top = (1 << bits) - 1
    exponents = np.array(
        [[draw.randint(-top, top) for _ in range(6)] for _ in bases], dtype=np.int64
    )
    exponents[:, 0], exponents[:, 1], exponents[:, 2] = top, -top, 0
    results = [
        assert_multiexp(n, bases, exponents, square=square, threads=threads)
        for threads in (1, 2, 5)
    ]
    for other in results[1:]:  # the same canonical residues, not only the same quotients
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@settings(max_examples=40)
@given(
    exponents=st.lists(
        st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3), min_size=1, max_size=5
    )
)
def test_multi_exponentiation_of_any_small_matrix(exponents):
    n = (1 << 521) - 1  # a prime: every base is a unit
    bases = residues(n, 20, seed=3)[-len(exponents) :]
    assert_multiexp(n, bases, np.array(exponents, dtype=np.int64), square=True, threads=1)


def test_multi_exponentiation_of_nothing_is_one():
    modulus = ring(moduli(128)[0], square=True)
    rows, empty = np.zeros((0, modulus.limbs), np.uint64), np.zeros((0, 2), np.int64)
    for part in _native.multiexp(rows, empty, modulus, 2):
        assert from_limbs(part) == [1, 1]


def test_bad_arguments_are_refused_by_name():
    n = moduli(256)[0]
    modulus = ring(n, square=False)
    good, high = to_limbs([n - 1], 4), to_limbs([n], 4)
    with pytest.raises(ValueError, match="odd"):
        _native.Modulus(to_limbs([n - 1], 4)[0])
    with pytest.raises(ValueError, match="row 0 is not below the modulus"):
        _native.modmul(good, high, modulus)
    with pytest.raises(ValueError, match="4 limbs a row, not 5"):
        _native.modmul(to_limbs([1], 5), good, modulus)
    with pytest.raises(ValueError, match="do not match"):
        _native.modmul(good, np.concatenate((good, good)), modulus)
    with pytest.raises(ValueError, match="not below 2\\^65"):
        _native.FixedBase(good[0], modulus, 65, 4).pow(to_limbs([1 << 65], 2))
    with pytest.raises(ValueError, match="window"):
        _native.FixedBase(good[0], modulus, 64, 17)
    with pytest.raises(ValueError, match="2\\^62"):
        _native.multiexp(good, np.array([[1 << 62]], dtype=np.int64), modulus)
