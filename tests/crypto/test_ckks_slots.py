"""Slot sums live in few coefficients, and SEAL's word order puts those into sums of neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, WireError
from vfl_crypto.oracles.ckks_noise import CkksParameters
from vfl_crypto.oracles.ckks_slots import MAX_ROWS, Layout, class_values, pair
from vfl_crypto.oracles.residues import (
    add_mod,
    fold,
    reverse_bits,
    smallest_root,
    unfold,
    wanted_coefficients,
)
from vfl_crypto.oracles.seal_bytes import ciphertext_bytes, require_words
from vfl_crypto.oracles.seal_ring import Ring

N = 8192
RING = Ring(CkksParameters())
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
def test_folded_words_of_seal_hold_the_class_means(classes):
    rng = np.random.default_rng(classes)
    z = rng.normal(size=N // 2) + 1j * rng.normal(size=N // 2)
    words = RING.plain_words(RING.encode(z, RING.sums_level, 2.0**44))
    wanted = wanted_coefficients(
        fold(words, 2 * classes, RING.primes[0]), N, RING.primes[0], RING.root
    )
    means = z.reshape(-1, classes).mean(axis=0)
    got = np.ldexp(class_values(wanted), -44)
    assert np.abs(got - np.concatenate((means.real, means.imag))).max() < 2**-36


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_wanted_coefficients_by_the_definition_of_the_transform(count):
    n, q = 16, 97
    psi = smallest_root(n, q)
    assert pow(psi, n, q) == q - 1
    assert psi == min(r for r in range(2, q) if pow(r, n, q) == q - 1)
    p = [int(c) for c in np.random.default_rng(count).integers(-48, 49, size=n)]
    points = [pow(psi, 2 * reverse_bits(i, n) + 1, q) for i in range(n)]
    words = np.array(
        [sum(c * pow(x, k, q) for k, c in enumerate(p)) % q for x in points], np.uint64
    )
    assert wanted_coefficients(fold(words, count, q), n, q, psi).tolist() == p[:: n // count]


@given(st.data())
def test_modular_sums_are_those_of_integers(data):
    q = RING.primes[0]
    residues = st.lists(st.integers(0, q - 1), min_size=16, max_size=16)
    a, b = data.draw(residues), data.draw(residues)
    left, right = np.array(a, dtype=np.uint64), np.array(b, dtype=np.uint64)
    assert add_mod(left, right, np.uint64(q)).tolist() == [
        (x + y) % q for x, y in zip(a, b, strict=True)
    ]
    count = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    sums = [sum(a[k : k + 16 // count]) % q for k in range(0, 16, 16 // count)]
    assert fold(left, count, q).tolist() == sums
    assert fold(unfold(fold(left, count, q), 64), count, q).tolist() == sums


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


def test_words_at_or_above_their_prime_are_refused():
    good = np.zeros((1, 4, N), dtype=np.uint64)
    shape, primes = good.shape, RING.primes[:2]
    for at in range(4):
        for value in (primes[at % 2], 2**64 - 1):
            bad = good.copy()
            bad[0, at, -1] = value
            with pytest.raises(WireError):
                require_words(bad, shape, primes, "it")
        good[0, at, -1] = primes[at % 2] - 1
    assert require_words(good, shape, primes, "it") is not None
    with pytest.raises(KeyMismatchError):
        require_words(good.astype(np.float64), shape, primes, "it")
    with pytest.raises(KeyMismatchError):
        require_words(good[:, :3], shape, primes, "it")


def test_our_framing_is_read_by_seal_and_gives_the_same_words():
    rng = np.random.default_rng(3)
    words = np.stack([rng.integers(0, q, size=(2, N), dtype=np.uint64) for q in RING.primes[:2]], 1)
    loaded = RING.ciphertext(words, RING.rows_level, 2.0**30)
    assert loaded.scale == 2.0**30
    assert np.array_equal(RING.words(loaded), words)
    assert len(ciphertext_bytes(words, RING.rows_level, 1.0)) == 16 + 65 + 16 + 8 + words.nbytes
