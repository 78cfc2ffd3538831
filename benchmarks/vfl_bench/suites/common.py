"""What the suites share: what was asked for, threads beside one thread, relative errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vfl_bench.harness import Contender
from vfl_crypto.release import Decrypted

UNMASKED = "its X^T[[d]] lacks the mask without which it must not leave"


@dataclass(frozen=True)
class Settings:
    """The command line, read. A suite takes from it what concerns it."""

    bits: Sequence[int] = (3072,)  # Paillier key sizes
    peers: Sequence[str] = ()  # those that are installed
    threads: Sequence[int] = (1,)  # each work once per count
    batches: Sequence[int] = (1024,)  # rows of the encrypted gradient
    features: Sequence[int] = (16,)  # its columns
    heu_python: str = ""  # the interpreter that has sf-heu, where it is a peer

    @property
    def counts(self) -> list[int]:
        """The thread counts and 1, which the others are compared with."""
        return sorted({1, *self.threads})


def beside_one_thread(
    run: Callable[[int], Callable[[], object]],
    threads: int,
    items: int,
    error: Callable[[], float] | None = None,
) -> list[Contender]:
    """Ours with `threads`; with more than one also ours with one, so that the gain is paired.

    run   (threads) -> the call
    """
    ours = [Contender("vfl", run(threads), items, {"threads": threads}, error)]
    if threads > 1:
        ours.append(Contender("vfl 1 thread", run(1), items, {"threads": 1}, error))
    return ours


def grid(settings: Settings) -> Iterator[tuple[int, int]]:
    """(batch, features) of every encrypted gradient that was asked for."""
    for batch in settings.batches:
        for features in settings.features:
            yield batch, features


def gradient_facts(batch: int, features: int) -> dict[str, Any]:
    """What `plot` reads: an item of such a row is one of batch x features products."""
    return {"batch": batch, "features": features}


def gradient_data(batch: int, features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X (batch, features) of 20-bit entries at scale 2^16, and d (batch,); seeded."""
    rng = np.random.default_rng(0)
    cells = rng.integers(-(2**19), 2**19, (batch, features))
    return np.ldexp(cells.astype(np.float64), -16), rng.standard_normal(batch)


def relative_error(got: ArrayLike, want: ArrayLike) -> float:
    """Largest deviation by largest wanted magnitude."""
    wanted = np.asarray(want, dtype=np.float64)
    deviation = np.abs(np.asarray(got, dtype=np.float64) - wanted)
    return float(deviation.max() / np.abs(wanted).max())


def unrounded(decrypted: Decrypted) -> NDArray[np.float64]:
    """The values before `release` rounds them: the error of the cipher, not of the release."""
    return decrypted._values  # noqa: SLF001  measured on data of our own, then dropped
