"""Polynomial rings against Python's integers, at every instruction level and on two threads."""

import functools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ring_models import both, column, image, negacyclic, primes_below, residues

from vfl_crypto import _native

pytestmark = pytest.mark.usefixtures("level")

BITS = (18, 21, 30, 35, 44, 48, 49, 50, 51, 60, 61)


@pytest.mark.parametrize("bits", BITS)
def test_the_transform_is_evaluation_at_odd_powers_of_the_smallest_root(bits):
    n = 1024
    (q,) = primes_below(2**bits, n, 1)
    ring = _native.Ring(n, [q])
    (psi,) = ring.roots
    assert pow(psi, n, q) == q - 1
    assert psi == min(pow(psi, e, q) for e in range(1, 2 * n, 2))
    x = residues([q], (), n)
    values = both(ring.forward, x)
    for i in (0, 1, 2, 3, 6, 13, 21, 42, 85, 127, 341, 511, 512, 767, 1022, 1023):
        z = pow(psi, 2 * int(f"{i:010b}"[::-1], 2) + 1, q)
        expected = 0
        for coefficient in x[0, ::-1].tolist():
            expected = (expected * z + coefficient) % q
        assert int(values[0, i]) == expected


@functools.cache
def factors_and_product(log_n, bits):
    n = 2**log_n
    (q,) = primes_below(2**bits, n, 1)
    x = residues([q], (2,), n, seed=bits)
    x[1, 0, 5 : n // 2] = q - 1
    return q, x, negacyclic(x[0, 0].tolist(), x[1, 0].tolist(), q)


@pytest.mark.parametrize("bits", [30, 35, 49, 50, 60])
@pytest.mark.parametrize("log_n", [10, 11, 12, 13])
def test_products_of_values_are_negacyclic_products(log_n, bits):
    q, x, expected = factors_and_product(log_n, bits)
    ring = _native.Ring(2**log_n, [q])
    values = ring.forward(x)
    product = ring.inverse(ring.multiply(values[0], values[1]))
    assert product[0].tolist() == expected


@pytest.mark.parametrize("bits", [18, 35, 48, 49, 50, 60])
@pytest.mark.parametrize("log_n", range(10, 16))
def test_the_inverse_undoes_the_transform_at_its_extremes(log_n, bits):
    n = 2**log_n
    primes = primes_below(2 ** max(bits, log_n + 6), n, 2)
    ring = _native.Ring(n, primes)
    x = residues(primes, (4,), n, seed=log_n)
    x[1] = np.array(primes, dtype=np.uint64)[:, None] - np.uint64(1)
    x[2, :, ::2] = 0
    x[3, :, 1:] = 0
    for form in (ring.forward, ring.inverse):
        values = both(form, x)
        assert (values < np.array(primes, dtype=np.uint64)[:, None]).all()
    assert np.array_equal(both(ring.inverse, ring.forward(x)), x)
    assert np.array_equal(both(ring.forward, ring.inverse(x)), x)


def mixed_ring(n=1024):
    """Limbs of every kind: doubles, doubles at their limit, and integers."""
    primes = [primes_below(2**bits, n, 1)[0] for bits in (30, 35, 49, 50, 60)]
    return _native.Ring(n, primes), primes


def test_sums_and_products_are_those_of_integers():
    ring, primes = mixed_ring()
    q = column(primes)
    a, b = residues(primes, (2, 3), ring.n), residues(primes, (3,), ring.n, seed=1)
    a[0, 0], b[0] = b[1], b[1]  # equal words
    wide, narrow = a.astype(object), b.astype(object)
    assert np.array_equal(both(ring.add, a, b), (wide + narrow) % q)
    assert np.array_equal(both(ring.subtract, a, b), (wide - narrow) % q)
    assert np.array_equal(both(ring.multiply, a, b), wide * narrow % q)
    assert np.array_equal(both(ring.multiply, a, b[1]), wide * narrow[1] % q)
    for factors in ([q - 1 for q in primes], [q // 3 for q in primes], [0] * 5, [1] * 5):
        scaled = both(ring.scale, a, np.array(factors, dtype=np.uint64))
        assert np.array_equal(scaled, wide * column(factors) % q)


@functools.cache
def sum_of_products(terms, polys):
    ring, primes = mixed_ring()
    w = residues(primes, (2, terms), ring.n, seed=2)
    c = residues(primes, (terms, polys), ring.n, seed=3)
    top = np.array(primes, dtype=np.uint64)[:, None] - np.uint64(1)
    w[1, :, :, 7:99], c[:, 0, :, 7:99] = top, top
    products = w.astype(object)[:, :, None] * c
    return w, c, products.sum(axis=1) % column(primes)


@pytest.mark.parametrize(("terms", "polys"), [(1, 3), (4, 1), (7, 2), (70, 1)])
def test_multiply_accumulate_is_a_sum_of_products(terms, polys):
    w, c, expected = sum_of_products(terms, polys)
    assert np.array_equal(both(mixed_ring()[0].multiply_accumulate, w, c), expected)


def test_convolutions_are_products_in_the_ring():
    ring, primes = mixed_ring()
    x, y = residues(primes, (3,), ring.n, seed=7), residues(primes, (2,), ring.n, seed=8)
    forms = ring.forward(x)
    expected = [[ring.inverse(ring.multiply(a, b)) for b in y] for a in forms]
    assert np.array_equal(both(ring.convolve, x, y), expected)
    for bad in (x[0], x[..., :512].copy()):
        with pytest.raises(ValueError, match="must have shape"):
            ring.convolve(bad, y)


@functools.cache
def weighted_sum(shape, bits):
    ring, primes = mixed_ring()
    top = 2**bits - 1
    weights = np.random.default_rng(4).integers(-top, top, shape, endpoint=True)
    weights[0], weights[-1] = -top, top
    c = residues(primes, (shape[1], 1), ring.n, seed=5)
    c[:, 0, :, 100:] = np.array(primes, dtype=np.uint64)[:, None] // np.uint64(2)
    c[:, 0, :, 200:] += np.uint64(1)
    expected = np.tensordot(weights.astype(object), c.astype(object), axes=1) % column(primes)
    return weights, c, expected


@pytest.mark.parametrize("bits", [2, 12, 20, 40, 62])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 70)])
def test_gemm_is_exact_for_weights_of_any_size(shape, bits):
    weights, c, expected = weighted_sum(shape, bits)
    assert np.array_equal(both(mixed_ring()[0].gemm, weights, c), expected)


