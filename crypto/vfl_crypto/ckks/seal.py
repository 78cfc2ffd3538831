"""Parameters, keys and ciphertexts in Microsoft SEAL's binary format, both ways.

    parameters   u8 scheme (2 CKKS), u64 N, u64 primes, each prime as an object of one u64, and the
                 plain modulus as another (0)
    secret key   32 bytes parameter id, u64 words, f64 scale, words: s in NTT form
    ciphertext   32 bytes parameter id, u8 in NTT form, u64 polynomials, u64 N, u64 primes,
                 f64 scale, from 4.0 on u64 1, and words (polynomial, prime, coefficient); where
                 there are half as many, c1 comes as an object of u8 1 (BLAKE2Xb) and a 64-byte seed
    public key   a ciphertext under all primes
    switching    32 bytes parameter id, u64 entries, each u64 keys and that many public keys

The parameter id is BLAKE2b-256 of the words: scheme, N, primes, 0. Everything read is held against
the parameters before it is allocated (`framing`); what is not as they say raises `WireError`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.ckks.framing import HEADER, Members, open_object, write_object, write_words
from vfl_crypto.ckks.keys import SEED_BYTES
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.errors import WireError
from vfl_crypto.security import LOG2_QP_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CKKS, _BLAKE2XB = 2, 1
_MAX_PRIMES = 64
_SEED_OBJECT = HEADER.size + 1 + SEED_BYTES
_ARRAY = HEADER.size + 8


@dataclass(frozen=True, eq=False)
class Polynomials:
    """A ciphertext as it travels: words (polynomials, primes, N); c1 as a seed (64,) if it did."""

    words: NDArray[np.uint64]
    scale: float
    seed: NDArray[np.uint8] | None = None


def parameters_bytes(p: Parameters, *, compress: bool = True) -> bytes:
    members = struct.pack("<BQQ", _CKKS, p.n, len(p.primes))
    members += b"".join(write_object(struct.pack("<Q", q)) for q in (*p.primes, 0))
    return write_object(members, compress=compress)


def ciphertext_bytes(p: Parameters, polynomials: Polynomials, *, compress: bool = True) -> bytes:
    """A ciphertext or public key. The level follows from the words; a seed stands for c1."""
    return write_object(_ciphertext(p, polynomials), compress=compress)


def secret_key_bytes(p: Parameters, words: NDArray[np.uint64], *, compress: bool = True) -> bytes:
    """A secret key (primes, N)."""
    members = _id(p, len(p.primes)) + struct.pack("<Qd", words.size, 1.0) + write_words(words)
    return write_object(members, compress=compress)


def switching_bytes(p: Parameters, keys: Sequence[Polynomials], *, compress: bool = True) -> bytes:
    """A relinearisation key: one entry, one public key for each data prime."""
    members = _id(p, len(p.primes)) + struct.pack("<QQ", 1, len(keys))
    members += b"".join(write_object(_ciphertext(p, key)) for key in keys)
    return write_object(members, compress=compress)


def read_parameters(data: memoryview) -> Parameters:
    """Raises `WireError`, and `InsecureParametersError` for a chain that is refused here."""
    body = open_object(data, 17 + (_MAX_PRIMES + 1) * (HEADER.size + 8), "the parameters")
    scheme, n, count = body.unpack("BQQ")
    if scheme != _CKKS:
        raise WireError(f"the parameters are of SEAL's scheme {scheme}; only CKKS (2) is read")
    if n not in LOG2_QP_LIMIT or not 2 <= count <= _MAX_PRIMES:
        raise WireError(f"the parameters have N = {n} and {count} primes")
    primes = [_word(body) for _ in range(count)]
    if _word(body) != 0:
        raise WireError("the parameters have a plain modulus, which CKKS has not")
    body.end()
    return Parameters(n, tuple(primes))


def read_ciphertext(p: Parameters, data: memoryview) -> Polynomials:
    """A ciphertext at any level, of two or three polynomials."""
    body = open_object(data, _ciphertext_size(p, 3), "a ciphertext")
    found = _read_ciphertext(p, body, range(1, p.levels + 1), 3)
    body.end()
    return found


def read_public_key(p: Parameters, data: memoryview) -> Polynomials:
    body = open_object(data, _ciphertext_size(p, 2), "a public key")
    found = _read_ciphertext(p, body, (len(p.primes),), 2)
    body.end()
    return found


def read_secret_key(p: Parameters, data: memoryview) -> NDArray[np.uint64]:
    """Words (primes, N); `SecretKey` checks that they are a key."""
    size = len(p.primes) * p.n
    body = open_object(data, 48 + _ARRAY + 8 * size, "a secret key")
    identity, count, _ = body.unpack("32sQd")
    if identity != _id(p, len(p.primes)) or count != size:
        raise WireError("a secret key of other parameters")
    words = body.words((len(p.primes), p.n), p.primes)
    body.end()
    return words


def read_switching(p: Parameters, data: memoryview) -> list[Polynomials]:
    """A relinearisation key of one entry: a public key for each data prime."""
    most = 48 + p.levels * (HEADER.size + _ciphertext_size(p, 2))
    body = open_object(data, most, "a relinearisation key")
    identity, entries, count = body.unpack("32sQQ")
    if identity != _id(p, len(p.primes)) or (entries, count) != (1, p.levels):
        raise WireError("a relinearisation key of other parameters, or of higher powers")
    keys = []
    for _ in range(count):
        key = body.nested()
        keys.append(_read_ciphertext(p, key, (len(p.primes),), 2))
        key.end()
    body.end()
    return keys


def _read_ciphertext(p: Parameters, body: Members, levels: Sequence[int], most: int) -> Polynomials:
    """At one of these numbers of primes, of two to `most` polynomials."""
    identity, ntt, polynomials, n, count, scale = body.unpack("32sBQQQd")
    if body.version >= (4, 0) and body.unpack("Q") != (1,):
        raise WireError("a ciphertext with a correction factor, which CKKS has not")
    if n != p.n or count not in levels or identity != _id(p, count):
        raise WireError("a ciphertext or key of other parameters than this context's")
    if ntt != 1 or not 2 <= polynomials <= most or not 0.0 < scale < math.inf:
        raise WireError(f"a ciphertext of {polynomials} polynomials at scale {scale}")
    primes = p.primes[:count]
    if polynomials != 2 or body.left >= _ARRAY + 8 * polynomials * count * n:
        return Polynomials(body.words((polynomials, count, n), primes), scale)
    c0 = body.words((1, count, n), primes)
    generator = body.nested()
    (kind,) = generator.unpack("B")
    if kind != _BLAKE2XB:
        raise WireError(f"a seed of SEAL's generator {kind}; only BLAKE2Xb (1) is read")
    seed = np.frombuffer(generator.take(SEED_BYTES), dtype=np.uint8)
    generator.end()
    return Polynomials(c0, scale, seed)


def _ciphertext(p: Parameters, polynomials: Polynomials) -> bytes:
    words, seed, scale = polynomials.words, polynomials.seed, polynomials.scale
    count, primes, n = words.shape
    members = _id(p, primes) + struct.pack("<BQQQd", 1, count, n, primes, scale)
    if seed is None:
        return members + write_words(words)
    return members + write_words(words[:1]) + write_object(bytes([_BLAKE2XB]) + seed.tobytes())


def _ciphertext_size(p: Parameters, polynomials: int) -> int:
    """The most bytes of its members."""
    return 65 + 8 + _ARRAY + 8 * polynomials * len(p.primes) * p.n + _SEED_OBJECT


def _id(p: Parameters, count: int) -> bytes:
    """Of the chain of the first `count` primes."""
    words = struct.pack(f"<{count + 3}Q", _CKKS, p.n, *p.primes[:count], 0)
    return hashlib.blake2b(words, digest_size=32).digest()


def _word(body: Members) -> int:
    """An object of one word."""
    one = body.nested()
    (word,) = one.unpack("Q")
    one.end()
    return int(word)
