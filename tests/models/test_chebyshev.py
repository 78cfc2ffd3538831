"""The steps shrink errors as promised, rounded as they are, whatever the Hessian."""

from __future__ import annotations

import numpy as np
import pytest

from vfl.models.chebyshev import ROUNDS, UNIT, low, steps


def left_of_errors(rounds, bound, eigenvalues):
    """What the steps leave of an error of 1 along each eigenvector, by the recurrence itself."""
    error, before = np.ones_like(eigenvalues), np.ones_like(eigenvalues)
    for length, momentum in steps(rounds, bound):
        moved = momentum * (error - before) - length * eigenvalues * error
        error, before = error + moved / UNIT, error
    return error


@pytest.mark.parametrize("parties", [2, 3, 4, 8])
@pytest.mark.parametrize("rounds", [20, 40, 100, ROUNDS, 1000])
def test_errors_shrink_by_ten_thousand_along_all_eigenvalues_promised(rounds, parties):
    eigenvalues = np.geomspace(low(rounds, parties), parties, 5000)
    assert np.abs(left_of_errors(rounds, parties, eigenvalues)).max() < 1e-4
    smaller = left_of_errors(rounds, parties, np.geomspace(1e-9, low(rounds, parties), 500))
    assert np.all(np.abs(smaller) <= 1)


def test_the_polynomial_is_chebyshevs():
    """Saad 2003, theorem 6.25: T_k(centred) / T_k(at zero), up to the rounding of steps."""
    rounds, bound = 30, 2.0
    smallest = low(rounds, bound)
    eigenvalues = np.linspace(smallest, bound, 1001)
    T = np.polynomial.chebyshev.Chebyshev.basis(rounds)
    centred = (bound + smallest - 2 * eigenvalues) / (bound - smallest)
    exact = T(centred) / T((bound + smallest) / (bound - smallest))
    np.testing.assert_allclose(left_of_errors(rounds, bound, eigenvalues), exact, atol=1e-5)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_few_rounds_do_not_diverge(rounds):
    eigenvalues = np.linspace(0, 2, 101)
    assert np.abs(left_of_errors(rounds, 2, eigenvalues)).max() <= 1.01
