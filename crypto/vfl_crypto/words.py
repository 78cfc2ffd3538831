"""Vectors of integers modulo 2^bits, wider than a machine word: what additive shares are made of.

Two parties that hold x_0 and x_1 share x = x_0 + x_1 modulo 2^bits. Sums, and products with plain
integers, are done by each on its own share. Dividing is not: the sum of two halves is off by half
the modulus whenever x_0 + x_1 wrapped. For a small x it almost never wraps, if both are read as
signed numbers and one of them is uniform: the chance is |x| / 2^bits for each value.
`HEADROOM_BITS` bits above the value make it 2^-40, and `shifted` may then be used on shares; the
sum of the results is floor(x / 2^by), or one less.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

HEADROOM_BITS: Final = 40
MAX_BITS: Final = 128
_LIMB: Final = 32
_FACTOR: Final = 30
_MANTISSA: Final = 53
_CHECKED: Final = 1 << 16  # entries of a matrix at a time, so that temporaries stay in a cache


@dataclass(frozen=True, eq=False)
class Words:
    """Integers modulo 2^bits: uint32 limbs (count, ceil(bits / 32)), the least significant first.

    Raises `EncodingOverflowError` for bits outside 1 to 128 and `KeyMismatchError` for limbs of
    another shape or not below 2^bits.
    """

    limbs: NDArray[np.uint32]
    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise EncodingOverflowError(f"a modulus is 2^1 to 2^{MAX_BITS}, not 2^{self.bits}")
        limbs, width = self.limbs, limbs_of(self.bits)
        if limbs.dtype != np.uint32 or limbs.ndim != 2 or limbs.shape[1] != width:
            raise KeyMismatchError(
                f"integers modulo 2^{self.bits} are uint32 (count, {width}), not "
                f"{limbs.dtype} {limbs.shape}"
            )
        if (limbs[:, -1] > _top(self.bits)).any():
            raise KeyMismatchError(f"an integer is not below 2^{self.bits}")

    def __len__(self) -> int:
        return len(self.limbs)

    @classmethod
    def zeros(cls, count: int, bits: int) -> Self:
        return cls(np.zeros((count, limbs_of(bits)), dtype=np.uint32), bits)

    @classmethod
    def of(cls, integers: NDArray[np.int64], bits: int) -> Self:
        """Signed integers (count,) modulo 2^bits."""
        low = integers.astype(np.int64).view(np.uint64)
        high = np.where(integers < 0, ~np.uint64(0), np.uint64(0))
        both = np.stack((low, high), axis=1).view(np.uint32)
        return cls(_cut(both, bits), bits)

    @classmethod
    def of_list(cls, integers: Iterable[int], bits: int) -> Self:
        """Integers of any size modulo 2^bits."""
        size = limbs_of(bits) * 4
        data = b"".join((i % (1 << bits)).to_bytes(size, "little") for i in integers)
        return cls(np.frombuffer(data, dtype="<u4").reshape(-1, limbs_of(bits)), bits)

    @classmethod
    def uniform(cls, count: int, bits: int) -> Self:
        """From the operating system's randomness."""
        width = limbs_of(bits)
        drawn = np.frombuffer(os.urandom(4 * count * width), dtype="<u4").reshape(count, width)
        return cls(_cut(drawn, bits), bits)

    def to_list(self) -> list[int]:
        """As integers in [0, 2^bits)."""
        size = 4 * self.limbs.shape[1]
        data = np.ascontiguousarray(self.limbs, dtype="<u4").tobytes()
        return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]

    @classmethod
    def unpacked(cls, stream: NDArray[np.uint8], count: int, bits: int) -> Self:
        """What `packed` wrote: `count` integers, from at least as many bytes as they take."""
        bools = np.unpackbits(stream, count=count * bits, bitorder="little").reshape(count, bits)
        rows = np.packbits(bools, axis=1, bitorder="little")
        limbs = np.zeros((count, 4 * limbs_of(bits)), dtype=np.uint8)
        limbs[:, : rows.shape[1]] = rows
        return cls(limbs.view("<u4"), bits)

    def packed(self) -> NDArray[np.uint8]:
        """As a bit stream, `bits` each, the least significant first; zeros to a whole byte."""
        rows = np.ascontiguousarray(self.limbs, dtype="<u4").view(np.uint8)
        bools = np.unpackbits(rows, axis=1, count=self.bits, bitorder="little")
        return np.packbits(bools.reshape(-1), bitorder="little")

    def signed(self, fraction_bits: int = 0) -> NDArray[np.float64]:
        """Read as in [-2^(bits - 1), 2^(bits - 1)), over 2^fraction_bits; float64 (count,)."""
        negative = self._sign()
        size = np.where(negative[:, None], (-self).limbs, self.limbs)
        value = np.zeros(len(self))
        for limb in range(size.shape[1] - 1, -1, -1):
            value = value * 2.0**_LIMB + size[:, limb]
        return np.ldexp(np.where(negative, -value, value), -fraction_bits)

    def __add__(self, other: Self) -> Self:
        return self._sum(other.limbs, self._fitting(other))

    def __sub__(self, other: Self) -> Self:
        return self._sum(~other.limbs, self._fitting(other), carry=1)

    def __neg__(self) -> Self:
        return type(self).zeros(len(self), self.bits) - self

    def times(self, factor: int) -> Self:
        """Each times an integer of at most 31 bits."""
        if abs(factor) >= 1 << 31:
            raise EncodingOverflowError(f"a factor has at most 31 bits; {factor} has more")
        out = np.empty_like(self.limbs)
        carry = np.zeros(len(self), dtype=np.uint64)
        for limb in range(out.shape[1]):
            product = self.limbs[:, limb].astype(np.uint64) * np.uint64(abs(factor)) + carry
            out[:, limb] = product.astype(np.uint32)
            carry = product >> np.uint64(_LIMB)
        scaled = type(self)(_cut(out, self.bits), self.bits)
        return -scaled if factor < 0 else scaled

    def shifted(self, by: int) -> Self:
        """floor(x / 2^by) of the signed number, modulo 2^bits."""
        limbs = np.where(
            self._sign()[:, None], self.limbs | ~_mask(self.bits), self.limbs
        )  # the sign in all bits of the last limb
        sign = np.where(self._sign(), np.uint64(2**_LIMB - 1), np.uint64(0))
        whole, rest = divmod(by, _LIMB)
        padded = np.empty((len(self), limbs.shape[1] + whole + 1), dtype=np.uint64)
        padded[:, : limbs.shape[1]] = limbs
        padded[:, limbs.shape[1] :] = sign[:, None]
        low, high = padded[:, whole:-1], padded[:, whole + 1 :]
        moved = low >> np.uint64(rest) | high << np.uint64(_LIMB - rest) if rest else low
        return type(self)(_cut(moved.astype(np.uint32), self.bits), self.bits)

    def modulo(self, bits: int) -> Self:
        """Modulo 2^bits: fewer bits, or as the signed numbers they are modulo more."""
        if bits <= self.bits:
            return type(self)(_cut(self.limbs, bits), bits)
        wide = np.empty((len(self), limbs_of(bits)), dtype=np.uint32)
        width = self.limbs.shape[1]
        wide[:, :width] = np.where(
            self._sign()[:, None], self.limbs | ~_mask(self.bits), self.limbs
        )
        wide[:, width:] = np.where(self._sign(), np.uint32(2**_LIMB - 1), np.uint32(0))[:, None]
        return type(self)(_cut(wide, bits), bits)

    def join(self, other: Self) -> Self:
        """These, then the others."""
        if self.bits != other.bits:
            raise KeyMismatchError(f"integers modulo 2^{self.bits} and 2^{other.bits}")
        return type(self)(np.concatenate((self.limbs, other.limbs)), self.bits)

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> Self:
        return type(self)(self.limbs[rows], self.bits)

    def _sum(self, limbs: NDArray[np.uint32], width: int, carry: int = 0) -> Self:
        out = np.empty_like(self.limbs)
        carried = np.full(len(self), carry, dtype=np.uint64)
        for limb in range(width):
            total = self.limbs[:, limb].astype(np.uint64) + limbs[:, limb] + carried
            out[:, limb] = total.astype(np.uint32)
            carried = total >> np.uint64(_LIMB)
        return type(self)(_cut(out, self.bits), self.bits)

    def _fitting(self, other: Self) -> int:
        if (len(self), self.bits) != (len(other), other.bits):
            raise KeyMismatchError(
                f"{len(self)} integers modulo 2^{self.bits} and {len(other)} modulo 2^{other.bits}"
            )
        return int(self.limbs.shape[1])

    def _sign(self) -> NDArray[np.bool_]:
        return np.asarray(self.limbs[:, -1] >> np.uint32((self.bits - 1) % _LIMB) == 1)


