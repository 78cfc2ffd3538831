"""Arithmetic on the words of a ciphertext: residues modulo a prime, in SEAL's transformed order.

Word i of a polynomial p is p(psi^(2 bitrev(i) + 1)) mod q, psi the smallest primitive 2N-th root of
unity. The s = N / m consecutive words of one of m blocks share the s-th power of their root, so
their sum is s times the value of the polynomial that keeps only the m coefficients at multiples of
s. `fold` takes those sums. Whoever sends the fold of c0 sends these coefficients and nothing else:
what is not sent needs no mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add_mod(
    left: NDArray[np.uint64], right: NDArray[np.uint64], prime: NDArray[np.uint64] | np.uint64
) -> NDArray[np.uint64]:
    """The sum modulo `prime`, word by word; inputs reduced, prime < 2^63."""
    total = left + right
    return np.asarray(np.where(total >= prime, total - prime, total))


def fold(words: NDArray[np.uint64], count: int, prime: int) -> NDArray[np.uint64]:
    """(N,) words in SEAL's order -> (count,) sums mod prime of N / count consecutive words."""
    blocks = words.reshape(count, -1)
    while blocks.shape[1] > 1:
        blocks = add_mod(blocks[:, ::2], blocks[:, 1::2], np.uint64(prime))
    return blocks.reshape(count)


def unfold(sums: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """(count,) -> (n,): some words whose `fold` these are; the first of each block carries it."""
    words = np.zeros(n, dtype=np.uint64)
    words[:: n // len(sums)] = sums
    return words


def wanted_coefficients(
    sums: NDArray[np.uint64], n: int, prime: int, root: int
) -> NDArray[np.float64]:
    """The coefficients at multiples of n / 2n' of the polynomial whose `fold` is `sums` (2n',).

    Exact: an inverse transform of size 2n' in integers modulo `prime`, lifted to (-q/2, q/2).
    `root` is the primitive 2n-th root of unity psi that SEAL uses, the smallest there is.
    """
    values: NDArray[np.object_] = sums.astype(object)
    size = len(values)
    step = pow(root, n // size, prime)  # a primitive (2 size)-th root of unity
    inverse_powers = _powers(pow(step, -1, prime), 2 * size, prime)
    width = 1  # Gentleman-Sande, bit-reversed in, natural order out
    while width < size:
        pairs = values.reshape(-1, 2, width)
        groups = len(pairs)
        twiddles = np.array(
            [inverse_powers[width * (2 * reverse_bits(g, groups) + 1)] for g in range(groups)],
            dtype=object,
        )[:, None]
        upper, lower = pairs[:, 0], pairs[:, 1]
        pairs[:, 0], pairs[:, 1] = (upper + lower) % prime, (upper - lower) * twiddles % prime
        width *= 2
    # the transform sums `size` terms, the fold n / size words: together n
    lifted = values * pow(n, -1, prime) % prime
    return np.array([int(v) - prime if 2 * v > prime else int(v) for v in lifted], dtype=np.float64)


def reverse_bits(index: int, size: int) -> int:
    """`index` with its log2(size) bits in reverse."""
    bits = size.bit_length() - 1
    return int(f"{index:0{bits}b}"[::-1], 2) if bits else 0


def smallest_root(n: int, prime: int) -> int:
    """The smallest primitive 2n-th root of unity modulo `prime` = 1 mod 2n, n a power of two."""
    candidates = (pow(base, (prime - 1) // (2 * n), prime) for base in range(2, prime))
    root = next(c for c in candidates if pow(c, n, prime) == prime - 1)
    return min(_powers(root, 2 * n, prime)[1::2])


def _powers(base: int, count: int, modulus: int) -> list[int]:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % modulus)
    return powers
