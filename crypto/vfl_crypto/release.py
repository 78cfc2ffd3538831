"""The only door by which a decrypted value leaves its holder.

Two reasons to have one. An approximate cipher's decryption carries noise that depends on the secret
key; a few thousand unprotected decryptions solve for the key (Li and Micciancio, ePrint 2020/1533).
And every opened bit of a gradient says something about the rows behind it, whatever the cipher.
So a value that leaves is flooded (approximate ciphers), rounded to at most `significant_bits`
relative to the largest of its vector, and counted against a budget that belongs to the key.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from vfl_crypto.errors import ReleaseBudgetError, ReleaseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SIGNIFICANT_BITS = 16
NOISE_STEPS = 12.0  # a flooded value is rounded to more than this many deviations of the flood


class Decrypted:
    """Decrypted values (n,) that cannot be read: no array, no repr, no pickle. See `Door.release`.

    `flood_std` is the standard deviation of the noise `release` must add, in units of the values;
    0 for a cipher that decrypts exactly. `quantum` is the finest step it may open; 0 for any.
    Raises `ReleaseError` where one of them is negative or not finite.
    """

    __slots__ = ("_flood_std", "_quantum", "_values")

    def __init__(
        self, values: NDArray[np.float64], flood_std: float = 0.0, quantum: float = 0.0
    ) -> None:
        if not (0.0 <= flood_std < math.inf and 0.0 <= quantum < math.inf):
            raise ReleaseError(f"a flood of {flood_std} in steps of {quantum} hides nothing")
        self._values = values
        self._flood_std = flood_std
        self._quantum = quantum

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<{len(self)} decrypted values, not released>"

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise ReleaseError("a decrypted value leaves its holder only through release()")

    def __reduce__(self) -> NoReturn:
        raise ReleaseError("decrypted values are never pickled; release() them first")


@dataclass(frozen=True)
class Released:
    """Values (n,) that went through the door, and how."""

    values: NDArray[np.float64]
    significant_bits: int
    flood_std: float
    quantum: float  # the values are multiples of it; 0 if they are all zero


@dataclass
class Door:
    """Counts what one key has opened. One per key; thread-safe."""

    budget: int
    opened: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def left(self) -> int:
        return self.budget - self.opened

    def count(self, openings: int) -> None:
        """Takes them off the budget; raises `ReleaseBudgetError` if there are not as many."""
        with self._lock:
            if self.opened + openings > self.budget:
                raise ReleaseBudgetError(
                    f"this key has opened {self.opened} of {self.budget} values and was asked for "
                    f"{openings} more; rotate the key"
                )
            self.opened += openings

    def release(
        self,
        decrypted: Decrypted,
        significant_bits: int = MAX_SIGNIFICANT_BITS,
        quantum: float = 0.0,
    ) -> Released:
        """Flood, round, count, open.

        Values are rounded to multiples of 2^(e - significant_bits), where 2^e is the power of two
        above the largest magnitude, of `quantum` if that is coarser, and of at least twelve
        deviations of the flood (the departure adds as much noise again). Passing on the quantum of
        an earlier release keeps a shrinking vector from being opened ever more finely.

        Raises `ReleaseBudgetError` past the budget (nothing is opened then) and `ReleaseError` if
        more than `MAX_SIGNIFICANT_BITS` bits are asked for.
        """
        if not 1 <= significant_bits <= MAX_SIGNIFICANT_BITS:
            raise ReleaseError(
                f"asked to open {significant_bits} significant bits; "
                f"at most {MAX_SIGNIFICANT_BITS} may leave the key holder"
            )
        self.count(len(decrypted))
        quantum = max(quantum, decrypted._quantum)  # noqa: SLF001  the one door
        values = decrypted._values  # noqa: SLF001  the one door
        flood = decrypted._flood_std  # noqa: SLF001
        if flood > 0.0:
            values = values + os_gaussian(len(values)) * flood
        largest = float(np.max(np.abs(values), initial=0.0))
        if not math.isfinite(largest):
            raise ReleaseError(
                "decryption gave a value that is not finite: wrong key or damaged bytes"
            )
        if flood > 0.0:  # digits below the noise are noise: a zero stays a zero
            quantum = max(quantum, math.ldexp(1.0, math.frexp(NOISE_STEPS * flood)[1]))
        if largest > 0.0:
            quantum = max(quantum, math.ldexp(1.0, math.frexp(largest)[1] - significant_bits))
            values = np.asarray(np.round(values / quantum) * quantum)
        return Released(values, significant_bits, flood, quantum)


class Releasing:
    """What every key holder does alike: one door for its values, and no copy of itself."""

    _door: Door

    @property
    def openings_left(self) -> int:
        """How many values this key may still open."""
        return self._door.left

    def release(
        self,
        decrypted: Decrypted,
        significant_bits: int = MAX_SIGNIFICANT_BITS,
        quantum: float = 0.0,
    ) -> Released:
        """See `Door.release`."""
        return self._door.release(decrypted, significant_bits, quantum)

    def __reduce__(self) -> NoReturn:
        raise ReleaseError("a key holder is never pickled or copied; make one where it is used")


def os_gaussian(count: int) -> NDArray[np.float64]:
    """Standard normal draws (count,), every bit of them from the operating system (Box-Muller)."""
    pairs = (count + 1) // 2
    words = np.frombuffer(os.urandom(16 * pairs), dtype=np.uint64).reshape(2, pairs)
    radius, angle = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # never 0
    length = np.sqrt(-2.0 * np.log(radius))
    turn = 2.0 * np.pi * angle
    return np.concatenate((length * np.cos(turn), length * np.sin(turn)))[:count]
