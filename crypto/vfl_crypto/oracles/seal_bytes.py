"""SEAL's binary format, written from words that were checked here.

TenSEAL's parser crashes on some mutated ciphertexts, so it never sees a byte from outside. What
crosses a border are bare residues, uint64; `require_words` checks their shape and that each is
below its prime, and these functions put SEAL's framing around them.

Little-endian, no padding. Every object opens with a 16-byte header: u16 0xA15E, u8 header size,
u8 major, u8 minor, u8 compression (0), u16 0, u64 size of the whole object. Framing version 3.6,
which SEAL 3.4 and later read. A ciphertext: 32 bytes parameter id, u8 in transformed form, u64
polynomials, u64 N, u64 primes, f64 scale, then the words (polynomial, prime, coefficient) as a
nested object of u64 count and words. A public key is a ciphertext under all primes, scale 1.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import KeyMismatchError, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_HEADER = struct.Struct("<HBBBBHQ")
_CIPHERTEXT = struct.Struct("<4QBQQQd")


def require_words(
    body: NDArray[np.generic], shape: tuple[int, ...], primes: Sequence[int], what: str
) -> NDArray[np.uint64]:
    """`body` as uint64 of exactly this shape, word [..., i, :] below primes[i mod len(primes)].

    One-dimensional rows take a single prime. Raises `KeyMismatchError` for another shape or dtype,
    `WireError` for a word that is not a reduced residue.
    """
    if body.dtype != np.uint64 or body.shape != shape:
        raise KeyMismatchError(
            f"{what} is uint64 of shape {shape}; got {body.dtype} of shape {body.shape}"
        )
    words: NDArray[np.uint64] = np.ascontiguousarray(body, dtype=np.uint64)
    limits = np.array(primes, dtype=np.uint64)
    if len(primes) > 1:
        limits = np.resize(limits, shape[-2])[:, None]
    if bool((words >= limits).any()):
        raise WireError(f"{what} holds a word that is not below its prime: damaged or forged")
    return words


def ciphertext_bytes(
    words: NDArray[np.uint64], parameters_id: Sequence[int], scale: float
) -> bytes:
    """A SEAL ciphertext from words (polynomials, primes, N) in transformed form."""
    polynomials, primes, n = words.shape
    data = words.astype("<u8", copy=False).tobytes()
    array = _object(struct.pack("<Q", words.size) + data)
    members = _CIPHERTEXT.pack(*parameters_id, 1, polynomials, n, primes, scale)
    return _object(members + array)


def _object(members: bytes) -> bytes:
    return _HEADER.pack(0xA15E, 16, 3, 6, 0, 0, _HEADER.size + len(members)) + members
