"""The loops over residues, in Numba.

Residues meet in Montgomery's product a b / R mod q with R = 2^64 ("Modular multiplication without
trial division", 1985). A constant factor is kept times R, so that one product is enough; two
polynomials take a second one, by R^2.

The transform halves moduli: a polynomial modulo X^2t - r^2 is one modulo X^t - r and one modulo
X^t + r. It begins at X^n + 1 = X^n - psi^n and ends at X - psi^e with odd e.

`moduli` is uint64 (3, k): q, 1 / q mod R, R^2 mod q.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

F = TypeVar("F", bound=Callable[..., Any])
_compiled: Callable[[F], F] = numba.njit(cache=True, nogil=True)

_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


@_compiled
def _high(a: np.uint64, b: np.uint64) -> np.uint64:
    """The upper word of a b, from four products of half words."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a1 * b0 + (a0 * b0 >> _HALF)
    other = a0 * b1 + (middle & _LOW)
    return a1 * b1 + (middle >> _HALF) + (other >> _HALF)


@_compiled
def _product(a: np.uint64, b: np.uint64, q: np.uint64, inverse: np.uint64) -> np.uint64:
    """a b / R mod q for a b < q R."""
    top, taken = _high(a, b), _high(a * b * inverse, q)
    return top - taken if top >= taken else top + (q - taken)


@_compiled
def forward(x: Words, factors: Words, moduli: Words) -> None:
    """In place, (r, k, n). factors[i, m + node] is R r of that node, one of m on its level."""
    n = x.shape[2]
    for poly in x:
        for i in range(len(poly)):
            q, inverse, row, nodes = moduli[0, i], moduli[1, i], poly[i], 1
            while nodes < n:
                t = n // nodes // 2
                for node in range(nodes):
                    r = factors[i, nodes + node]
                    for j in range(2 * t * node, 2 * t * node + t):
                        a, b = row[j], _product(row[j + t], r, q, inverse)
                        row[j] = a + b if a + b < q else a + b - q
                        row[j + t] = a - b if a >= b else a + (q - b)
                nodes *= 2


@_compiled
def backward(x: Words, factors: Words, moduli: Words) -> None:
    """Undoes `forward`, in place. factors[i, m + node] is R / r of a node; factors[i, 0], R / n."""
    n = x.shape[2]
    for poly in x:
        for i in range(len(poly)):
            q, inverse, row, nodes = moduli[0, i], moduli[1, i], poly[i], n // 2
            while nodes:
                t = n // nodes // 2
                for node in range(nodes):
                    r = factors[i, nodes + node]
                    for j in range(2 * t * node, 2 * t * node + t):
                        u, v = row[j], row[j + t]
                        row[j] = u + v if u + v < q else u + v - q
                        row[j + t] = _product(u + (q - v), r, q, inverse)
                nodes //= 2
            for j in range(n):
                row[j] = _product(row[j], factors[i, 0], q, inverse)


@_compiled
def multiply(a: Words, b: Words, out: Words, first: int, moduli: Words) -> None:
    """out[row] = a[row] b[(first + row) mod len(b)], (r, k, n)."""
    for row in range(len(a)):
        for i in range(a.shape[1]):
            q, inverse, square = moduli[0, i], moduli[1, i], moduli[2, i]
            x, y, z = a[row, i], b[(first + row) % len(b), i], out[row, i]
            for j in range(len(z)):
                z[j] = _product(_product(x[j], y[j], q, inverse), square, q, inverse)


@_compiled
def multiply_accumulate(w: Words, c: Words, out: Words, moduli: Words) -> None:
    """out[s, p] = sum_m w[s, m] c[m, p]; out comes as zeros."""
    for s in range(len(w)):
        for p in range(c.shape[1]):
            for i in range(c.shape[2]):
                q, inverse, square, z = moduli[0, i], moduli[1, i], moduli[2, i], out[s, p, i]
                for m in range(len(c)):
                    x, y = w[s, m, i], c[m, p, i]
                    for j in range(len(z)):
                        total = z[j] + _product(x[j], y[j], q, inverse)
                        z[j] = total if total < q else total - q
                for j in range(len(z)):
                    z[j] = _product(z[j], square, q, inverse)


@_compiled
def combine(weights: Words, c: Words, out: Words, moduli: Words) -> None:
    """out[o, p] = sum_d weights[o, d] c[d, p], weights (o, d, k) residues; out comes as zeros."""
    for o in range(len(weights)):
        for p in range(c.shape[1]):
            for i in range(c.shape[2]):
                q, inverse, square, z = moduli[0, i], moduli[1, i], moduli[2, i], out[o, p, i]
                for d in range(len(c)):
                    x, w = c[d, p, i], _product(weights[o, d, i], square, q, inverse)
                    for j in range(len(z)):
                        total = z[j] + _product(x[j], w, q, inverse)
                        z[j] = total if total < q else total - q
