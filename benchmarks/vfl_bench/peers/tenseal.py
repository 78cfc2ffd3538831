"""TenSEAL's vectors as its users write them: N = 8192, primes of 60, 40, 40 and 60 bits.

Batches (m, n) are m vectors, one after the other; an item is one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tenseal
from numpy.typing import NDArray

from vfl_bench.harness import Contender
from vfl_bench.suites.common import UNMASKED, relative_error
from vfl_crypto.security import check_ring

N, PRIME_BITS, SCALE = 8192, (60, 40, 40, 60), 2.0**40
FEW = 4  # columns a call: each is one product, one rescaling and log2(N / 2) rotations


class TensealPeer:
    """A new key pair with its rotation keys; one thread."""

    slots = N // 2

    def __init__(self) -> None:
        self._context = _context(tenseal.ENCRYPTION_TYPE.ASYMMETRIC)
        self._context.generate_galois_keys()
        self._facts: dict[str, Any] = {
            "threads": 1, "parameters": f"N = {N}, log2 QP = {sum(PRIME_BITS)}",
            "log_qp": sum(PRIME_BITS), "security_bits": check_ring(N, PRIME_BITS),
        }  # fmt: skip

    def encrypt_batch(self, values: NDArray[np.float64]) -> Contender:
        """Encoding and encryption under the public key."""
        rows = values.tolist()  # faster for it than arrays
        return self._contender("tenseal", lambda: self._encrypted(rows), len(rows), values)

    def encrypt_to_bytes(self, values: NDArray[np.float64]) -> Contender:
        """Encryption under the secret key, and serialisation."""
        context = _context(tenseal.ENCRYPTION_TYPE.SYMMETRIC)
        rows = values.tolist()

        def run() -> Any:
            return [tenseal.ckks_vector(context, row).serialize() for row in rows]

        def error() -> float:
            read = tenseal.ckks_vector_from(context, run()[0])
            return relative_error(read.decrypt(), values[0])

        return Contender(
            "tenseal", run, len(rows), self._facts, error, lambda _: {"bytes": len(run()[0])}
        )

    def add(self, values: NDArray[np.float64]) -> Contender:
        """Each vector to itself."""
        vectors = self._encrypted(values.tolist())
        return self._contender(
            "tenseal", lambda: [v + v for v in vectors], len(vectors), 2 * values
        )

    def multiply_plain(self, values: NDArray[np.float64]) -> Contender:
        """Each vector by the plain one, encoded anew, and rescaled."""
        rows = values.tolist()
        vectors = self._encrypted(rows)

        def run() -> Any:
            return [v * row for v, row in zip(vectors, rows, strict=True)]

        return self._contender("tenseal", run, len(rows), values**2)

    def multiply(self, values: NDArray[np.float64]) -> Contender:
        """Each vector by itself, relinearised and rescaled."""
        vectors = self._encrypted(values.tolist())
        return self._contender("tenseal", lambda: [v * v for v in vectors], len(vectors), values**2)

    def decrypt_batch(self, values: NDArray[np.float64]) -> Contender:
        vectors = self._encrypted(values.tolist())
        return Contender(
            "tenseal", lambda: [v.decrypt() for v in vectors], len(vectors), self._facts,
            lambda: relative_error([v.decrypt() for v in vectors], values),
        )  # fmt: skip

    def dot(self, X: NDArray[np.float64], d: NDArray[np.float64]) -> Contender:
        """The first columns of X^T[[d]], a dot product each; an item is one product x_ij [[d_i]].

        X (n, f) with n at most N / 2.
        """
        vector, few = tenseal.ckks_vector(self._context, d), X[:, :FEW]
        columns = [column.tolist() for column in few.T]

        def run() -> Any:
            return [vector.dot(column) for column in columns]

        return self._contender("tenseal dot", run, few.size, few.T @ d)

    def _encrypted(self, rows: list[list[float]]) -> list[Any]:
        return [tenseal.ckks_vector(self._context, row) for row in rows]

    def _contender(self, label: str, run: Any, items: int, want: NDArray[np.float64]) -> Contender:
        def error() -> float:
            result = run()
            vectors = result if isinstance(result, list) else [result]
            got = [v for vector in vectors for v in vector.decrypt()]
            return relative_error(got, want.reshape(-1))

        note = {"note": UNMASKED} if label == "tenseal dot" else {}
        return Contender(label, run, items, self._facts | note, error)


def _context(kind: Any) -> Any:
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, N, coeff_mod_bit_sizes=list(PRIME_BITS),
        encryption_type=kind, n_threads=1,
    )  # fmt: skip
    context.global_scale = SCALE
    return context
