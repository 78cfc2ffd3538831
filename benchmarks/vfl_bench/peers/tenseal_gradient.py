"""TenSEAL's whole gradient: encrypt, multiply, decrypt, at its cheapest sufficient parameters.

Cheapest first: fewer and shorter primes, then a larger ring. Chosen is the first chain whose
measured error is no larger than the one asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tenseal
from numpy.typing import NDArray

from vfl_bench.harness import Contender
from vfl_bench.suites.common import UNMASKED, relative_error
from vfl_crypto.security import check_ring

CHAINS = (
    (4096, (39, 28, 39)), (4096, (38, 30, 38)), (8192, (40, 28, 40)), (8192, (50, 36, 50)),
    (8192, (60, 40, 60)), (8192, (60, 40, 40, 60)),
)  # fmt: skip
PROBED = 4  # columns whose error decides


class TensealGradient:
    """X (n, f) and d (n,) under the first chain that is exact to `error` (largest by largest)."""

    def __init__(self, X: NDArray[np.float64], d: NDArray[np.float64], error: float) -> None:
        self._X, self._d, self._want = X, d, X.T @ d
        self._columns = [column.tolist() for column in X.T]
        for n, bits in CHAINS:
            if len(X) > n // 2:
                continue
            self._open(n, bits)
            probed = relative_error(self._dots(PROBED), self._want[:PROBED])
            if probed <= error:
                break
        self._facts: dict[str, Any] = {
            "threads": 1, "parameters": f"N = {n}, primes {'+'.join(map(str, bits))}",
            "log_qp": sum(bits), "security_bits": check_ring(n, bits), "note": UNMASKED,
        }  # fmt: skip

    def dots(self) -> Contender:
        """One dot product a column: its fastest route."""
        return self._contender("tenseal dot", lambda: self._dots(len(self._columns)))

    def matmul(self) -> Contender:
        """One `matmul`: what its users write."""
        rows = self._X.tolist()
        return self._contender(
            "tenseal matmul",
            lambda: tenseal.ckks_vector(self._context, self._d).matmul(rows).decrypt(),
        )

    def _open(self, n: int, bits: tuple[int, ...]) -> None:
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, n, coeff_mod_bit_sizes=list(bits), n_threads=1
        )
        context.global_scale = 2.0 ** bits[1]
        context.generate_galois_keys()
        self._context = context

    def _dots(self, count: int) -> list[float]:
        vector = tenseal.ckks_vector(self._context, self._d)
        return [vector.dot(column).decrypt()[0] for column in self._columns[:count]]

    def _contender(self, label: str, run: Callable[[], Any]) -> Contender:
        return Contender(
            label, run, self._X.size, self._facts, lambda: relative_error(run(), self._want)
        )
