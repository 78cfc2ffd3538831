"""A plain matrix times an encrypted one: images, products, packing (`plan` has the formulas).

Exact: the packed result decrypts to the integer product modulo t for every matrix in range, since a
plan without room for its noise does not exist.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto import _native
from vfl_crypto.errors import CryptoError, EncodingOverflowError, KeyMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vfl_crypto.lattice.arithmetic import Arithmetic
    from vfl_crypto.lattice.keys import PublicKey
    from vfl_crypto.lattice.plan import Plan

CHUNK_BYTES: Final = 32 << 20
"""Transformed tiles made at a time, or those of one subtree: what a product needs beside its cache
and beside the matrix as integers."""

DEFAULT_BUDGET_BYTES: Final = 1 << 30


class TileBudget:
    """Bytes of transformed tiles that may stay in memory, over all matrices; thread-safe.

    What is given back is only queued: a finaliser may run anywhere, also under the lock.
    """

    def __init__(self, limit: int = DEFAULT_BUDGET_BYTES) -> None:
        self.limit = limit
        self._used = 0
        self._returned: deque[int] = deque()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        with self._lock:
            return self._settled()

    def reserve(self, owner: object, size: int) -> bool:
        """True if `size` more bytes fit; they are given back when `owner` is gone."""
        with self._lock:
            if self._settled() + size > self.limit:
                return False
            self._used += size
        weakref.finalize(owner, self._returned.append, size)
        return True

    def _settled(self) -> int:
        while self._returned:
            self._used -= self._returned.popleft()
        return self._used


class Tiles:
    """A plain matrix (rows, inner) of integers as the factors of a plan, kept within a budget.

    Factor (s, kappa) is sum_b X^(2^(l-h) b) sigma_kappa(p_b) over the 2^h row blocks b of subtree
    s, in NTT form. Raises `EncodingOverflowError` for an entry outside the plan's bits,
    `KeyMismatchError` for another shape.
    """

    def __init__(
        self,
        plan: Plan,
        arithmetic: Arithmetic,
        matrix: NDArray[np.int64] | NDArray[np.float64],
        budget: TileBudget | None = None,
    ) -> None:
        if matrix.shape != (plan.rows, plan.inner):
            raise KeyMismatchError(
                f"the plan multiplies a matrix of shape {(plan.rows, plan.inner)}, "
                f"not {matrix.shape}"
            )
        bound = 1 << (plan.plain_bits - 1)
        if matrix.size and not -bound <= int(matrix.min()) <= int(matrix.max()) <= bound:
            raise EncodingOverflowError(
                f"an entry of the matrix is not within +-2^{plan.plain_bits - 1}; scale it down"
            )
        self.plan = plan
        self.matrix = matrix
        self._arithmetic = arithmetic
        self._budget = budget
        self._kept: dict[int, NDArray[np.uint64]] = {}
        self._lock = threading.Lock()

    def chunks(self) -> Iterator[NDArray[np.uint64]]:
        """Factors (subtrees, inner blocks * images, primes, N), some subtrees at a time."""
        plan, p = self.plan, self.plan.parameters
        each = plan.inner_blocks * plan.images * len(p.primes) * p.n * 8
        step = max(1, CHUNK_BYTES // each)
        for start in range(0, plan.row_subtrees, step):
            with self._lock:
                kept = self._kept.get(start)
                if kept is None:
                    kept = self._transformed(start, min(start + step, plan.row_subtrees))
                    if self._budget and self._budget.reserve(self, kept.nbytes):
                        self._kept[start] = kept
            yield kept

    def _transformed(self, start: int, stop: int) -> NDArray[np.uint64]:
        plan, arithmetic = self.plan, self._arithmetic
        each = plan.images * plan.tile.rows
        part = self.matrix[start * each : stop * each].astype(np.int64)
        polys = plan.tile.encode_plain(part)  # (row blocks, inner blocks, N)
        missing = (stop - start) * plan.images - len(polys)
        if missing:
            polys = np.concatenate((polys, np.zeros_like(polys, shape=(missing, *polys.shape[1:]))))
        polys = polys.reshape(stop - start, plan.images, plan.inner_blocks, -1).swapaxes(1, 2)
        sums = _native.image_sums(
            np.ascontiguousarray(polys).reshape(-1, plan.images, plan.parameters.n),
            plan.image_exponents(),
            plan.joined,
            arithmetic.threads,
        )
        sums = sums.reshape(stop - start, plan.inner_blocks * plan.images, -1)
        lifted = arithmetic.ring.lift(sums, arithmetic.threads)
        return arithmetic.ring.forward(lifted, arithmetic.threads)


def evaluate(public: PublicKey, tiles: Tiles, c: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Ciphertexts of C -> ciphertexts of the packed product (results, 2, primes, N).

    c is (inner blocks, column blocks, 2, primes, N), coefficient form in and out. The result holds
    the matrix in its randomness: it may leave only through `masking`.
    """
    plan, arithmetic, p = tiles.plan, public.arithmetic, tiles.plan.parameters
    shape = (plan.inner_blocks, plan.column_blocks, 2, len(p.primes), p.n)
    if arithmetic.parameters != p or c.shape != shape:
        raise KeyMismatchError(
            f"the plan needs ciphertexts of shape {shape} at {p}; got {c.shape} at "
            f"{arithmetic.parameters}"
        )
    if plan.levels > public.levels:
        raise CryptoError(
            f"this product packs in {plan.levels} levels and the key holder published keys for "
            f"{public.levels}; ask for a key with more levels"
        )
    if plan.tile.columns == p.n:  # one coefficient in each plain polynomial: no transform at all
        flat = c.reshape(plan.inner_blocks, -1, *shape[3:])
        weights = np.ascontiguousarray(tiles.matrix, dtype=np.int64)
        sums = arithmetic.ring.gemm(weights, flat, arithmetic.threads)
        return _by_column(sums, plan)
    factors = _images(public, plan, c)
    nodes = [
        arithmetic.ring.multiply_accumulate(chunk, factors, arithmetic.threads)
        for chunk in tiles.chunks()
    ]
    joined = nodes[0] if len(nodes) == 1 else np.concatenate(nodes)
    sums = arithmetic.ring.inverse(joined, arithmetic.threads)
    sums = _halved(arithmetic, sums, plan.levels - plan.split)
    return _packed(public, plan, _by_column(sums, plan))


