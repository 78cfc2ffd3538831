"""Rows side by side: every batch size, every number of limbs, the largest limbs there are."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto import _native
from vfl_crypto.paillier.limbs import from_limbs, limbs_for, to_limbs

LEVELS = _native.cpu_levels()
pytestmark = pytest.mark.usefixtures("level")


def ring(n, *, square):
    return _native.Modulus(to_limbs([n], limbs_for(n.bit_length()))[0], square=square)


def draws(m, count, seed=0):
    draw = random.Random(seed)
    return [draw.randrange(m) for _ in range(count)]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("bits", [*range(40, 480, 52), *range(46, 480, 52), 1020, 1037, 1555, 2077])
def test_any_number_of_limbs_and_limbs_of_all_ones(bits, square):
    """Moduli and residues next to powers of two: limbs of all ones and of zeros in every radix."""
    for n in ((1 << bits) - 1, (1 << bits) + 1, (1 << bits) - (1 << bits // 2) + 1):
        m, modulus = n * n if square else n, ring(n, square=square)
        edges = [m - 1, m - 2, m >> 1, (1 << (m.bit_length() - 1)) - 1, n - 1, n % m, 1]
        left, right = edges * len(edges), [e for e in edges for _ in edges]
        rows = to_limbs(left, modulus.limbs), to_limbs(right, modulus.limbs)
        assert from_limbs(_native.modmul(*rows, modulus)) == [
            a * b % m for a, b in zip(left, right, strict=True)
        ]
        powers = _native.modexp(rows[0], to_limbs([(1 << 64) - 1], 1), modulus)
        assert from_limbs(powers) == [pow(a, (1 << 64) - 1, m) for a in left]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("rows", range(10))
def test_every_batch_size(rows, square):
    n = draws(1 << 700, 1)[0] | 1 << 699 | 1
    m, modulus = n * n if square else n, ring(n, square=square)
    a, b = draws(m, rows, 1), draws(m, rows, 2)
    exponents = draws(1 << 128, rows, 3)
    limbs = [to_limbs(x, modulus.limbs) for x in (a, b)]
    powers = to_limbs(exponents, 2)
    want = [pow(x, e, m) for x, e in zip(a, exponents, strict=True)]
    for threads in (1, 2, 3):
        assert from_limbs(_native.modmul(*limbs, modulus, threads)) == [
            x * y % m for x, y in zip(a, b, strict=True)
        ]
        if rows:
            assert from_limbs(_native.modexp(limbs[0], powers, modulus, threads)) == want
    table = _native.FixedBase(to_limbs([m - 2], modulus.limbs)[0], modulus, 128, 5)
    assert from_limbs(table.pow(powers, limbs[0], 2)) == [
        x * pow(m - 2, e, m) % m for x, e in zip(a, exponents, strict=True)
    ]


@pytest.mark.parametrize("exponent_bits", [1, 2, 5, 6, 11, 40])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6, 7])
def test_lanes_share_the_windows_of_few_rows(exponent_bits, rows):
    """Fewer windows than lanes, as many, and more."""
    n = (1 << 127) - 1
    modulus = ring(n, square=True)
    exponents = draws(1 << exponent_bits, rows, rows)
    for window in (1, 3, 10):
        table = _native.FixedBase(
            to_limbs([7**60], modulus.limbs)[0], modulus, exponent_bits, window
        )
        assert from_limbs(table.pow(to_limbs(exponents, 1))) == [
            pow(7**60, e, n * n) for e in exponents
        ]


@settings(max_examples=60)
@given(data=st.data(), rows=st.integers(1, 6), columns=st.integers(1, 6), bits=st.integers(1, 61))
def test_accumulators_do_not_depend_on_level_or_threads(data, rows, columns, bits):
    n = (1 << 521) - 1
    modulus = ring(n, square=True)
    top = (1 << bits) - 1
    cells = data.draw(
        st.lists(st.integers(-top, top), min_size=rows * columns, max_size=rows * columns)
    )
    exponents = np.array(cells, dtype=np.int64).reshape(rows, columns)
    bases = to_limbs(draws(n * n, rows), modulus.limbs)
    here = _native.cpu_level()
    results = []
    for level in LEVELS:
        _native.set_cpu_level(level)
        results += [_native.multiexp(bases, exponents, modulus, threads) for threads in (1, 3)]
    _native.set_cpu_level(here)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("bits", [4096, 8192])
def test_long_moduli_keep_their_column_sums_in_64_bits(bits):
    n = (1 << bits) - 1
    modulus = ring(n, square=True)
    m = n * n
    rows = [m - 1, m - 2, n - 1, m - n, m - n - 1]
    limbs = to_limbs(rows, modulus.limbs)
    assert from_limbs(_native.modmul(limbs, limbs, modulus)) == [a * a % m for a in rows]
    assert from_limbs(_native.modexp(limbs, to_limbs([65537], 1), modulus)) == [
        pow(a, 65537, m) for a in rows
    ]


def test_a_modulus_too_long_for_the_lanes_is_served_all_the_same():
    """513 limbs of 52 bits: more than the column sums hold."""
    n = (1 << 26_660) - 1
    modulus = ring(n, square=False)
    rows = [n - 1, n - 2, n >> 1]
    limbs = to_limbs(rows, modulus.limbs)
    assert from_limbs(_native.modmul(limbs, limbs, modulus)) == [a * a % n for a in rows]


def test_the_rounding_of_the_caller_is_left_as_it_was():
    modulus = ring((1 << 89) - 1, square=True)
    rows = to_limbs([3, 4, 5, 6], modulus.limbs)
    tenths = np.full(3, 0.1)
    before = (tenths + 0.2).tolist(), 1 / 3, -1 / 3
    for threads in (1, 2):
        _native.modmul(rows, rows, modulus, threads)
        with pytest.raises(ValueError, match="not below the modulus"):
            _native.modmul(rows, np.full_like(rows, 2**64 - 1), modulus, threads)
        assert ((tenths + 0.2).tolist(), 1 / float(3), -1 / float(3)) == before
