"""Reals and complex numbers into polynomials with small integer coefficients, and back.

Slot j of a polynomial p is p(zeta^(3^j)), zeta = exp(i pi / N): SEAL's order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from vfl_crypto.ckks.arithmetic import Arithmetic


def encode(
    arithmetic: Arithmetic, slots: NDArray[np.float64 | np.complex128], scale: float
) -> NDArray[np.int64]:
    """Slots (m, at most N/2) times `scale` -> coefficients (m, N), rounded.

    A short vector repeats until the slots are full, as TenSEAL's does. Raises
    `EncodingOverflowError` for coefficients from 2^62 on and for what is not a number.
    """
    available = arithmetic.parameters.slots
    count, length = slots.shape
    if not 1 <= length <= available:
        raise EncodingOverflowError(f"a ciphertext holds 1 to {available} values, not {length}")
    try:
        return arithmetic.embedding.coefficients(
            np.ascontiguousarray(slots), scale, arithmetic.threads
        )
    except OverflowError as error:
        raise EncodingOverflowError(
            f"values times the scale {scale:g} do not fit 62 bits (or are not numbers): {count} "
            "vectors; scale them down"
        ) from error


def residues(
    arithmetic: Arithmetic, coefficients: NDArray[np.int64], level: int
) -> NDArray[np.uint64]:
    """Coefficients (m, N) -> words (m, level, N) in NTT form."""
    ring = arithmetic.ring(level)
    return ring.forward(ring.lift(coefficients, arithmetic.threads), arithmetic.threads)


def decode(
    arithmetic: Arithmetic, words: NDArray[np.uint64], scale: float
) -> NDArray[np.complex128]:
    """Words (m, level, N) in NTT form -> all slots (m, N/2)."""
    threads = arithmetic.threads
    coefficients = arithmetic.ring(words.shape[1]).inverse(words, threads)
    numbers = arithmetic.chain.compose(coefficients, threads)
    return arithmetic.embedding.slots(numbers, 1.0 / scale, threads)


def cut(slots: NDArray[np.complex128], lengths: Sequence[int]) -> NDArray[np.float64]:
    """The real parts of the first lengths[i] slots of each vector, one after the other."""
    return np.concatenate([row[:length].real for row, length in zip(slots, lengths, strict=True)])


def as_batch(values: ArrayLike, bound: float | None) -> tuple[NDArray[np.float64], float]:
    """A batch (m, n) and a bound on it. Raises `EncodingOverflowError` where that does not hold."""
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim != 2 or rows.size < 1:
        raise KeyMismatchError(f"a batch is (m, n), not {rows.shape}")
    largest = float(np.abs(rows).max())
    if bound is None:
        bound = math.ldexp(1.0, math.frexp(largest)[1]) if math.isfinite(largest) else 0.0
    if not largest <= bound:
        raise EncodingOverflowError(
            f"a value is not below {bound:g} in magnitude (or not a number); scale the values down"
        )
    return rows, bound
