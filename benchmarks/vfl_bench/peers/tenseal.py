"""TenSEAL's vectors as its users write them: N = 8192, primes of 60, 40, 40 and 60 bits."""

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
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, N, coeff_mod_bit_sizes=list(PRIME_BITS), n_threads=1
        )
        context.global_scale = SCALE
        context.generate_galois_keys()
        self._context = context
        self._facts: dict[str, Any] = {
            "threads": 1, "parameters": f"N = {N}, log2 QP = {sum(PRIME_BITS)}",
            "log_qp": sum(PRIME_BITS), "security_bits": check_ring(N, PRIME_BITS),
        }  # fmt: skip

    def encrypt(self, values: NDArray[np.float64]) -> Contender:
        """One vector of at most N / 2 values; an item is a value."""

        def run() -> Any:
            return tenseal.ckks_vector(self._context, values)

        return self._contender("tenseal", run, values.size, values)

    def decrypt(self, values: NDArray[np.float64]) -> Contender:
        """The vector `values`, encrypted beforehand; an item is a value."""
        vector = tenseal.ckks_vector(self._context, values)
        return Contender(
            "tenseal", vector.decrypt, values.size, self._facts,
            lambda: relative_error(vector.decrypt(), values),
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

    def _contender(self, label: str, run: Any, items: int, want: NDArray[np.float64]) -> Contender:
        def error() -> float:
            result = run()
            vectors = result if isinstance(result, list) else [result]
            return relative_error([v for vector in vectors for v in vector.decrypt()], want)

        note = {"note": UNMASKED} if label == "tenseal dot" else {}
        return Contender(label, run, items, self._facts | note, error)