class IntegerMatrix:
    """A plain matrix P (rows, inner) of integers below 2^(bits - 1) in magnitude, with an identity.

    Held as float64, in which they are exact. A float64 array is taken over, not copied: nobody may
    write to it, or to what it is a view of, any more. A cipher may keep what it derives from the
    matrix for as long as it lives. Raises `EncodingOverflowError` for an entry outside the range,
    or that is none.
    """

    def __init__(self, values: NDArray[np.float64], bits: int) -> None:
        self.values = np.asarray(values, dtype=np.float64).view()
        self.values.flags.writeable = False
        self.bits = bits
        rows, inner = self.values.shape
        self.shape: tuple[int, int] = rows, inner
        most = 2.0 ** (bits - 1)
        if not 1 <= bits <= _MANTISSA - 8 or not rows or not inner:
            raise EncodingOverflowError(f"no matrix of {bits} bits and shape {self.shape}")
        for part in _parts(self.values):
            if not -most < part.min() <= part.max() < most:
                raise EncodingOverflowError(f"an entry of the matrix is not within +-2^{bits - 1}")
            if (part != np.rint(part)).any():
                raise EncodingOverflowError("an entry of the matrix is not an integer")

    def __matmul__(self, words: Words) -> Words:
        """P w modulo 2^bits of w (inner,): (rows,). Exact: in pieces that a float64 sum holds."""
        inner = self.shape[1]
        if len(words) != inner:
            raise KeyMismatchError(f"a matrix of shape {self.shape} times {len(words)} integers")
        piece = min(_FACTOR, _MANTISSA - self.bits - (inner - 1).bit_length())
        if piece < 1:
            raise EncodingOverflowError(f"sums over {inner} products of {self.bits} bits")
        count = -(-words.bits // piece)
        pieces = np.stack([_bits(words.limbs, piece * k, piece) for k in range(count)], axis=1)
        sums = (self.values @ pieces).astype(np.int64)
        total = Words.of(sums[:, -1], words.bits)
        for k in range(count - 2, -1, -1):
            total = total.times(1 << piece) + Words.of(sums[:, k], words.bits)
        return total


def _parts(matrix: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """All entries, some rows or columns at a time, as they lie in memory."""
    lines = matrix.T if matrix.strides[0] < matrix.strides[1] else matrix
    step = max(1, _CHECKED // lines.shape[1])
    for start in range(0, len(lines), step):
        yield lines[start : start + step]


def limbs_of(bits: int) -> int:
    """Limbs of one integer modulo 2^bits."""
    return -(-bits // _LIMB)


def _top(bits: int) -> np.uint32:
    """The last limb's largest value."""
    return np.uint32((1 << ((bits - 1) % _LIMB + 1)) - 1)


def _mask(bits: int) -> NDArray[np.uint32]:
    mask = np.full(limbs_of(bits), 2**_LIMB - 1, dtype=np.uint32)
    mask[-1] = _top(bits)
    return mask


def _cut(limbs: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return limbs[:, : limbs_of(bits)] & _mask(bits)


def _bits(limbs: NDArray[np.uint32], start: int, count: int) -> NDArray[np.float64]:
    """Bits [start, start + count) of each integer, count at most 30; float64 (n,)."""
    at, rest = divmod(start, _LIMB)
    word = limbs[:, at].astype(np.uint64)
    if at + 1 < limbs.shape[1]:
        word = word | limbs[:, at + 1].astype(np.uint64) << np.uint64(_LIMB)
    return (word >> np.uint64(rest) & np.uint64((1 << count) - 1)).astype(np.float64)
