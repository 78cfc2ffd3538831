"""How large a lattice modulus may be: the line below which nothing is encrypted.

The bigger the modulus QP for a given ring degree N, the easier the lattice problem. The limits are
those of Bossuat et al., "Security Guidelines for Implementing Homomorphic Encryption" (ePrint
2024/463), 128 bits against classical attacks, uniform ternary secret, error deviation 3.2. They
lie a few bits under the 2018 table that SEAL and TenSEAL enforce (218 at N = 8192).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfl_crypto.errors import InsecureParametersError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECURITY_BITS: Final = 128

LOG2_QP_LIMIT: Final[Mapping[int, int]] = {
    1024: 26,
    2048: 53,
    4096: 106,
    8192: 214,
    16384: 430,
    32768: 868,
}
"""Ring degree N -> largest log2(QP), every prime counted, special primes as well."""


def check_ring(n: int, prime_bits: Sequence[int]) -> int:
    """Security level in bits of a ring of degree `n` under primes of these bit lengths.

    Counts every prime of the chain: the public key lives modulo all of them. Raises
    `InsecureParametersError` for a degree outside the table or a chain above its limit.
    """
    limit = LOG2_QP_LIMIT.get(n)
    if limit is None:
        raise InsecureParametersError(
            f"no security estimate for ring degree N = {n}; use one of "
            + ", ".join(map(str, LOG2_QP_LIMIT))
        )
    if not prime_bits or min(prime_bits) < 2:
        raise InsecureParametersError("a modulus chain needs at least one prime of 2 bits or more")
    total = sum(prime_bits)
    if total > limit:
        larger = next((m for m, most in LOG2_QP_LIMIT.items() if most >= total), None)
        remedy = f"use N = {larger}, or shorter" if larger else "use fewer or shorter"
        raise InsecureParametersError(
            f"log2 QP = {total} is above the limit of {limit} bits at N = {n} for "
            f"{SECURITY_BITS}-bit security; {remedy} primes"
        )
    return SECURITY_BITS
