"""Encryption under the public key and, at half the bytes, under the secret key; the phase.

A ciphertext (c0, c1) of the message m has phase c0 + c1 s = m + noise; c2 s^2 is added where a
product has not been relinearised. Words are in NTT form throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.ckks.arithmetic import fresh_seed
from vfl_crypto.ckks.encoding import residues
from vfl_crypto.ckks.keys import fresh_seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.ckks.arithmetic import Arithmetic
    from vfl_crypto.ckks.keys import PublicKey, SecretKey


def encrypt_public(
    public: PublicKey, messages: NDArray[np.int64], level: int
) -> NDArray[np.uint64]:
    """Coefficients (m, N) -> ciphertexts (m, 2, level, N).

    An encryption of zero modulo QP, divided by P: the rounding drowns its own error.
    """
    arithmetic, count, seed = public.arithmetic, len(messages), fresh_seed()
    u = arithmetic.ternary(seed, count)
    errors = arithmetic.errors(seed, 2 * count).reshape(count, 2, -1)
    return arithmetic.chain.encrypt(public.at(level), messages, u, errors, arithmetic.threads)


def encrypt_seeded(
    secret: SecretKey, messages: NDArray[np.int64], level: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Coefficients (m, N) -> seeds of c1 (m, 64), and ciphertexts (m, 2, level, N)."""
    arithmetic, threads, seeds = (
        secret.arithmetic,
        secret.arithmetic.threads,
        fresh_seeds(len(messages)),
    )
    ring = arithmetic.ring(level)
    errors = arithmetic.errors(fresh_seed(), len(messages))
    c1 = arithmetic.uniform(seeds, level)
    masks = ring.multiply(c1, secret.at(level), threads)
    c0 = ring.subtract(residues(arithmetic, messages + errors, level), masks, threads)
    return seeds, np.stack((c0, c1), axis=1)


def expand_seeded(
    arithmetic: Arithmetic, seeds: NDArray[np.uint8], c0: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Seeds (m, 64) and c0 (m, level, N) -> ciphertexts (m, 2, level, N)."""
    return np.stack((c0, arithmetic.uniform(seeds, c0.shape[1])), axis=1)


def phase(secret: SecretKey, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Ciphertexts (m, 2 or 3, level, N) -> message and noise (m, level, N)."""
    arithmetic, threads, level = secret.arithmetic, secret.arithmetic.threads, words.shape[2]
    ring, s = arithmetic.ring(level), secret.at(level)
    total = np.ascontiguousarray(words[:, -1])
    for part in range(words.shape[1] - 2, -1, -1):
        lower = np.ascontiguousarray(words[:, part])
        total = ring.add(ring.multiply(total, s, threads), lower, threads)
    return total
