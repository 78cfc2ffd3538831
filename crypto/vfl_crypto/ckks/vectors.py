"""Batches of encrypted vectors, with the scale, noise and magnitude that they really have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_crypto.ckks import noise
from vfl_crypto.errors import EncodingOverflowError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vfl_crypto.ckks.parameters import Parameters

SIGMAS = 8.0  # deviations of noise that must fit: a Gaussian leaves them once in 10^15


@dataclass(frozen=True, eq=False)
class Vectors:
    """One ciphertext a vector: `words` (count, 2 or 3 polynomials, level, N), NTT form.

    `scale` is exactly what the values are multiplied by, whatever primes were divided out; values
    are below `bound`. The real part of each is off by `deviation` (one standard deviation, the mean
    over the slots), which tells of the key or of data and is flooded when it leaves, and by
    `cover`, Gaussian noise that a departure added and that tells of nothing. Only `fresh` ones may
    leave: they were encrypted or `depart`ed in this process.

    Raises `EncodingOverflowError` for a bound or a deviation that is no magnitude.
    """

    key_id: str
    words: NDArray[np.uint64]
    scale: float
    lengths: tuple[int, ...]  # values of each vector
    bound: float
    deviation: float
    seeds: NDArray[np.uint8] | None = None  # (count, 64): c1 expands from them
    fresh: bool = False
    cover: float = 0.0

    def __post_init__(self) -> None:
        if not all(0.0 <= size < math.inf for size in (self.bound, self.deviation, self.cover)):
            raise EncodingOverflowError(
                f"values up to {self.bound}, off by {self.deviation} and {self.cover}: give finite "
                "sizes of 0 or more"
            )

    def __len__(self) -> int:
        return len(self.words)

    @property
    def level(self) -> int:
        """Data primes that are left."""
        return int(self.words.shape[2])

    @property
    def error(self) -> float:
        """Deviation of a value from all noise together."""
        return math.hypot(self.deviation, self.cover)

    def hidden(self, n: int) -> float:
        """Deviation that a flood has to hide: of the noisiest slot, and never below that of a fresh
        encryption under the secret key, whatever was declared.
        """
        least = noise.slot(n, noise.encryption(n, public=False), self.scale)
        return noise.peak(n) * max(self.deviation, least)

    def require_room(self, parameters: Parameters) -> Vectors:
        """The same vectors. Raises `EncodingOverflowError` if they could wrap around Q."""
        spread = SIGMAS * (noise.peak(parameters.n) * self.deviation + self.cover)
        most = (self.bound + spread) * self.scale
        if not 2 * most < parameters.modulus(self.level):
            raise EncodingOverflowError(
                f"values up to {self.bound:g} at scale {self.scale:g} do not fit the "
                f"{self.level} primes that are left; rescale, use a smaller scale or more primes"
            )
        return self
