"""A matrix product inside one polynomial product: no rotation, no slot.

For plain P (M, K) and encrypted C (K, L), cut both into tiles of M_t, K_t, L_t (powers of two whose
product is at most N) and write

    c(X) = sum_{r, l} C[r, l] X^(l K_t + r)          p(X) = sum_{i, r} P[i, r] X^(i K_t L_t - r)

modulo X^N + 1. Coefficient i K_t L_t + l K_t of p c is then sum_r P[i, r] C[r, l]: the exponents of
all other products miss the multiples of K_t. (Huang et al., "Cheetah", USENIX Security 2022,
section 3.1, with a third side for matrices.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_Word = TypeVar("_Word", np.uint64, np.int64)


@dataclass(frozen=True)
class Tile:
    """Sides of a tile in a ring of degree n."""

    n: int
    rows: int  # M_t
    inner: int  # K_t
    columns: int  # L_t

    def encode_data(self, matrix: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """C (K, L) -> polynomials (inner blocks, column blocks, N)."""
        tiles = _tiled(matrix, self.inner, self.columns).swapaxes(2, 3)
        polys = np.zeros((*tiles.shape[:2], self.n), dtype=np.uint64)
        polys[..., : self.inner * self.columns] = tiles.reshape(*tiles.shape[:2], -1)
        return polys

    def encode_plain(self, matrix: NDArray[np.int64]) -> NDArray[np.int64]:
        """P (M, K) -> polynomials (row blocks, inner blocks, N)."""
        tiles = _tiled(matrix, self.rows, self.inner)
        polys = np.zeros((*tiles.shape[:2], self.n), dtype=np.int64)
        # Axes i, l, r of the exponent i K_t L_t + l K_t + r. Entry (i, r) is at (i - 1, last, -r).
        places = polys.reshape(*tiles.shape[:2], -1, self.columns, self.inner)
        places[:, :, : self.rows, 0, 0] = tiles[..., 0]
        places[:, :, : self.rows - 1, -1, 1:] = tiles[:, :, 1:, :0:-1]
        np.negative(tiles[:, :, 0, :0:-1], out=places[:, :, -1, -1, 1:])
        return polys


def _tiled(matrix: NDArray[_Word], rows: int, columns: int) -> NDArray[_Word]:
    """(a, b) -> (row blocks, column blocks, rows, columns), zeros where there is no entry."""
    a, b = matrix.shape
    down, across = -(-a // rows), -(-b // columns)
    if (a, b) != (down * rows, across * columns):
        whole = np.zeros((down * rows, across * columns), dtype=matrix.dtype)
        whole[:a, :b] = matrix
        matrix = whole
    return matrix.reshape(down, rows, across, columns).swapaxes(1, 2)
