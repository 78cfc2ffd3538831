"""Where values sit in CKKS slots, so that column sums need no rotation and no switching key.

A real polynomial p of degree below N has N/2 complex slots, the values p(zeta^(3^j)). For n' >= 2 a
power of two, the sums of the slots j = r (mod n'), r < n', are read off the 2n' coefficients at
multiples of s = N / (2n') alone: every other coefficient vanishes in each of these sums. (Not so
for n' = 1: no power of 3 is congruent to -1, and the sum over all slots keeps a second pair.) So

* row i of n fills the n' consecutive slots n' i .. n' i + n' - 1, where n' = slots / P and P is the
  power of two above n, at most slots / 2 (more rows than that: several blocks);
* feature r of X sits in slot class r mod n', real part; feature n' + r in the same class, imaginary
  part. One ciphertext holds the products of 2n' features;
* the key holder adds the slots of each class: the lazy sums of PackVFL (arXiv 2405.00482).

`fold.fold` finds the same 2n' coefficients in the transformed words of a ciphertext.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import EncodingOverflowError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ROWS = 1 << 24


def power_above(count: int) -> int:
    """The smallest power of two that is at least `count` (>= 1)."""
    return 1 << (count - 1).bit_length()


@dataclass(frozen=True)
class Layout:
    """The slots of a vector of `rows` values in a ring with `slots` slots (a power of two)."""

    rows: int
    slots: int

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= MAX_ROWS:
            raise EncodingOverflowError(
                f"a ciphertext holds 1 to {MAX_ROWS} rows, not {self.rows}; split the batch"
            )

    @property
    def padded(self) -> int:
        """Rows of one block, P."""
        return min(power_above(self.rows), self.slots // 2)

    @property
    def classes(self) -> int:
        """Slot classes n' >= 2; a ciphertext holds twice as many features."""
        return self.slots // self.padded

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.padded)

    @property
    def padded_blocks(self) -> int:
        """The power of two above the blocks."""
        return power_above(self.blocks)

    @property
    def total(self) -> int:
        """All rows, padded to a power of two. A result is stored as its mean over these."""
        return self.padded * self.padded_blocks

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,) -> (blocks, slots): every value in the `classes` slots of its row."""
        padded = np.zeros(self.blocks * self.padded)
        padded[: self.rows] = values
        return np.repeat(padded, self.classes).reshape(self.blocks, self.slots)

    def gather(self, slots: NDArray[np.float64]) -> NDArray[np.float64]:
        """(blocks, slots) -> (rows,): the mean of each row's copies."""
        means = slots.reshape(-1, self.classes).mean(axis=1)
        return np.asarray(means[: self.rows])

    def columns(self, plain: NDArray[np.float64]) -> NDArray[np.complex128]:
        """(rows, features) -> (ciphertexts, blocks, slots), two features to a complex class."""
        features = plain.shape[1]
        groups = -(-features // (2 * self.classes))
        padded = np.zeros((self.blocks * self.padded, groups * 2 * self.classes))
        padded[: self.rows, :features] = plain
        parts = padded.reshape(self.blocks, self.padded, groups, 2, self.classes)
        paired = parts[..., 0, :] + 1j * parts[..., 1, :]
        return np.ascontiguousarray(paired.transpose(2, 0, 1, 3)).reshape(groups, self.blocks, -1)


def pair(values: NDArray[np.float64], classes: int) -> NDArray[np.complex128]:
    """(ciphertexts * 2 n',) results -> (ciphertexts, n') complex."""
    parts = values.reshape(-1, 2, classes)
    return np.asarray(parts[:, 0] + 1j * parts[:, 1])


def class_values(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 2n') wanted coefficients -> (..., 2n') slot values of the classes, real parts first."""
    size = coefficients.shape[-1]
    turned = coefficients * np.exp(1j * np.pi / size * np.arange(size))
    odd = np.fft.ifft(turned) * size  # [j] is the value at exp(i pi (2j + 1) / size)
    exponents = np.array([pow(3, r, 2 * size) for r in range(size // 2)])
    slots = odd[..., (exponents - 1) // 2]
    return np.concatenate((slots.real, slots.imag), axis=-1)
