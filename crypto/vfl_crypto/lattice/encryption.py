"""Encryption under the secret key (seeded, half the bytes) and under the public key; the phase.

A message m modulo t = 2^bits in each coefficient is carried as round(Q m / t), the rounding done on
the exact integer Q m, so a message that wraps does so cleanly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.lattice.arithmetic import fresh_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.lattice.arithmetic import Arithmetic
    from vfl_crypto.lattice.keys import PublicKey, SecretKey


def encrypt_seeded(
    secret: SecretKey, messages: NDArray[np.uint64], bits: int
) -> tuple[bytes, NDArray[np.uint64]]:
    """Messages (count, N) modulo 2^bits -> seed of a, and b = -a s + e + m (count, primes, N)."""
    arithmetic = secret.arithmetic
    return encrypt_scaled(secret, arithmetic.rns.scale_up(messages, bits, arithmetic.threads))


def encrypt_scaled(
    secret: SecretKey, scaled: NDArray[np.uint64]
) -> tuple[bytes, NDArray[np.uint64]]:
    """`encrypt_seeded` of messages that are scaled already: (count, primes, N) modulo Q."""
    arithmetic, seed = secret.arithmetic, fresh_seed()
    ring, threads, count = arithmetic.ring, arithmetic.threads, len(scaled)
    masks = ring.convolve(arithmetic.uniform(seed, count), secret.ntt[None], threads)[:, 0]
    error = ring.lift(arithmetic.errors(fresh_seed(), count), threads)
    return seed, ring.subtract(ring.add(error, scaled, threads), masks, threads)


def expand_seeded(arithmetic: Arithmetic, seed: bytes, b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Seed and b (count, primes, N) -> ciphertexts (count, 2, primes, N), coefficient form."""
    return np.stack((b, arithmetic.uniform(seed, len(b))), axis=1)


def encrypt_zero(public: PublicKey, count: int) -> NDArray[np.uint64]:
    """Ciphertexts of zero (count, 2, primes, N): (b u + e_0, a u + e_1), all fresh."""
    arithmetic = public.arithmetic
    ring, threads = arithmetic.ring, arithmetic.threads
    p, seed = arithmetic.parameters, fresh_seed()
    u = ring.lift(arithmetic.ternary(seed, count), threads)
    products = ring.convolve(u, public.encryption, threads)
    errors = arithmetic.errors(seed, 2 * count).reshape(count, 2, p.n)
    return ring.add(products, ring.lift(errors, threads), threads)


def encrypt_public(
    public: PublicKey, messages: NDArray[np.uint64], bits: int
) -> NDArray[np.uint64]:
    """Messages (count, N) modulo 2^bits -> ciphertexts (count, 2, primes, N)."""
    arithmetic = public.arithmetic
    c = encrypt_zero(public, len(messages))
    scaled = arithmetic.rns.scale_up(messages, bits, arithmetic.threads)
    c[:, 0] = arithmetic.ring.add(np.ascontiguousarray(c[:, 0]), scaled, arithmetic.threads)
    return c


def times_secret(secret: SecretKey, c1: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """c1 s (count, primes, N), coefficient form in and out."""
    ring, threads = secret.arithmetic.ring, secret.arithmetic.threads
    return ring.convolve(c1, secret.ntt[None], threads)[:, 0]


def phase(secret: SecretKey, c: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """c0 + c1 s (count, primes, N): the scaled message and the noise."""
    ring, threads = secret.arithmetic.ring, secret.arithmetic.threads
    c1 = times_secret(secret, np.ascontiguousarray(c[:, 1]))
    return ring.add(np.ascontiguousarray(c[:, 0]), c1, threads)


def decrypt(secret: SecretKey, c: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """Messages (count, N) modulo 2^bits."""
    arithmetic = secret.arithmetic
    return arithmetic.rns.scale_down(phase(secret, c), bits, arithmetic.threads)
