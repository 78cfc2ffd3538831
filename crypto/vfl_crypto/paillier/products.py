"""Products and blinding of whole batches of ciphertexts modulo n^2."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto import _native
from vfl_crypto.errors import WireError
from vfl_crypto.paillier.limbs import from_limbs, limbs_for, random_limbs, to_limbs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.paillier.keys import PublicKey

# Beyond the length of n, so that h_s^r is uniform in the group of h_s up to 2^-64.
_STATISTICAL_BITS = 64
_SMALL_WINDOW = 5


class Products:
    """Arithmetic modulo n^2 for one public key. Arrays are uint64 (count, limbs); thread-safe.

    The tables of powers of h_s are built when first used: with a window of w bits they take
    bits / (2 w) * 2^w elements (37 MiB at 3072 bits and w = 8) and half a second or less.
    """

    def __init__(self, key: PublicKey, threads: int, window: int) -> None:
        self._key = key
        self._threads = threads
        self._window = window
        self._lock = threading.Lock()
        self._short: _native.FixedBase | None = None
        self._long: _native.FixedBase | None = None
        self._short_bits = -(-key.bits // 2)
        self._long_bits = key.bits + _STATISTICAL_BITS - self._short_bits
        self.modulus = _native.Modulus(to_limbs([key.n], limbs_for(key.bits))[0], square=True)

    def multiply(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """a[i] b[i]."""
        return _native.modmul(a, b, self.modulus, self._threads)

    def blind(self, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """factors[i] h_s^r with r uniform of half the length of n: enough for an encryption.

        For a key without h_s, factors[i] r^n with r uniform below n.
        """
        if self._key.h_s is None:
            return self._blind_classic(factors)
        exponents = random_limbs(len(factors), self._short_bits)
        return self._short_table().pow(exponents, factors, self._threads)

    def blind_fully(self, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """factors[i] h_s^r with r 64 bits longer than n.

        The holder of the key can, in principle, take logarithms to the base h_s; against him a
        product is hidden only if the new exponent drowns the old one modulo the group's order.
        """
        if self._key.h_s is None:
            return self._blind_classic(factors)
        low = self.blind(factors)
        exponents = random_limbs(len(factors), self._long_bits)
        return self._long_table().pow(exponents, low, self._threads)

    def columns(
        self, bases: NDArray[np.uint64], exponents: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """prod_i bases[i]^exponents[i, j], one row for each column j of (count, columns).

        Raises `WireError` if a base is no unit.
        """
        positive, negative = _native.multiexp(bases, exponents, self.modulus, self._threads)
        return self.multiply(positive, self.invert(negative))

    def invert(self, rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """1 / rows[i]: one inversion for all, of the root of a tree of products."""
        if not len(rows):
            return rows
        one = to_limbs([1], self._key.limbs)
        levels = [rows]
        while len(levels[-1]) > 1:
            if len(levels[-1]) % 2:
                levels[-1] = np.concatenate((levels[-1], one))
            pairs = levels[-1].reshape(-1, 2, self._key.limbs)
            left, right = (np.ascontiguousarray(pairs[:, side]) for side in (0, 1))
            levels.append(self.multiply(left, right))
        try:
            root = pow(from_limbs(levels[-1])[0], -1, self._key.n**2)
        except ValueError:
            raise WireError(
                "a ciphertext shares a factor with its key: damaged or forged"
            ) from None
        inverses = to_limbs([root], self._key.limbs)
        for level in reversed(levels[:-1]):
            siblings = level.reshape(-1, 2, self._key.limbs)[:, ::-1].reshape(level.shape)
            inverses = self.multiply(np.repeat(inverses, 2, axis=0)[: len(level)], siblings)
        return inverses[: len(rows)]

    def _short_table(self) -> _native.FixedBase:
        with self._lock:
            if self._short is None:
                assert self._key.h_s is not None
                self._short = self._table(self._key.h_s, self._short_bits, self._window)
            return self._short

    def _long_table(self) -> _native.FixedBase:
        with self._lock:
            if self._long is None:
                assert self._key.h_s is not None
                base = pow(self._key.h_s, 1 << self._short_bits, self._key.n**2)
                self._long = self._table(base, self._long_bits, min(self._window, _SMALL_WINDOW))
            return self._long

    def _table(self, base: int, bits: int, window: int) -> _native.FixedBase:
        row = to_limbs([base], self._key.limbs)[0]
        return _native.FixedBase(row, self.modulus, bits, window, self._threads)

    def _blind_classic(self, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
        n = self._key.n
        draws = (1 + secrets.randbelow(n - 1) for _ in range(len(factors)))
        exponent = to_limbs([n], limbs_for(self._key.bits))
        powers = _native.modexp(
            to_limbs(draws, self._key.limbs), exponent, self.modulus, self._threads
        )
        return self.multiply(factors, powers)
