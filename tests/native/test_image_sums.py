"""Sums of shifted images of integer polynomials, against their definition."""

import numpy as np
import pytest

from vfl_crypto import _native


def moved(poly, exponent, shift):
    """X^shift poly(X^exponent) modulo X^n + 1."""
    n = len(poly)
    out = np.zeros(n, dtype=np.int64)
    places = (np.arange(n) * exponent + shift) % (2 * n)
    out[places % n] = np.where(places < n, poly, -poly)
    return out


def products_of(generators, n):
    """Of all subsets, in binary order."""
    found = [1]
    for k in generators:
        found += [kappa * k % (2 * n) for kappa in found]
    return found


@pytest.mark.parametrize(
    ("n", "levels", "split"), [(64, 5, 5), (256, 6, 3), (256, 4, 1), (32, 2, 0)]
)
def test_sums_are_their_definition(n, levels, split):
    step = 1 << (levels - split)
    kappas = products_of([(n >> (levels - i)) + 1 for i in range(1, split + 1)], n)
    draw = np.random.default_rng(1)
    polys = draw.integers(-(2**20), 2**20, (3, 1 << split, n))
    polys[0, 0, :] = 2**62  # sums wrap
    expected = [
        [sum(moved(p, kappa, step * b) for b, p in enumerate(group)) for kappa in kappas]
        for group in polys
    ]
    for threads in (1, 2, 5):
        assert np.array_equal(_native.image_sums(polys, kappas, step, threads), expected)


def test_exponents_of_another_group_are_refused():
    polys = np.zeros((1, 2, 64), dtype=np.int64)
    for exponents, step in (([1, 3], 1), ([1, 2], 1), ([1, 129], 1), ([1], 1), ([1, 33, 65], 1)):
        with pytest.raises(ValueError, match=r"exponent"):
            _native.image_sums(polys, exponents, step)
