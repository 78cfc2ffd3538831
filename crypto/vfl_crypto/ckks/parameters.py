"""A ring and a chain of primes, as SEAL and TenSEAL count them: data primes, then the special one.

A fresh ciphertext lives modulo all data primes; each rescaling divides the last of them out. Keys
live modulo the special prime P as well. A level is the number of data primes that are left.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_crypto._native import Ring
from vfl_crypto.errors import InsecureParametersError
from vfl_crypto.security import check_ring

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_PRIME_BITS, MAX_PRIME_BITS = 18, 60


@dataclass(frozen=True)
class Parameters:
    """Ring degree N and primes q_0, ..., q_(k-1), P.

    Raises `InsecureParametersError` above the limit of log2 QP and for numbers that are no moduli
    of such a ring. Primes of up to 50 bits are several times faster than longer ones.
    """

    n: int
    primes: tuple[int, ...]

    def __post_init__(self) -> None:
        check_ring(self.n, [q.bit_length() for q in self.primes])
        if len(self.primes) < 2 or len(set(self.primes)) != len(self.primes):
            raise InsecureParametersError(
                "a CKKS chain has two or more different primes, the special one last"
            )
        for q in self.primes:
            if not MIN_PRIME_BITS <= q.bit_length() <= MAX_PRIME_BITS:
                raise InsecureParametersError(
                    f"primes have {MIN_PRIME_BITS} to {MAX_PRIME_BITS} bits; one has "
                    f"{q.bit_length()}: use other coeff_mod_bit_sizes"
                )
            if not _is_modulus(self.n, q):
                raise InsecureParametersError(f"{q} is not a prime that is 1 modulo {2 * self.n}")

    @classmethod
    def of_bits(cls, n: int, bits: Sequence[int]) -> Parameters:
        """The chain that SEAL and TenSEAL make of these sizes (`CoeffModulus::Create`)."""
        check_ring(n, bits)
        wanted = Counter(bits)
        found = {size: _largest_primes(n, size, count) for size, count in wanted.items()}
        return cls(n, tuple(found[size].pop() for size in bits))

    @property
    def data(self) -> tuple[int, ...]:
        return self.primes[:-1]

    @property
    def special(self) -> int:
        """P."""
        return self.primes[-1]

    @property
    def levels(self) -> int:
        """Data primes of a fresh ciphertext."""
        return len(self.primes) - 1

    @property
    def slots(self) -> int:
        return self.n // 2

    def modulus(self, level: int) -> int:
        """Q, the product of the first `level` data primes."""
        return math.prod(self.data[:level])

    @property
    def log2_qp(self) -> int:
        """Bits of QP, each prime rounded up."""
        return sum(q.bit_length() for q in self.primes)

    def __str__(self) -> str:
        return f"N = {self.n}, log2 QP = {self.log2_qp}"


def _largest_primes(n: int, bits: int, count: int) -> list[int]:
    """The `count` largest of that size that are 1 modulo 2n, in descending order."""
    if not MIN_PRIME_BITS <= bits <= MAX_PRIME_BITS:
        raise InsecureParametersError(
            f"primes have {MIN_PRIME_BITS} to {MAX_PRIME_BITS} bits, not {bits}"
        )
    candidates = range(2**bits - 2 * n + 1, 2 ** (bits - 1), -2 * n)
    primes = [q for q, _ in zip((q for q in candidates if _is_modulus(n, q)), range(count))]  # noqa: B905
    if len(primes) < count:
        raise InsecureParametersError(f"there are no {count} primes of {bits} bits for N = {n}")
    return primes


@functools.lru_cache(maxsize=1024)  # foreign primes are asked for as well
def _is_modulus(n: int, q: int) -> bool:
    """Whether there is a transform modulo q: the kernels refuse what is no such prime."""
    try:
        Ring(n, [q])
    except ValueError:
        return False
    return True
