"""How fast the processor's clock runs just now, and how much of it the host keeps for others."""

from __future__ import annotations

import os
import time
from pathlib import Path

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


def stolen_seconds() -> float:
    """Processor time that a virtual machine wanted and its host gave to others, since boot.

    Of all processors together, in steps of 10 ms; zero where the system does not tell.
    """
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return 0.0
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


@numba.njit  # type: ignore[untyped-decorator]
def _chain(rounds: int, key: np.int64) -> np.int64:
    x = key
    for i in range(rounds):
        x = (x ^ i) + key
    return x
