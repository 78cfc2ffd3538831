"""Paired, alternating timing.

All contenders of one piece of work are warmed up once and then called in turn, round after round,
until the time is up. So whatever else the machine does meets all of them alike, and the ratio of
each round is a fair one even where absolute times drift.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contender:
    """One way to do a piece of work. `run` does `items` items a call."""

    peer: str  # "vfl", "phe+gmpy2", ...
    run: Callable[[], object]
    items: int


@dataclass(frozen=True)
class Work:
    """A piece of work: its name carries the parameters, as in "paillier/bits=2048/encrypt"."""

    name: str
    unit: str  # of an item
    contenders: tuple[Contender, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)  # key_bits, security_bits, log_qp, ...


@dataclass(frozen=True)
class Row:
    """The result of one contender. Times in microseconds an item."""

    name: str
    peer: str
    unit: str
    real_time: float  # median
    low: float  # quartiles
    high: float
    cpu_time: float  # median
    iterations: int
    facts: Mapping[str, Any]
    ratio_to: Mapping[str, float]  # peer -> median over rounds of its time by ours


MIN_ROUNDS = 3
MAX_ROUNDS = 200


def measure(work: Work, seconds: float) -> list[Row]:
    """Time all contenders of `work` for about `seconds` together; at least three rounds."""
    for contender in work.contenders:
        contender.run()
    rounds: list[list[tuple[float, float]]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < MIN_ROUNDS or (time.perf_counter() < end and len(rounds) < MAX_ROUNDS):
        rounds.append([_once(contender) for contender in work.contenders])
    times = np.array(rounds) * 1e6  # (rounds, contenders, real and cpu)
    rows = []
    for index, contender in enumerate(work.contenders):
        real = times[:, index, 0]
        low, median, high = np.percentile(real, (25, 50, 75))
        ratios = {
            other.peer: float(np.median(times[:, place, 0] / real))
            for place, other in enumerate(work.contenders)
            if place != index
        }
        rows.append(
            Row(
                work.name, contender.peer, work.unit, float(median), float(low), float(high),
                float(np.median(times[:, index, 1])), len(rounds), work.facts, ratios,
            )
        )  # fmt: skip
    return rows


def _once(contender: Contender) -> tuple[float, float]:
    """Real and processor seconds an item of one call."""
    real, cpu = time.perf_counter(), time.process_time()
    contender.run()
    return (
        (time.perf_counter() - real) / contender.items,
        (time.process_time() - cpu) / contender.items,
    )
