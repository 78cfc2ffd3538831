"""How fast the processor's clock runs just now."""

from __future__ import annotations

import time

import numba
import numpy as np

ROUNDS = 2_000_000  # a few milliseconds


def clock_ghz() -> float:
    """From a chain of exclusive ors and additions, each waiting for the one before: a cycle each.

    The best of five, so that an interruption does not count.
    """
    _chain(1, np.int64(1))
    seconds = []
    for key in range(5):
        begin = time.perf_counter()
        _chain(ROUNDS, np.int64(key))
        seconds.append(time.perf_counter() - begin)
    return 2 * ROUNDS / min(seconds) / 1e9


@numba.njit  # type: ignore[untyped-decorator]
def _chain(rounds: int, key: np.int64) -> np.int64:
    x = key
    for i in range(rounds):
        x = (x ^ i) + key
    return x
