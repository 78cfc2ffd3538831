"""What a CKKS key promises: ranges, scales, the noise of a result, and the flood that hides it.

Everything here is static: it depends on the parameters and on public sizes, never on data, so a
flood tells nothing. Notation: N ring degree, q0 the last prime, sigma_r the deviation of a division
by a prime with rounding, `sqrt((1 + 2N/3) / 12)` per coefficient for a uniform ternary secret (21.3
at N = 8192). A public-key encryption ends in one such division (by the special prime), as does the
rescaling of a product; they drown the encryption's own error of deviation 3.2.

Deviations of one decrypted value:

    a row      sqrt(T (sigma_r^2 + 1/12) N/2) / 2^row_bits
    a sum      sqrt(  T (sigma_r^2 + 1/12) N M 4^column_bits / 4^row_bits    product with [[d]]
                    + N M 4^integer_bits / (24 plain_scale^2)                rounding of X
                    + 2 (sigma_r^2 + 1/12) n' M^2 / 4^mean_bits )            rescaling, fresh zero

M is the number of rows padded to a power of two, n' the slot classes, T = 16 the number of
encryptions that were added up. The flood is OpenFHE's noise-flooding estimate (documentation of
`NOISE_FLOODING_DECRYPT`; analysis in Li, Micciancio, Schultz, Sorrell, ePrint 2022/816):

    flood = sqrt(12 tau) 2^(statistical_bits / 2) * deviation,       tau = openings of this key.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from vfl_crypto.errors import EncodingOverflowError, InsecureParametersError
from vfl_crypto.security import check_ring

if TYPE_CHECKING:
    from vfl_crypto.oracles.ckks_slots import Layout

ENCRYPTIONS_ADDED: Final = 16
RESULTS_ADDED: Final = 4  # two spare bits modulo q0


class CkksParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One multiplication, then one prime.

    Raises `InsecureParametersError` below 128 bits, `EncodingOverflowError` for ranges and primes
    that leave a result no precision.

    `prime_bits` are q0 (results live modulo q0), q1 (divided out after the product) and the special
    prime (divided out after an encryption). A sum of encrypted vectors has |v| < 2^integer_bits; a
    column of X has a root mean square of at most 2^column_bits over the padded rows. Then the mean
    of a result over the padded rows stays below 2^(integer_bits + column_bits), and as much may be
    added to it on departure.
    """

    n: int = 8192
    prime_bits: tuple[int, int, int] = (60, 60, 60)
    integer_bits: int = 8
    column_bits: int = 2
    openings: int = 1 << 14
    statistical_bits: int = 30

    def __post_init__(self) -> None:
        check_ring(self.n, self.prime_bits)
        if self.openings < 1 or self.statistical_bits < 30:
            raise InsecureParametersError(
                "a CKKS key floods for at least one opening and 30 statistical bits; got "
                f"{self.openings} and {self.statistical_bits}"
            )
        if not all(40 <= bits <= 60 for bits in self.prime_bits):
            raise EncodingOverflowError(f"primes have 40 to 60 bits; got {self.prime_bits}")
        if min(self.value_bits, self.column_bits) < 0 or self.mean_bits < 30:
            raise EncodingOverflowError(
                f"a result modulo a prime of {self.prime_bits[0]} bits keeps {self.mean_bits} bits "
                f"below the point with integer_bits = {self.integer_bits} and column_bits = "
                f"{self.column_bits}; at least 30 are needed, so scale the columns and lower them"
            )

    @property
    def slots(self) -> int:
        return self.n // 2

    @property
    def value_bits(self) -> int:
        """One encrypted value has |v| < 2^value_bits, so that 16 of them stay in range together."""
        return self.integer_bits - ENCRYPTIONS_ADDED.bit_length() + 1

    @property
    def row_bits(self) -> int:
        """An encrypted value v is stored as v * 2^row_bits."""
        return 62 - self.integer_bits

    @property
    def mean_bits(self) -> int:
        """The mean m of a result over its padded rows is stored as m * 2^mean_bits mod q0."""
        return self.prime_bits[0] - 3 - self.integer_bits - self.column_bits

    def plain_scale(self, layout: Layout, rescaling_prime: int) -> float:
        """Scale of X such that the rescaled product has scale 2^mean_bits P / M."""
        shift = self.mean_bits - self.row_bits - (layout.total // layout.padded).bit_length() + 1
        return math.ldexp(float(rescaling_prime), shift)

    def rows_deviation(self) -> float:
        return math.sqrt(ENCRYPTIONS_ADDED * self._coefficient_variance * self.n / 2) / (
            math.ldexp(1.0, self.row_bits)
        )

    def sums_deviation(self, classes: int, total: int) -> float:
        """Deviation of one result; `classes` n', `total` the padded rows M."""
        blocks = total * classes // self.slots
        plain_bits = self.mean_bits - self.row_bits + self.prime_bits[1] - math.log2(blocks)
        product = ENCRYPTIONS_ADDED * self._coefficient_variance * self.n * total
        return math.sqrt(
            math.ldexp(product, 2 * (self.column_bits - self.row_bits))
            + self.n * total * 4.0 ** (self.integer_bits - plain_bits) / 24
            + math.ldexp(2 * self._coefficient_variance * classes * total**2, -2 * self.mean_bits)
        )

    def flood(self, deviation: float) -> float:
        spread = math.sqrt(12 * self.openings * math.ldexp(1.0, self.statistical_bits))
        return spread * deviation

    @property
    def _coefficient_variance(self) -> float:
        return (1 + 2 * self.n / 3) / 12 + 1 / 12
