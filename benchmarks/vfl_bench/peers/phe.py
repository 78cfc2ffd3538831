"""phe, element by element as its users write it, with gmpy2 and with Python integers alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import phe
import phe.util
from numpy.typing import NDArray

from vfl_bench.harness import Contender
from vfl_bench.suites.common import UNMASKED, relative_error

DATA, PLAIN = 2**30, 2**16  # fixed-point scales, as ours


class PhePeer:
    """A new key of `bits`; its data are the first few values, rows and columns: phe is slow."""

    def __init__(
        self, bits: int, values: NDArray[np.float64], X: NDArray[np.float64], d: NDArray[np.float64]
    ) -> None:
        self._labels = {"phe": False}
        if importlib.util.find_spec("gmpy2"):  # phe uses it where it is installed
            self._labels = {"phe+gmpy2": True, "phe": False}
            phe.util.HAVE_GMP = True
        public, private = phe.generate_paillier_keypair(n_length=bits)
        few, rows, cells = values[:2], d[:4], X[:4, :2]
        numbers = [int(v) for v in np.rint(few * DATA)]
        batch = [public.encrypt(v) for v in numbers]
        d_rows = [public.encrypt(int(v)) for v in np.rint(rows * DATA)]
        columns = [[int(x) for x in column] for column in np.rint(cells.T * PLAIN)]

        def opened(ciphertexts: Sequence[Any], scale: int) -> list[float]:
            return [private.decrypt(c) / scale for c in ciphertexts]

        def encrypt() -> list[Any]:
            return [public.encrypt(v) for v in numbers]

        def decrypt() -> list[float]:
            return opened(batch, DATA)

        def add() -> list[Any]:
            return [a + b for a, b in zip(batch, batch, strict=True)]

        def product() -> list[Any]:
            return [sum(r * x for r, x in zip(d_rows, c, strict=True)) for c in columns]

        def error(run: Callable[[], list[Any]], scale: int, want: NDArray[np.float64]) -> Any:
            return lambda: relative_error(opened(run(), scale), want)

        self._works: dict[str, tuple[Callable[[], object], int, Callable[[], float]]] = {
            "encrypt": (encrypt, few.size, error(encrypt, DATA, few)),
            "decrypt": (decrypt, few.size, lambda: relative_error(decrypt(), few)),
            "add": (add, few.size, error(add, DATA, 2 * few)),
            "XTd": (product, cells.size, error(product, DATA * PLAIN, cells.T @ rows)),
        }

    def contenders(self, operation: str) -> list[Contender]:
        """With and, where gmpy2 is installed, without it."""
        run, items, error = self._works[operation]
        facts: dict[str, Any] = {"threads": 1}
        if operation == "XTd":
            facts["note"] = UNMASKED
        return [
            Contender(label, _with_gmp(gmp, run), items, facts, error)
            for label, gmp in self._labels.items()
        ]


def _with_gmp(use: bool, run: Callable[[], object]) -> Callable[[], object]:
    def call() -> object:
        phe.util.HAVE_GMP = use
        return run()

    return call
