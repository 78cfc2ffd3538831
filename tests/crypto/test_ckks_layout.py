"""Slot sums live in few coefficients, and the word order puts those into sums of neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.encoding import encode, residues
from vfl_crypto.ckks.fold import fold, unfold
from vfl_crypto.ckks.layout import MAX_ROWS, Layout, class_values, pair
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.errors import EncodingOverflowError

N = 8192
ARITHMETIC = Arithmetic(Parameters.of_bits(N, [50, 60, 50]))
POWERS = [2**k for k in range(1, 13)]


def slots_by_definition(coefficients):
    """p(zeta^(3^j)), j < N/2, term by term."""
    n = len(coefficients)
    exponents = [pow(3, j, 2 * n) for j in range(n // 2)]
    return np.exp(1j * np.pi / n * np.outer(exponents, np.arange(n))) @ coefficients


@pytest.mark.parametrize("classes", [2, 4, 8, 16, 32])
def test_class_sums_need_the_coefficients_at_multiples_of_s_alone(classes):
    n, s = 64, 64 // (2 * classes)
    p = np.random.default_rng(classes).normal(size=n)
    only = np.where(np.arange(n) % s == 0, p, 0.0)
    sums = slots_by_definition(p).reshape(-1, classes).sum(axis=0)
    assert np.allclose(sums, slots_by_definition(only).reshape(-1, classes).sum(axis=0))
    values = class_values(p[::s])
    copies = n // 2 // classes
    assert np.allclose(copies * (values[:classes] + 1j * values[classes:]), sums)


def test_the_sum_over_all_slots_needs_a_second_pair_of_coefficients():
    """Why there are at least two classes: <3> does not contain -1 modulo 8."""
    p = np.zeros(64)
    p[16] = 1.0
    assert abs(slots_by_definition(p).sum()) > 20
    p = np.random.default_rng(1).normal(size=64)
    p[::16] = 0.0
    assert abs(slots_by_definition(p).sum()) < 1e-12


@pytest.mark.parametrize("classes", POWERS)
def test_folded_words_hold_the_class_means(classes):
    rng = np.random.default_rng(classes)
    z = rng.normal(size=N // 2) + 1j * rng.normal(size=N // 2)
    words = residues(ARITHMETIC, encode(ARITHMETIC, z[None], 2.0**44), 2)
    sums = fold(words, 2 * classes, ARITHMETIC.parameters.data)
    assert sums.shape == (1, 2, 2 * classes)
    coefficients = ARITHMETIC.ring(2).inverse(unfold(sums, N))
    wanted = ARITHMETIC.chain.compose(coefficients)[:, :: N // (2 * classes)]
    means = z.reshape(-1, classes).mean(axis=0)
    got = np.ldexp(class_values(wanted), -44)[0]
    assert np.abs(got - np.concatenate((means.real, means.imag))).max() < 2**-36


@given(st.data())
def test_folds_are_sums_of_integers(data):
    primes = ARITHMETIC.parameters.data
    limbs = [data.draw(st.lists(st.integers(0, q - 1), min_size=16, max_size=16)) for q in primes]
    words = np.array(limbs, dtype=np.uint64)
    count = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    sums = [
        [sum(limb[k : k + 16 // count]) % q for k in range(0, 16, 16 // count)]
        for limb, q in zip(limbs, primes, strict=True)
    ]
    assert fold(words, count, primes).tolist() == sums
    assert fold(unfold(fold(words, count, primes), 64), count, primes).tolist() == sums


@given(rows=st.integers(1, 20000), seed=st.integers(0, 2**32 - 1))
def test_spread_and_gather_are_inverse_and_repeat_each_row(rows, seed):
    layout = Layout(rows, N // 2)
    values = np.random.default_rng(seed).normal(size=rows)
    slots = layout.spread(values)
    assert slots.shape == (layout.blocks, N // 2)
    assert layout.classes >= 2 and layout.padded * layout.classes == N // 2
    assert layout.total >= layout.blocks * layout.padded >= rows
    assert np.allclose(layout.gather(slots), values, rtol=1e-15)


@given(rows=st.integers(1, 9000), features=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_slot_products_of_the_layout_sum_to_the_matrix_product(rows, features, seed):
    rng = np.random.default_rng(seed)
    X, d = rng.integers(-9, 9, size=(rows, features)), rng.integers(-9, 9, size=rows)
    layout = Layout(rows, N // 2)
    columns = layout.columns(X.astype(np.float64))
    products = (columns * layout.spread(d.astype(np.float64))).sum(axis=1)
    sums = products.reshape(len(columns), -1, layout.classes).sum(axis=1)
    flat = np.stack((sums.real, sums.imag), axis=1).reshape(-1)
    assert np.array_equal(flat[:features], X.T @ d) and not flat[features:].any()
    assert np.array_equal(pair(flat, layout.classes), sums)


@pytest.mark.parametrize("rows", [0, MAX_ROWS + 1])
def test_a_layout_refuses_no_rows_and_too_many(rows):
    with pytest.raises(EncodingOverflowError):
        Layout(rows, N // 2)
