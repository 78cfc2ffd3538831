"""Products of whole batches of ciphertexts modulo n^2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto import _native
from vfl_crypto.errors import WireError
from vfl_crypto.paillier.limbs import from_limbs, limbs_for, to_limbs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from vfl_crypto.paillier.keys import PublicKey
    from vfl_crypto.paillier.packing import Slots


class Products:
    """Arithmetic modulo n^2 for one public key. Arrays are uint64 (count, limbs); thread-safe."""

    def __init__(self, key: PublicKey, threads: int) -> None:
        self._key = key
        self.threads = threads
        self.modulus = _native.Modulus(to_limbs([key.n], limbs_for(key.bits))[0], square=True)

    def multiply(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """a[i] b[i]."""
        return _native.modmul(a, b, self.modulus, self.threads)

    def plain(self, integers: Iterable[int]) -> NDArray[np.uint64]:
        """1 + m n modulo n^2 for each m: the encryptions without randomness."""
        n = self._key.n
        return to_limbs((1 + m % n * n for m in integers), self._key.limbs)

    def blind(
        self, rows: NDArray[np.uint64], fresh: Callable[[int, int], NDArray[np.uint64]]
    ) -> NDArray[np.uint64]:
        """Each row times new randomness, `blinding.Blinding.short` or `full`."""
        return self.multiply(rows, fresh(len(rows), self.threads))

    def columns(
        self, bases: NDArray[np.uint64], exponents: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """prod_i bases[i]^exponents[i, j], one row for each column j of (count, columns).

        Raises `WireError` if a base is no unit.
        """
        positive, negative = _native.multiexp(bases, exponents, self.modulus, self.threads)
        return self.multiply(positive, self.invert(negative))

    def pack(self, rows: NDArray[np.uint64], slots: Slots) -> NDArray[np.uint64]:
        """rows[0] rows[1]^(2^S) rows[2]^(4^S) ... for each group of slots.per_row (Horner)."""
        groups, width = slots.rows(len(rows)), slots.per_row
        one = to_limbs([1], self._key.limbs)
        padding = np.repeat(one, groups * width - len(rows), axis=0)
        columns = np.concatenate((rows, padding)).reshape(groups, width, -1).swapaxes(0, 1)
        shift = to_limbs([1 << slots.bits], limbs_for(slots.bits + 1))
        packed = np.ascontiguousarray(columns[-1])
        for column in columns[-2::-1]:
            shifted = _native.modexp(packed, shift, self.modulus, self.threads)
            packed = self.multiply(np.ascontiguousarray(column), shifted)
        return packed

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