@pytest.mark.parametrize("bits", [30, 50, 60])
def test_long_sums_of_the_largest_words_are_exact(bits):
    n, terms = 1024, 4100
    (q,) = primes_below(2**bits, n, 1)
    ring = _native.Ring(n, [q])
    top = np.full((terms, 1, 1, n), q - 1, dtype=np.uint64)
    result = both(ring.multiply_accumulate, top.reshape(1, terms, 1, n), top)
    assert (result == terms * (q - 1) ** 2 % q).all()
    for weight in (2**62 - 1, -(2**62) + 1, 7):
        weights = np.full((1, terms), weight)
        assert (ring.gemm(weights, top) == terms * weight * (q - 1) % q).all()


@pytest.mark.parametrize("exponent", [1, 3, 5, 1025, 2047])
def test_an_automorphism_moves_coefficients_with_their_signs(exponent):
    ring, primes = mixed_ring()
    x = residues(primes, (2,), ring.n)
    moved = both(ring.automorphism, x, exponent)
    for limb, q in enumerate(primes):
        assert moved[1, limb].tolist() == image(x[1, limb].tolist(), exponent, q)


@pytest.mark.parametrize("exponent", [0, 1, 700, 1023, 1024, 1025, 2047])
def test_a_shift_is_the_product_with_a_power_of_x(exponent):
    ring, primes = mixed_ring()
    x = residues(primes, (2,), ring.n)
    power = np.zeros((len(primes), ring.n), dtype=np.int64)
    power[:, exponent % ring.n] = 1 if exponent < ring.n else -1
    power = ring.forward(ring.lift(power[0]))
    expected = ring.inverse(ring.multiply(ring.forward(x), power))
    assert np.array_equal(both(ring.shift, x, exponent), expected)


def test_lift_takes_signed_integers_to_residues():
    ring, primes = mixed_ring()
    ends = [0, 1, -1, 2**63 - 1, -(2**63), 2**49, -(2**49)]
    x = np.random.default_rng(6).integers(-(2**63), 2**63 - 1, (3, ring.n))
    x[0, :7] = ends
    for limb, q in enumerate(primes):
        x[1, 2 * limb : 2 * limb + 2] = q, -q
    expected = x.astype(object)[:, None, :] % column(primes)
    assert np.array_equal(both(ring.lift, x), expected)


