"""The twin of `_native.CkksRing`, out of the operations of `Ring`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.portable.ring import Ring, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl_crypto.portable.loops import Words


class CkksRing:
    """A chain of data primes and a special prime P; see the native one for shapes."""

    def __init__(self, n: int, primes: Sequence[int], special: int) -> None:
        if not primes or special in primes:
            raise ValueError("a chain needs data primes, and a special one that is none of them")
        self._n = n
        self._primes = list(primes)
        self._special = Ring(n, [special])
        self._ring = Ring(n, self._primes)

    def encrypt(
        self,
        key: Words,
        messages: NDArray[np.int64],
        u: NDArray[np.int64],
        errors: NDArray[np.int64],
        threads: int = 1,
    ) -> Words:
        """round((u key + errors) / P) + (messages, 0); the data limbs of key are times 1/P."""
        level, batch = key.shape[1] - 1, len(messages)
        if not 1 <= level <= len(self._primes):
            raise ValueError("a key has a limb of 1 or more data primes and of the special")
        check("key", key, np.uint64, (2, level + 1, self._n), 0)
        check("messages", messages, np.int64, (batch, self._n), 0)
        check("u", u, np.int64, (batch, self._n), 0)
        check("errors", errors, np.int64, (batch, 2, self._n), 0)
        ring, special = self._at(level), self._special
        limb = np.ascontiguousarray(key[:, level:])
        masks = special.forward(special.lift(u), threads)
        sides = np.stack([special.multiply(masks, side, threads) for side in limb], axis=1)
        sums = special.add(special.inverse(sides, threads), special.lift(errors), threads)
        rest = errors - _centred(sums[:, :, 0], special.primes[0])
        inverse = [pow(special.primes[0], -1, q) for q in ring.primes]
        words = ring.scale(ring.lift(rest), np.array(inverse, dtype=np.uint64), threads)
        words[:, 0] = ring.add(np.ascontiguousarray(words[:, 0]), ring.lift(messages), threads)
        masks = ring.forward(ring.lift(u), threads)
        data = np.ascontiguousarray(key[:, :level])
        products = np.stack([ring.multiply(masks, side, threads) for side in data], axis=1)
        return ring.add(ring.forward(words, threads), products, threads)

    def divide_last(self, x: Words, threads: int = 1) -> Words:
        """x over its last prime, rounded: one limb less."""
        level = self._level(x, 2)
        ring, last = self._at(level - 1), Ring(self._n, self._primes[level - 1 : level])
        rest = last.inverse(np.ascontiguousarray(x[:, -1:]), threads)[:, 0]
        lifted = ring.forward(ring.lift(_centred(rest, last.primes[0])), threads)
        kept = ring.subtract(np.ascontiguousarray(x[:, :-1]), lifted, threads)
        inverse = [pow(last.primes[0], -1, q) for q in ring.primes]
        return ring.scale(kept, np.array(inverse, dtype=np.uint64), threads)

    def compose(self, x: Words, threads: int = 1) -> NDArray[np.float64]:
        """Coefficients (m, level, n) as float64 (m, n), the numbers nearest to zero."""
        digits: list[NDArray[np.int64]] = []
        for i in range(self._level(x, 1)):
            ring = Ring(self._n, self._primes[i : i + 1])
            rest = np.ascontiguousarray(x[:, i : i + 1])
            for digit, prime in zip(digits, self._primes, strict=False):
                inverse = np.array([pow(prime, -1, ring.primes[0])], dtype=np.uint64)
                rest = ring.scale(ring.subtract(rest, ring.lift(digit)), inverse, threads)
            digits.append(_centred(rest[:, 0], ring.primes[0]))
        value = np.zeros(digits[0].shape)
        for digit, prime in reversed(list(zip(digits, self._primes, strict=False))):
            value = value * float(prime) + digit
        return value

    def _level(self, x: Words, lowest: int) -> int:
        check("x", x, np.uint64, (*x.shape[1:2], self._n), 1)
        if not lowest <= x.shape[1] <= len(self._primes):
            raise ValueError(f"x must have from {lowest} to {len(self._primes)} limbs")
        return int(x.shape[1])

    def _at(self, level: int) -> Ring:
        return self._ring if level == len(self._primes) else Ring(self._n, self._primes[:level])


def _centred(x: Words, q: int) -> NDArray[np.int64]:
    """Residues as the signed numbers nearest to zero."""
    return np.where(x > q // 2, x - np.uint64(q), x).view(np.int64)
