"""Sums of the words of a ciphertext that stand for few coefficients of its polynomial.

Word i of a polynomial p is p(psi^(2 bitrev(i) + 1)) mod q, psi the smallest primitive 2N-th root of
unity. The s = N / m consecutive words of one of m blocks share the s-th power of their root, so
their sum is s times the value of the polynomial that keeps only the m coefficients at multiples of
s. `fold` takes those sums. Whoever sends the fold of c0 sends these coefficients and nothing else:
what is not sent needs no mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def fold(words: NDArray[np.uint64], count: int, primes: Sequence[int]) -> NDArray[np.uint64]:
    """(..., k, N) words -> (..., k, count) sums of N / count consecutive words."""
    column = np.array(primes, dtype=np.uint64)[:, None, None]
    blocks = words.reshape(*words.shape[:-1], count, -1)
    while blocks.shape[-1] > 1:
        total = blocks[..., ::2] + blocks[..., 1::2]
        blocks = np.where(total >= column, total - column, total)
    return blocks[..., 0]


def unfold(sums: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """(..., count) -> (..., n): some words whose `fold` these are; one of each block carries it."""
    words = np.zeros((*sums.shape[:-1], n), dtype=np.uint64)
    words[..., :: n // sums.shape[-1]] = sums
    return words