def test_words_that_are_no_residues_do_no_harm():
    ring, _ = mixed_ring()
    x = np.random.default_rng(7).integers(0, 2**64, (3, 5, ring.n), dtype=np.uint64)
    x[0] = 2**64 - 1
    weights = np.full((1, 3), 2**62 - 1)
    for result in (
        ring.forward(x), ring.inverse(x), ring.multiply(x, x), ring.add(x, x),
        ring.subtract(x, x), ring.automorphism(x, 3), ring.gemm(weights, x[:, None]),
        ring.multiply_accumulate(x[None], x[:, None]), ring.shift(x, 5),
    ):  # fmt: skip
        assert result.dtype == np.uint64


def test_empty_batches_stay_empty():
    ring, _ = mixed_ring()
    nothing = np.empty((0, 5, ring.n), dtype=np.uint64)
    assert ring.forward(nothing, 2).shape == ring.add(nothing, nothing[:, :], 2).shape
    assert ring.lift(np.empty((0, ring.n), dtype=np.int64)).shape == (0, 5, ring.n)
    assert not ring.gemm(np.zeros((2, 0), dtype=np.int64), nothing[:, None]).any()


@pytest.mark.parametrize(
    ("n", "primes", "reason"),
    [
        (1536, [34359697409], "power of two"),
        (512, [34359697409], "power of two"),
        (65536, [34359697409], "power of two"),
        (1024, [], "at least one prime"),
        (1024, [12289], "not a prime between"),
        (1024, [2305843009213704193 * 2 + 1], "not a prime between"),
        (1024, [34359697409 * 3], "not a prime between"),
        (32768, [34359697409], "not 1 modulo"),
        (4096, [34359697409, 34359697409], "twice"),
    ],
)
def test_a_ring_needs_fitting_primes(n, primes, reason):
    with pytest.raises(ValueError, match=reason):
        _native.Ring(n, primes)


def test_shapes_that_do_not_fit_are_refused():
    ring, primes = mixed_ring()
    k, n = len(primes), ring.n
    x = np.zeros((2, 3, k, n), dtype=np.uint64)
    weights = np.zeros((2, 3), dtype=np.int64)
    calls = [
        lambda: ring.forward(x[0, 0, 0]),
        lambda: ring.forward(np.zeros((k, n // 2), dtype=np.uint64)),
        lambda: ring.inverse(np.zeros((k - 1, n), dtype=np.uint64)),
        lambda: ring.inverse(np.zeros(n, dtype=np.uint64)),
        lambda: ring.add(x, np.zeros((2, k, n), dtype=np.uint64)),
        lambda: ring.subtract(x[0], x),
        lambda: ring.multiply(x, x[:, :2].copy()),
        lambda: ring.scale(x, np.zeros(k + 1, dtype=np.uint64)),
        lambda: ring.scale(x, np.array(primes, dtype=np.uint64)),
        lambda: ring.multiply_accumulate(x, x),
        lambda: ring.multiply_accumulate(x[0], x),
        lambda: ring.multiply_accumulate(x[:, :0].copy(), x[:0]),
        lambda: ring.gemm(weights, x),
        lambda: ring.gemm(weights, x[0]),
        lambda: ring.gemm(np.full((1, 2), 2**62), x),
        lambda: ring.gemm(np.full((1, 2), -(2**63)), x),
        lambda: ring.automorphism(x, 2),
        lambda: ring.automorphism(x, 2 * n + 1),
        lambda: ring.shift(x, 2 * n),
        lambda: ring.lift(np.zeros((k, n + 1), dtype=np.int64)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"\w+ \w+"):
            call()
    with pytest.raises(TypeError):
        ring.forward(x.astype(np.int64))


def test_results_do_not_depend_on_the_number_of_threads():
    ring, primes = mixed_ring()
    x = residues(primes, (7,), ring.n)
    once = ring.forward(x)
    for threads in (0, 2, 3, 5, 8, 100):
        for _ in range(20):
            assert np.array_equal(ring.forward(x, threads), once)


def test_calls_from_several_threads_share_the_helpers():
    ring, primes = mixed_ring()
    x = residues(primes, (7,), ring.n)
    once = ring.forward(x)
    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda _: ring.forward(x, 3), range(100)))
    assert all(np.array_equal(result, once) for result in results)


FORK = """
import os
import sys

import numpy as np

from vfl_crypto import _native

ring = _native.Ring(1024, [34359697409])
x = np.arange(8 * 1024, dtype=np.uint64).reshape(8, 1, 1024)
once = ring.forward(x, 2)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(ring.forward(x, 2), once) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_threads_go_on_in_the_child_of_a_fork():
    assert subprocess.run([sys.executable, "-c", FORK], timeout=120, check=False).returncode == 0
