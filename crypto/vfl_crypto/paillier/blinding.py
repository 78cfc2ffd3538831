"""Fresh randomness for ciphertexts: random n-th powers modulo n^2, made by the batch.

`DjnBlinding`      h_s^r, for anybody: r of half the length of n, or for products 64 bits longer
                   than n (see `keys`)
`ClassicBlinding`  r^n of Paillier's own scheme, for keys without h_s
`OwnerBlinding`    the same two distributions for the holder of p and q: modulo p^2 and q^2,
                   joined by remainders

Elements are uint64 (count, limbs). Every one is made once, for one ciphertext.
"""

from __future__ import annotations

import os
import secrets
import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vfl_crypto import _native
from vfl_crypto.paillier.limbs import limbs_for, random_limbs, to_limbs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.paillier.keys import PublicKey
    from vfl_crypto.paillier.private import PrivateKey

# Beyond the length of a group's order, so that a power is uniform in the group up to 2^-64.
STATISTICAL_BITS = 64
_LONG_WINDOW = 8


_building = threading.Lock()
"""Held while tables are built; a forked child has one of its own, which nobody holds."""


def _renew() -> None:
    global _building  # noqa: PLW0603  the state is the process's
    _building = threading.Lock()


os.register_at_fork(after_in_child=_renew)


class Blinding(Protocol):
    """Makes random elements; thread-safe. Tables are built when first used."""

    def short(self, count: int, threads: int) -> NDArray[np.uint64]:
        """What an encryption needs."""

    def full(self, count: int, threads: int) -> NDArray[np.uint64]:
        """What a product needs, so that it is hidden from the key's owner as well.

        He can, in principle, take logarithms to the base h_s; against him a product is hidden only
        if the new exponent drowns the old one modulo the group's order.
        """


class DjnBlinding:
    """h_s^r from tables of powers of h_s.

    A table of windows of w bits takes bits / (2 w) * 2^w elements: at w = 10, 64 MiB for a key of
    2048 bits and 0.2 s to build, 144 MiB and 0.5 s at 3072 bits. Each bit more doubles both, and
    saves a tenth of the products. The table for the upper part of a longer r has windows of 8 bits.
    """

    def __init__(self, key: PublicKey, modulus: _native.Modulus, window: int) -> None:
        assert key.h_s is not None
        self._h_s, self._square = key.h_s, key.n**2
        self._modulus, self._limbs = modulus, key.limbs
        self._window = window
        self._short_bits = -(-key.bits // 2)
        self._long_bits = key.bits + STATISTICAL_BITS - self._short_bits
        self._tables: dict[int, _native.FixedBase] = {}

    def short(self, count: int, threads: int) -> NDArray[np.uint64]:
        """h_s^r with r uniform of half the length of n."""
        table = self._table(0, self._short_bits, self._window, threads)
        return table.pow(random_limbs(count, self._short_bits), None, threads)

    def full(self, count: int, threads: int) -> NDArray[np.uint64]:
        """h_s^r with r uniform and 64 bits longer than n."""
        low = self.short(count, threads)
        window = min(self._window, _LONG_WINDOW)
        table = self._table(self._short_bits, self._long_bits, window, threads)
        return table.pow(random_limbs(count, self._long_bits), low, threads)

    def _table(self, from_bit: int, bits: int, window: int, threads: int) -> _native.FixedBase:
        with _building:
            if from_bit not in self._tables:
                base = to_limbs([pow(self._h_s, 1 << from_bit, self._square)], self._limbs)[0]
                self._tables[from_bit] = _native.FixedBase(
                    base, self._modulus, bits, window, threads
                )
            return self._tables[from_bit]


class ClassicBlinding:
    """r^n with r uniform below n: one exponentiation of full length each, no table."""

    def __init__(self, key: PublicKey, modulus: _native.Modulus) -> None:
        self._n, self._limbs = key.n, key.limbs
        self._exponent = to_limbs([key.n], limbs_for(key.bits))
        self._modulus = modulus

    def short(self, count: int, threads: int) -> NDArray[np.uint64]:
        draws = (1 + secrets.randbelow(self._n - 1) for _ in range(count))
        rows = to_limbs(draws, self._limbs)
        return _native.modexp(rows, self._exponent, self._modulus, threads)

    full = short


class OwnerBlinding:
    """What the key's owner draws; always of full length, because that costs him nothing.

    h_s^r: exponents 64 bits longer than p and q, equal in their lowest bit, are together as good as
    one r modulo lcm(p - 1, q - 1), for gcd(p - 1, q - 1) = 2. r^n modulo p^2 depends on r modulo p
    alone, because n-th powers forget multiples of p.
    """

    def __init__(self, key: PrivateKey, window: int) -> None:
        self._key, self._window = key, window
        self._tables: list[_native.FixedBase] = []

    def short(self, count: int, threads: int) -> NDArray[np.uint64]:
        make = self._nth_powers if self._key.public.h_s is None else self._powers_of_h_s
        a, b = make(count, threads)
        return self._key.join(a, b, threads)

    full = short

    def _powers_of_h_s(self, count: int, threads: int) -> list[NDArray[np.uint64]]:
        exponents = [
            random_limbs(count, half.prime.bit_length() + STATISTICAL_BITS)
            for half in self._key.halves
        ]
        one = np.uint64(1)
        exponents[1][:, 0] = exponents[1][:, 0] & ~one | exponents[0][:, 0] & one
        return [
            table.pow(e, None, threads)
            for table, e in zip(self._built(threads), exponents, strict=True)
        ]

    def _nth_powers(self, count: int, threads: int) -> list[NDArray[np.uint64]]:
        powers = []
        for half in self._key.halves:
            p = half.prime
            order = p * (p - 1)
            exponent = to_limbs([self._key.public.n % order], limbs_for(order.bit_length()))
            draws = (1 + secrets.randbelow(p - 1) for _ in range(count))
            rows = to_limbs(draws, half.ring.limbs)
            powers.append(_native.modexp(rows, exponent, half.ring, threads))
        return powers

    def _built(self, threads: int) -> list[_native.FixedBase]:
        with _building:
            if not self._tables:
                h_s = self._key.public.h_s
                assert h_s is not None
                self._tables = [
                    _native.FixedBase(
                        to_limbs([h_s % half.prime**2], half.ring.limbs)[0],
                        half.ring,
                        half.prime.bit_length() + STATISTICAL_BITS,
                        self._window,
                        threads,
                    )
                    for half in self._key.halves
                ]
            return self._tables
