"""Primes, roots of unity and the transform's factors, by Python's integers."""

from __future__ import annotations

R = 2**64  # Montgomery's, as in loops.py


def is_prime(q: int) -> bool:
    """Miller and Rabin's test for odd q, 37 < q < 2^64; these bases decide it."""
    twos = ((q - 1) & (1 - q)).bit_length() - 1
    return all(
        pow(base, q >> twos, q) == 1
        or any(pow(base, (q - 1) >> s, q) == q - 1 for s in range(1, twos + 1))
        for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    )


def smallest_root(n: int, q: int) -> int:
    """The smallest psi with psi^n = -1 modulo q = 1 mod 2n, n a power of two."""
    candidates = (pow(base, (q - 1) // (2 * n), q) for base in range(2, q))
    root = next(psi for psi in candidates if pow(psi, n, q) == q - 1)
    return min(_powers(root, 2 * n, q)[1::2])


def factors(n: int, q: int, psi: int) -> tuple[list[int], list[int]]:
    """Of `loops.forward` and `loops.backward`, level after level."""
    powers = _powers(psi, 2 * n, q)
    forward, backward, level = [0], [R * pow(n, -1, q) % q], [n]  # nodes X^2t - psi^e: their e
    while len(forward) < n:
        halves = [e // 2 for e in level]
        forward += [R * powers[e] % q for e in halves]
        backward += [R * powers[-e] % q for e in halves]
        level = [e for half in halves for e in (half, half + n)]
    return forward, backward


def _powers(base: int, count: int, q: int) -> list[int]:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % q)
    return powers
