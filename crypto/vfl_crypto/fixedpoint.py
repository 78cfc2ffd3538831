"""Reals as bounded integers, without silent overflow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import EncodingOverflowError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def require_below(
    values: NDArray[np.float64], bits: int, what: str = "a value"
) -> NDArray[np.float64]:
    """The same array as float64, if every |v| < 2^bits; else `EncodingOverflowError`."""
    values = np.asarray(values, dtype=np.float64)
    most = math.ldexp(1.0, bits)
    if values.size and not -most < values.min() <= values.max() < most:  # true for NaN as well
        bad = ~(np.abs(values) < most)
        raise EncodingOverflowError(
            f"{what} is outside the fixed-point range: {int(bad.sum())} of {values.size} "
            f"entries are not below 2^{bits} in magnitude (or not a number); "
            "scale the values down"
        )
    return values


@dataclass(frozen=True)
class FixedPoint:
    """v -> round(v * 2^fraction_bits), |v| < 2^integer_bits. The integers fit int64."""

    integer_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        if self.integer_bits + self.fraction_bits > 62:
            raise EncodingOverflowError(
                f"{self.integer_bits} integer and {self.fraction_bits} fraction bits do not fit "
                "a signed 64-bit integer; use at most 62 together"
            )

    def encode(self, values: NDArray[np.float64], what: str = "a value") -> NDArray[np.int64]:
        """Integers of the same shape. Raises `EncodingOverflowError` for |v| too large or NaN."""
        values = require_below(values, self.integer_bits, what)
        scaled = values * math.ldexp(1.0, self.fraction_bits)
        return np.rint(scaled, out=scaled).astype(np.int64)

    def decode(self, integers: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.ldexp(np.asarray(integers, dtype=np.float64), -self.fraction_bits)
