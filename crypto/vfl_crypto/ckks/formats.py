"""Ranges, scales and noise of encrypted gradients: what all sides derive from public sizes alone.

Notation: N ring degree, q0 q1 the modulus of results, sigma^2 the variance of a coefficient after a
division by a prime, its encoding included. Deviations of one decrypted value:

    a row      sqrt(T sigma^2 N/2) / 2^row_bits
    a sum      sqrt(  T sigma^2 N M 4^column_bits / 4^row_bits    product with [[d]]
                    + N M 4^integer_bits / (24 plain_scale^2)     rounding of X
                    + 2 sigma^2 n' M^2 / 4^mean_bits )            rescaling, fresh zero

A coefficient of a sum is up to sqrt(2) times a mean, since two features share a complex slot; the
rest of the spare bit holds noise and what q0 q1 lacks to a power of two.

M is the number of rows padded to a power of two, n' the slot classes, T = 16 the number of
encryptions that were added up. sigma^2 counts the peak of `noise`: a column may be large in the
noisiest row alone.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from vfl_crypto.ckks import noise
from vfl_crypto.ckks.layout import MAX_ROWS, Layout
from vfl_crypto.ckks.vectors import SIGMAS
from vfl_crypto.errors import EncodingOverflowError
from vfl_crypto.security import check_ring

ENCRYPTIONS_ADDED: Final = 16
RESULTS_ADDED: Final = 4
_SPARE_BITS: Final = 4  # modulo q0 q1: a sign, two for the results, one for pairs and noise
MAX_PRIME_BITS: Final = 50  # residues of longer ones do not fit a double
COEFFICIENT_BITS: Final = 61  # of an encoded vector
MAX_RESULT_BITS: Final = 64


class Formats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One multiplication, then two primes.

    Raises `InsecureParametersError` below 128 bits, `EncodingOverflowError` for ranges and primes
    that leave a result no precision.

    `prime_bits` are q0 and q1 (results live modulo q0 q1), q2 (divided out after the product) and
    the special prime (divided out after an encryption). A sum of encrypted vectors has
    |v| < 2^integer_bits; a column of X has a root mean square of at most 2^column_bits over the
    padded rows. Then the mean of a result over the padded rows stays below
    2^(integer_bits + column_bits), and as much may be added to it on departure.
    """

    n: int = 8192
    prime_bits: tuple[int, int, int, int] = (32, 32, 50, 50)
    integer_bits: int = 8
    column_bits: int = 2
    openings: int = noise.OPENINGS
    statistical_bits: int = noise.STATISTICAL_BITS

    def __post_init__(self) -> None:
        check_ring(self.n, self.prime_bits)
        noise.require_flood(self.openings, self.statistical_bits)
        if not all(24 <= bits <= MAX_PRIME_BITS for bits in self.prime_bits):
            raise EncodingOverflowError(f"primes have 24 to 50 bits; got {self.prime_bits}")
        if min(self.value_bits, self.column_bits) < 0 or self.mean_bits < 30:
            raise EncodingOverflowError(
                f"results modulo {sum(self.prime_bits[:2])} bits keep {self.mean_bits} bits below "
                f"the point with integer_bits = {self.integer_bits} and column_bits = "
                f"{self.column_bits}; at least 30 are needed, so scale the columns and lower them"
            )
        if sum(self.prime_bits[:2]) > MAX_RESULT_BITS:
            raise EncodingOverflowError(
                f"q0 and q1 have {sum(self.prime_bits[:2])} bits together; use at most "
                f"{MAX_RESULT_BITS}"
            )

    @property
    def slots(self) -> int:
        return self.n // 2

    @property
    def value_bits(self) -> int:
        """One encrypted value has |v| < 2^value_bits, so that 16 of them stay in range together."""
        return self.integer_bits - ENCRYPTIONS_ADDED.bit_length() + 1

    def row_bits(self, blocks: int) -> int:
        """A value v is stored as v * 2^row_bits in a vector of that many (padded) blocks.

        Each doubling of the blocks costs X a bit; [[d]] takes half of that over.
        """
        return COEFFICIENT_BITS - self.integer_bits - blocks.bit_length() // 2

    @property
    def mean_bits(self) -> int:
        """The mean m of a result over its padded rows is stored as m * 2^mean_bits mod q0 q1."""
        return sum(self.prime_bits[:2]) - _SPARE_BITS - self.integer_bits - self.column_bits

    def plain_scale(self, layout: Layout, rescaling_prime: int) -> float:
        """Scale of X such that the rescaled product has scale 2^mean_bits P / M."""
        blocks = layout.padded_blocks
        shift = self.mean_bits - self.row_bits(blocks) - blocks.bit_length() + 1
        return math.ldexp(float(rescaling_prime), shift)

    def rows_deviation(self, blocks: int) -> float:
        """Deviation of one encrypted value."""
        return math.sqrt(ENCRYPTIONS_ADDED * self._coefficient_variance * self.n / 2) / (
            math.ldexp(1.0, self.row_bits(blocks))
        )

    def sums_deviation(self, classes: int, total: int) -> float:
        """Deviation of one result; `classes` n', `total` the padded rows M."""
        blocks = total * classes // self.slots
        row_bits = self.row_bits(blocks)
        plain_bits = self.mean_bits - row_bits + self.prime_bits[2] - math.log2(blocks)
        product = ENCRYPTIONS_ADDED * self._coefficient_variance * self.n * total
        return math.sqrt(
            math.ldexp(product, 2 * (self.column_bits - row_bits))
            + self.n * total * 4.0 ** (self.integer_bits - plain_bits) / 24
            + math.ldexp(2 * self._coefficient_variance * classes * total**2, -2 * self.mean_bits)
        )

    def flood(self, deviation: float) -> float:
        """Deviation of the noise that covers it in all openings of a key."""
        return noise.flood(deviation, self.openings, self.statistical_bits)

    def require_room(self, modulus: int) -> None:
        """Raises `EncodingOverflowError` if results could wrap around the real q0 q1, `modulus`.

        Four of the largest, in each of them eight deviations of a departure's flood.
        """
        layouts = (Layout(1 << k, self.slots) for k in range(MAX_ROWS.bit_length()))
        floods = (self.flood(self.sums_deviation(x.classes, x.total)) / x.total for x in layouts)
        mean = math.sqrt(2) * 2.0 ** (self.integer_bits + self.column_bits) + SIGMAS * max(floods)
        if not 2 * RESULTS_ADDED * math.ldexp(mean, self.mean_bits) < modulus:
            raise EncodingOverflowError(
                "q0 and q1 leave no room for results and the flood over them; use longer primes, "
                "fewer statistical bits or fewer openings"
            )

    @property
    def _coefficient_variance(self) -> float:
        return (noise.peak(self.n) * noise.encryption(self.n, public=True)) ** 2
