"""The one array in which an encrypted vector or a result travels, and its bounded parser.

    0   u8   kind
    1   7 x  zero
    8   ...  seeds of 64 bytes, then bit-packed residues

    kind     payload
    seeded   for each block the seed of c1; then c0 of each block, modulo q0 q1 q2
    public   c0 and c1 of each block, modulo q0 q1 q2
    sums     c1 of each ciphertext, then the 2n' folded words of each c0, modulo q0 q1

The sizes follow from the count and the layout alone, so a length is checked before anything is
allocated; residues are checked as they are unpacked.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto._native import Rns
from vfl_crypto.ckks.encryption import expand_seeded
from vfl_crypto.ckks.keys import SEED_BYTES
from vfl_crypto.errors import WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.ckks.arithmetic import Arithmetic
    from vfl_crypto.ckks.layout import Layout

_HEADER: Final = 8


class Kind(IntEnum):
    """What a body holds."""

    SEEDED = 1
    PUBLIC = 2
    SUMS = 3


class Bodies:
    """Makes and reads the bodies of one chain."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        data, n = arithmetic.parameters.data, arithmetic.parameters.n
        self._n = n
        self._rows = Rns(data)
        self._sums = Rns(data[:-1])
        self._row_bytes = self._rows.packed_bytes(n)
        self._sum_bytes = self._sums.packed_bytes(n)

    def seeded(self, seeds: NDArray[np.uint8], c0: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Seeds (blocks, 64) and c0 (blocks, 3, N)."""
        return _joined(Kind.SEEDED, seeds, self._rows.pack(c0, self._arithmetic.threads))

    def public(self, words: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Ciphertexts (blocks, 2, 3, N)."""
        return _joined(Kind.PUBLIC, self._rows.pack(words, self._arithmetic.threads))

    def sums(self, c1: NDArray[np.uint64], folded: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """c1 (ciphertexts, 2, N) and the folds of c0 (ciphertexts, 2, 2n')."""
        threads = self._arithmetic.threads
        return _joined(Kind.SUMS, self._sums.pack(c1, threads), self._sums.pack(folded, threads))

    def read_rows(self, body: NDArray[np.generic], layout: Layout) -> NDArray[np.uint64]:
        """Ciphertexts (blocks, 2, 3, N) of encrypted rows. Raises `WireError`."""
        kind, payload = _split(body)
        blocks = layout.blocks
        if kind is Kind.SEEDED:
            parts = _cut(payload, blocks * SEED_BYTES, blocks * self._row_bytes)
            c0 = self._unpacked(self._rows, parts[1].reshape(blocks, -1), self._n)
            return expand_seeded(self._arithmetic, parts[0].reshape(blocks, SEED_BYTES), c0)
        if kind is not Kind.PUBLIC:
            raise WireError("a result is not an encrypted vector")
        (rows,) = _cut(payload, 2 * blocks * self._row_bytes)
        words = self._unpacked(self._rows, rows.reshape(blocks, 2, -1), self._n)
        if not words[:, 1].any(axis=(1, 2)).all():
            raise WireError("a ciphertext without randomness: damaged or forged")
        return words

    def read_sums(
        self, body: NDArray[np.generic], layout: Layout, count: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """c1 and folds of `count` results, as `sums` takes them. Raises `WireError`."""
        kind, payload = _split(body)
        if kind is not Kind.SUMS:
            raise WireError("an encrypted vector is not a result")
        held = 2 * layout.classes
        ciphertexts = -(-count // held)
        fold_bytes = self._sums.packed_bytes(held)
        c1, folds = _cut(payload, ciphertexts * self._sum_bytes, ciphertexts * fold_bytes)
        return (
            self._unpacked(self._sums, c1.reshape(ciphertexts, -1), self._n),
            self._unpacked(self._sums, folds.reshape(ciphertexts, -1), held),
        )

    def _unpacked(self, rns: Rns, packed: NDArray[np.uint8], words: int) -> NDArray[np.uint64]:
        try:
            return rns.unpack(np.ascontiguousarray(packed), words, self._arithmetic.threads)
        except ValueError as error:
            raise WireError(f"damaged CKKS bytes: {error}") from error


def _joined(kind: Kind, *parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    header = np.zeros(_HEADER, dtype=np.uint8)
    header[0] = kind
    return np.concatenate((header, *(part.reshape(-1) for part in parts)))


def _split(body: NDArray[np.generic]) -> tuple[Kind, NDArray[np.uint8]]:
    if body.dtype != np.uint8 or body.ndim != 1 or body.size < _HEADER:
        raise WireError(f"a CKKS ciphertext is bytes, not {body.dtype} {body.shape}")
    flat = np.ascontiguousarray(body, dtype=np.uint8)
    if flat[1:_HEADER].any() or flat[0] not in set(Kind):
        raise WireError("a CKKS ciphertext with a malformed header")
    return Kind(int(flat[0])), flat[_HEADER:]


def _cut(payload: NDArray[np.uint8], *sizes: int) -> list[NDArray[np.uint8]]:
    """Consecutive parts of these sizes. Raises `WireError` for another length."""
    if payload.size != sum(sizes):
        raise WireError(f"a CKKS ciphertext has {payload.size} bytes where {sum(sizes)} are due")
    return np.split(payload, np.cumsum(sizes[:-1]))