def _images(public: PublicKey, plan: Plan, c: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """2^-h sigma_kappa(c) for all kappa: (inner blocks * images, column blocks * 2, primes, N)."""
    arithmetic = public.arithmetic
    exponents = [plan.exponent(level) for level in range(1, plan.split + 1)]
    keys = [public.switching_key(k) for k in exponents]
    halved = _halved(arithmetic, c, plan.split)
    images = arithmetic.switch.images(halved, keys, exponents, arithmetic.threads)
    flat = images.reshape(plan.inner_blocks * plan.images, -1, *c.shape[3:])
    return arithmetic.ring.forward(flat, arithmetic.threads)


def _packed(public: PublicKey, plan: Plan, nodes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The remaining levels: neighbours a, b become a + X^shift b + KS(a - X^shift b)."""
    arithmetic = public.arithmetic
    for level, shift in plan.tree():
        k = plan.exponent(level)
        key = public.switching_key(k)
        nodes = arithmetic.switch.pack(nodes, shift, key, k, arithmetic.threads)
    return nodes


def _halved(arithmetic: Arithmetic, x: NDArray[np.uint64], times: int) -> NDArray[np.uint64]:
    """2^-times x modulo Q."""
    if times == 0:
        return x
    factors = [pow(2, -times, q) for q in arithmetic.parameters.primes]
    return arithmetic.ring.scale(x, np.array(factors, dtype=np.uint64), arithmetic.threads)


def _by_column(sums: NDArray[np.uint64], plan: Plan) -> NDArray[np.uint64]:
    """(row subtrees, column blocks * 2, primes, N) -> (subtrees, 2, primes, N), by column block."""
    sums = sums.reshape(len(sums), plan.column_blocks, 2, *sums.shape[2:])
    return np.ascontiguousarray(sums.swapaxes(0, 1)).reshape(-1, *sums.shape[2:])
