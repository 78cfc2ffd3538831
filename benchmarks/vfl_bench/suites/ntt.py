"""Number-theoretic transforms: ours at every instruction level, in Numba, and SEAL's.

Timed are eight calls over 32 polynomials modulo one prime, data in the caches: ours into a new
array, SEAL's, once, in place on 16 ciphertexts of two polynomials. Encoding and copies are outside.
An item is one polynomial.

A transform of N words is N/2 log2 N butterflies. The double-precision kernels spend four
operations of the multiply-add ports on each, so

    fma_peak_share = butterflies x 4 / (ports x lanes x clock x threads x time)

with two ports, four lanes (AVX2) and the clock measured at the start of the suite; it is printed
where those kernels run, for primes of at most 50 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vfl_bench.clock import clock_ghz
from vfl_bench.harness import Contender, Seconds, Work, timed
from vfl_bench.suites.common import Settings, beside_one_thread
from vfl_crypto import _native, portable
from vfl_crypto.security import check_ring

DEGREES = (4096, 8192)
PRIMES = (562949952847873, 34359410689, 1152921504606830593)  # 49, 35, 60 bits; 1 modulo 2^14
POLYNOMIALS, CALLS = 32, 8
FMA_BITS = 50  # longer primes take the 64-bit integer path
FMA_PORTS, FMA_LANES, FMA_OPERATIONS = 2, {"avx2": 4}, 4


def works(settings: Settings) -> Iterator[Work]:
    """Forward and inverse, at both degrees, each prime and each thread count."""
    clock = clock_ghz()
    for n in DEGREES:
        for prime in PRIMES:
            peers = _seal(n, prime) if "tenseal" in settings.peers else {}
            for direction in ("forward", "inverse"):
                for threads in settings.threads:
                    work = transform(n, prime, direction, threads, clock)
                    others = [peers[direction]] if peers else []
                    yield replace(work, contenders=(*work.contenders, *others))


def transform(n: int, prime: int, direction: str, threads: int, clock: float) -> Work:
    """One direction at every level of this machine and in Numba; `clock` in GHz."""
    x = np.random.default_rng(0).integers(0, prime, (POLYNOMIALS, 1, n), dtype=np.uint64)
    bits = prime.bit_length()

    def calls(make: Callable[[int, list[int]], Any]) -> Callable[[int], Callable[[], Seconds]]:
        run = getattr(make(n, [prime]), direction)

        def with_threads(count: int) -> Callable[[], Seconds]:
            return lambda: _warm(lambda: run(x, count))

        return with_threads

    def with_figures(contender: Contender, level: str) -> Contender:
        count = int(contender.facts["threads"])
        return replace(
            contender, facts={**contender.facts, "cpu_level": level},
            figures=lambda us: figures(n, bits, us, clock, FMA_LANES.get(level, 0) * count),
        )  # fmt: skip

    active, facts = _native.cpu_level(), {"threads": threads}
    contenders = [
        with_figures(contender, active)
        for contender in beside_one_thread(calls(_native.Ring), threads, CALLS * POLYNOMIALS)
    ]
    for level in _native.cpu_levels():
        if level != active:
            run = calls(partial(_ring_at, level))(threads)
            contenders.append(
                with_figures(Contender(f"vfl {level}", run, CALLS * POLYNOMIALS, facts), level)
            )
    run = calls(portable.Ring)(threads)
    numba = Contender("vfl numba", run, CALLS * POLYNOMIALS, facts)
    contenders.append(with_figures(numba, "numba"))
    return Work(
        f"ntt/N={n}/bits={bits}/{direction}/threads={threads}",
        "polynomial",
        tuple(contenders),
        {
            "parameters": f"N = {n}, log2 q = {bits}", "log_qp": bits,
            "security_bits": check_ring(n, [bits]), "clock_ghz": clock,
        },
    )  # fmt: skip


def figures(n: int, bits: int, us: float, clock: float, fma_lanes: int) -> Mapping[str, float]:
    """Of one transform that took `us`; `fma_lanes` over all threads, 0 for other kernels."""
    butterflies = n // 2 * (n.bit_length() - 1)
    found = {"ns_per_butterfly": us * 1e3 / butterflies, "ns_per_modulus_bit": us * 1e3 / bits}
    if fma_lanes and bits <= FMA_BITS:
        peak = FMA_PORTS * fma_lanes * clock * 1e3  # operations a microsecond
        found["fma_peak_share"] = butterflies * FMA_OPERATIONS / peak / us
    return found


def _ring_at(level: str, n: int, primes: list[int]) -> _native.Ring:
    """A ring keeps the kernels of the level it was made at."""
    before = _native.cpu_level()
    _native.set_cpu_level(level)
    try:
        return _native.Ring(n, primes)
    finally:
        _native.set_cpu_level(before)


def _warm(run: Callable[[], object]) -> Seconds:
    """All calls but the first, which brings the data back into the caches."""
    run()
    return timed(lambda: [run() for _ in range(CALLS)])


def _seal(n: int, prime: int) -> dict[str, Contender]:
    from vfl_bench.peers.seal import SealTransform

    peer, bits = SealTransform(n, prime, POLYNOMIALS), prime.bit_length()
    return {
        direction: replace(contender, figures=lambda us: figures(n, bits, us, 0.0, 0))
        for direction, contender in (("forward", peer.forward()), ("inverse", peer.inverse()))
    }
