"""The parameter sets, as literals, refused where they would not be safe.

A ciphertext lives modulo Q = q_0 ... q_{k-1}, a switching key modulo QP. All primes are 1 modulo 2N
(there is a negacyclic transform) and have at most 50 bits (a residue fits the mantissa of a double,
so the transforms run on floating-point units). The secret is uniform ternary, errors are centred
binomial of 21 + 21 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from vfl_crypto.errors import InsecureParametersError
from vfl_crypto.security import check_ring

ERROR_STD: Final = math.sqrt(10.5)
MAX_PRIME_BITS: Final = 50


@dataclass(frozen=True)
class ParameterSet:
    """A ring and its moduli. Raises `InsecureParametersError` above the limit of log2 QP."""

    name: str
    n: int  # ring degree N
    primes: tuple[int, ...]  # of Q
    special: int  # P, of the switching keys

    def __post_init__(self) -> None:
        check_ring(self.n, [p.bit_length() for p in self.moduli])
        for p in self.moduli:
            if p % (2 * self.n) != 1 or p.bit_length() > MAX_PRIME_BITS:
                raise InsecureParametersError(
                    f"{p} is no modulus for N = {self.n}: take a prime of at most "
                    f"{MAX_PRIME_BITS} bits that is 1 modulo {2 * self.n}"
                )

    @property
    def moduli(self) -> tuple[int, ...]:
        """The primes of Q and P."""
        return (*self.primes, self.special)

    @cached_property
    def q(self) -> int:
        """Q itself."""
        return math.prod(self.primes)

    @property
    def log2_qp(self) -> int:
        """Bits of QP, each prime rounded up."""
        return sum(p.bit_length() for p in self.moduli)

    def __str__(self) -> str:
        return f"N = {self.n}, log2 QP = {self.log2_qp}"


COMPACT: Final = ParameterSet("compact", 4096, (34359697409, 34359451649), 68719403009)
"""12-bit matrices and data over up to 16 N rows; results become shares (`masking`)."""

WIDE: Final = ParameterSet(
    "wide",
    8192,
    (562949952847873, 562949952798721, 562949952700417),
    562949952274433,
)
"""26-bit matrices, shares modulo 2^96; or room to flood results that one key holder may read."""

SETS: Final = {s.name: s for s in (COMPACT, WIDE)}
