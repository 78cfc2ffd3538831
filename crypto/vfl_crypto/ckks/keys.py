"""Secret, public and relinearisation keys: SEAL's, word for word, so that they travel both ways.

    secret            s, uniform ternary
    public            (b, a), b = -a s + e modulo QP
    relinearisation   for each data prime j: (b_j, a_j), b_j = -a_j s + e_j + [limb j] P s^2

All in NTT form over q_0, ..., q_(k-1), P. Keys made here keep the seed of each a, which halves them
on the wire; others may come without.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.ckks.arithmetic import Arithmetic, fresh_seed
from vfl_crypto.errors import ReleaseError, WireError

if TYPE_CHECKING:
    from typing import NoReturn

    from numpy.typing import NDArray

SEED_BYTES = 64


def fresh_seeds(count: int) -> NDArray[np.uint8]:
    """(count, 64) bytes of the operating system, one row for each expanded polynomial."""
    return np.frombuffer(os.urandom(SEED_BYTES * count), dtype=np.uint8).reshape(count, SEED_BYTES)


@dataclass(frozen=True, eq=False)
class PublicKey:
    """(b, a): `words` (2, primes, N); the seed of a (64,) where it is known.

    Raises `WireError` for a key without randomness.
    """

    arithmetic: Arithmetic
    words: NDArray[np.uint64]
    seed: NDArray[np.uint8] | None = None
    _levels: dict[int, NDArray[np.uint64]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.words.any(axis=-1).all():
            raise WireError("a public key without randomness: damaged or forged")

    @cached_property
    def key_id(self) -> str:
        return hashlib.sha256(self.words.astype("<u8", copy=False).tobytes()).hexdigest()

    def at(self, level: int) -> NDArray[np.uint64]:
        """(2, level + 1, N): the data limbs times 1/P, then that of P; see `CkksRing.encrypt`."""
        if level not in self._levels:
            p = self.arithmetic.parameters
            inverse = np.array([pow(p.special, -1, q) for q in p.data[:level]], dtype=np.uint64)
            data = np.ascontiguousarray(self.words[:, :level])
            scaled = self.arithmetic.ring(level).scale(data, inverse)
            self._levels[level] = np.concatenate((scaled, self.words[:, -1:]), axis=1)
        return self._levels[level]


@dataclass(frozen=True, eq=False)
class RelinearisationKey:
    """`words` (data primes, 2, primes, N); seeds (data primes, 64) where they are known."""

    words: NDArray[np.uint64]
    seeds: NDArray[np.uint8] | None = None

    def at(self, level: int) -> NDArray[np.uint64]:
        """(level, 2, level + 1, N): the digits and limbs of that level."""
        limbs = [*range(level), self.words.shape[2] - 1]
        return np.ascontiguousarray(self.words[:level, :, limbs])


class SecretKey:
    """s, in NTT form. Never pickled, never printed."""

    def __init__(self, arithmetic: Arithmetic, words: NDArray[np.uint64] | None = None) -> None:
        """A new key, or the one of these words (primes, N).

        Raises `WireError` for words that are not one ternary polynomial.
        """
        self.arithmetic = arithmetic
        ring = arithmetic.key_ring
        if words is None:
            words = ring.forward(ring.lift(arithmetic.ternary(fresh_seed(), 1)[0]))
        else:
            first = ring.inverse(words)[0].astype(np.int64)
            ternary = np.where(first == ring.primes[0] - 1, -1, first)
            if not np.isin(ternary, (-1, 0, 1)).all() or not np.array_equal(
                ring.forward(ring.lift(ternary)), words
            ):
                raise WireError("a secret key that is not a ternary polynomial: damaged or forged")
        self.words = words

    def __repr__(self) -> str:
        return f"<CKKS secret key, {self.arithmetic.parameters}>"

    def __reduce__(self) -> NoReturn:
        raise ReleaseError("a secret key is never pickled or copied; make one where it is used")

    def at(self, level: int) -> NDArray[np.uint64]:
        """s (level, N)."""
        return np.ascontiguousarray(self.words[:level])

    def publish(self) -> PublicKey:
        """A new public key."""
        seed = fresh_seeds(1)
        words = self._zeros(seed)[0]
        return PublicKey(self.arithmetic, words, seed[0])

    def relinearisation(self) -> RelinearisationKey:
        """A new relinearisation key."""
        arithmetic, p = self.arithmetic, self.arithmetic.parameters
        seeds = fresh_seeds(p.levels)
        words = self._zeros(seeds)
        ring = arithmetic.key_ring
        special = np.array([p.special % q for q in p.primes], dtype=np.uint64)
        square = ring.scale(ring.multiply(self.words, self.words), special)
        for j, q in enumerate(p.data):
            limb = words[j, 0, j] + square[j]
            words[j, 0, j] = np.where(limb >= q, limb - np.uint64(q), limb)
        return RelinearisationKey(words, seeds)

    def _zeros(self, seeds: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Encryptions of zero (count, 2, primes, N) modulo QP."""
        arithmetic, threads = self.arithmetic, self.arithmetic.threads
        ring = arithmetic.key_ring
        a = arithmetic.uniform(seeds, len(arithmetic.parameters.primes))
        errors = ring.lift(arithmetic.errors(fresh_seed(), len(seeds)), threads)
        masks = ring.multiply(a, self.words, threads)
        return np.stack((ring.subtract(ring.forward(errors, threads), masks, threads), a), axis=1)
