"""The twin of `_native.KeySwitch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.portable.ring import Ring, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.portable.loops import Words


class KeySwitch:
    """Key switching modulo primes with one special prime P (Gentry, Halevi, Smart 2012)."""

    def __init__(self, n: int, primes: Sequence[int], special: int) -> None:
        self._ring, self._wide = Ring(n, primes), Ring(n, [*primes, special])
        self._special = np.uint64(special)
        self._inverse = np.array([pow(special, -1, q) for q in primes], dtype=np.uint64)

    def switch(self, c: Words, key: Words, exponent: int, threads: int = 1) -> Words:
        """c (batch, 2, k, n), coefficients, under X -> X^exponent and then switched by the key.

        key (k, 2, k + 1, n) is in NTT form, key[d] = (b_d, a_d), the limb of P last. Digit d is the
        centred limb q_d of c1; the sum of digits times keys is divided by P and rounded.
        """
        ring, wide, k = self._ring, self._wide, len(self._ring.primes)
        check("c", c, np.uint64, (2, k, ring.n), 1)
        check("key", key, np.uint64, (k, 2, k + 1, ring.n), 0)
        moved = ring.automorphism(c, exponent)
        digits = wide.forward(wide.lift(_centred(moved[:, 1], ring.column)), threads)
        sums = wide.inverse(wide.multiply_accumulate(digits, key, threads), threads)
        rest = ring.lift(_centred(sums[:, :, k], self._special))
        whole = ring.subtract(np.ascontiguousarray(sums[:, :, :k]), rest)  # a multiple of P
        moved[:, 1] = 0
        return ring.add(ring.scale(whole, self._inverse, threads), moved)

    def images(
        self, c: Words, keys: Sequence[Words], exponents: Sequence[int], threads: int = 1
    ) -> Words:
        """All images of c (blocks, columns, 2, k, n), each switched: (blocks, 2^h, columns, ...).

        Under products of subsets of the exponents, in binary order.
        """
        k, n = len(self._ring.primes), self._ring.n
        check("c", c, np.uint64, (2, k, n), 2)
        out = c[:, None]
        for key, exponent in zip(keys, exponents, strict=True):
            more = self.switch(out.reshape(-1, 2, k, n), key, exponent, threads)
            out = np.concatenate((out, more.reshape(out.shape)), axis=1)
        return out

    def pack(self, nodes: Words, shift: int, key: Words, exponent: int, threads: int = 1) -> Words:
        """Neighbours a, b of nodes (count, 2, k, n) become a + X^shift b + KS(a - X^shift b).

        A last one alone counts with b = 0.
        """
        ring = self._ring
        check("nodes", nodes, np.uint64, (2, len(ring.primes), ring.n), 1)
        if len(nodes) % 2:
            nodes = np.concatenate((nodes, np.zeros_like(nodes[:1])))
        a, b = nodes[0::2].copy(), nodes[1::2].copy()
        moved = ring.shift(b, shift)
        switched = self.switch(ring.subtract(a, moved), key, exponent, threads)
        return ring.add(ring.add(a, moved), switched)


def _centred(x: Words, q: Words | np.uint64) -> NDArray[np.int64]:
    """Residues as integers between -q/2 and q/2."""
    signed, modulus = x.astype(np.int64), np.asarray(q).astype(np.int64)
    return np.where(signed > modulus // 2, signed - modulus, signed)
