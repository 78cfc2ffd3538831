"""Paired, alternating timing.

All contenders of one piece of work are warmed up once and then called in turn, round after round,
until the time is up. So whatever else the machine does meets all of them alike, and the ratio of
each round is a fair one even where absolute times drift.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vfl_bench.clock import stolen_seconds


class Seconds(NamedTuple):
    """What one call took. A contender that times itself returns it; nobody else does."""

    real: float
    cpu: float  # of the process, all threads


@dataclass(frozen=True)
class Contender:
    """One way to do a piece of work. `run` does `items` items a call.

    facts    of this contender alone: threads, its parameters where they differ, a note
    error    relative error of what `run` computes, measured once, after the timing
    figures  numbers that follow from the median microseconds of an item
    """

    peer: str  # "vfl", "phe+gmpy2", ...
    run: Callable[[], object]
    items: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: Callable[[], float] | None = None
    figures: Callable[[float], Mapping[str, float]] | None = None


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
    facts: Mapping[str, Any]  # of the work and of the contender
    ratio_to: Mapping[str, float]  # peer -> median over rounds of its time by this one's
    figures: Mapping[str, float] = field(default_factory=dict)


MIN_ROUNDS = 3
MAX_ROUNDS = 200


def measure(work: Work, seconds: float) -> list[Row]:
    """Time all contenders of `work` for about `seconds` together; at least three rounds.

    Each row's fact `stolen_processors` is how many processors' worth of time the host of a virtual
    machine kept from it meanwhile: with two threads on two processors, 0.1 already shows.
    """
    for contender in work.contenders:
        contender.run()
    rounds: list[list[tuple[float, float]]] = []
    begin, stolen = time.perf_counter(), stolen_seconds()
    end = begin + seconds
    while len(rounds) < MIN_ROUNDS or (time.perf_counter() < end and len(rounds) < MAX_ROUNDS):
        rounds.append([_an_item(contender) for contender in work.contenders])
    lost = (stolen_seconds() - stolen) / (time.perf_counter() - begin)
    facts = {**work.facts, "stolen_processors": lost}
    times = np.array(rounds) * 1e6  # (rounds, contenders, real and cpu)
    rows = []
    for index, contender in enumerate(work.contenders):
        real = times[:, index, 0]
        low, median, high = (float(t) for t in np.percentile(real, (25, 50, 75)))
        ratios = {
            other.peer: float(np.median(times[:, place, 0] / real))
            for place, other in enumerate(work.contenders)
            if place != index
        }
        error = {"relative_error": contender.error()} if contender.error else {}
        rows.append(
            Row(
                work.name, contender.peer, work.unit, median, low, high,
                float(np.median(times[:, index, 1])), len(rounds),
                {**facts, **contender.facts, **error}, ratios,
                contender.figures(median) if contender.figures else {},
            )
        )  # fmt: skip
    return rows


def timed(run: Callable[[], object]) -> Seconds:
    """Call `run` and tell what it took, or what it says it took."""
    real, cpu = time.perf_counter(), time.process_time()
    result = run()
    if isinstance(result, Seconds):
        return result
    return Seconds(time.perf_counter() - real, time.process_time() - cpu)


def _an_item(contender: Contender) -> tuple[float, float]:
    """Real and processor seconds an item of one call."""
    real, cpu = timed(contender.run)
    return real / contender.items, cpu / contender.items
