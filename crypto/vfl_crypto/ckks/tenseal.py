"""TenSEAL's contexts and vectors, both ways: SEAL objects (`seal`) in protobuf messages.

    context   1 parameters, 2 public part, 3 private part, 4 kind (0 asymmetric, 1 symmetric)
      public  1 public key, 2 flags, 3 scale, 4 relinearisation key, 5 Galois keys
      private 1 secret key, 2 and 3 whether relinearisation and Galois keys are to be made anew
    vector    1 lengths, 2 ciphertexts, 3 scale

What is written loads in every TenSEAL since 0.3.15. Ciphertexts made with the secret key, and the
keys, are written with the seed of their random half: half of TenSEAL's own bytes. Galois keys are
read over: nothing here rotates.

After a rescaling TenSEAL writes its global scale into a vector, whatever prime it divided out; the
true scale is lost there, and such vectors are right only if the middle primes are near the scale.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.ckks import noise, protobuf, seal
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.keys import PublicKey, RelinearisationKey, SecretKey
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.ckks.seal import Polynomials
from vfl_crypto.ckks.vectors import Vectors
from vfl_crypto.errors import KeyMismatchError, UnsafeDepartureError, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl_crypto.ckks.protobuf import Field

MAX_CONTEXT_BYTES = 1 << 32  # nearly all of them Galois keys, which are read over
MAX_VECTOR_BYTES = 1 << 28
MAX_WORD_BYTES = 1 << 30  # of all ciphertexts of a vector, inflated and expanded
MAX_CIPHERTEXTS = 1 << 12
_MOST_FIELDS = 64  # of a part of a context; TenSEAL's have 5
_AUTO_FLAGS = 7  # relinearise, rescale and lower levels by itself: TenSEAL's default


@dataclass(frozen=True, eq=False)
class Context:
    """What a TenSEAL context holds. A symmetric one has a public key of its own, never written."""

    arithmetic: Arithmetic
    scale: float
    public: PublicKey
    relinearisation: RelinearisationKey | None = None
    secret: SecretKey | None = None
    symmetric: bool = False

    @property
    def parameters(self) -> Parameters:
        return self.arithmetic.parameters


def read_context(data: bytes, threads: int = 1) -> Context:
    """Raises `WireError` for bytes that are no CKKS context, `InsecureParametersError` for one
    below 128 bits.
    """
    fields = protobuf.read(_bounded(data, MAX_CONTEXT_BYTES), _MOST_FIELDS)
    parameters = seal.read_parameters(_bytes(fields, 1, "a context without parameters"))
    arithmetic = Arithmetic(parameters, threads)
    public_part = _bytes(fields, 2, "a context without its public part")
    part = protobuf.read(public_part, _MOST_FIELDS)
    relinearisation = secret = None
    if 4 in part:
        keys = seal.read_switching(parameters, _bytes(part, 4, ""))
        words = np.stack([_expanded(arithmetic, key)[0] for key in keys])
        relinearisation = RelinearisationKey(words)
    if 3 in fields:
        private = protobuf.read(_bytes(fields, 3, ""), _MOST_FIELDS)
        key = _bytes(private, 1, "a private part without its secret key")
        secret = SecretKey(arithmetic, seal.read_secret_key(parameters, key))
    symmetric = 1 not in part
    if not symmetric:
        found = seal.read_public_key(parameters, _bytes(part, 1, ""))
        public = PublicKey(arithmetic, *_expanded(arithmetic, found))
    elif secret is not None:
        public = secret.publish()
    else:
        raise WireError("a symmetric context without its secret key holds no key at all")
    return Context(arithmetic, _scale(part, 3), public, relinearisation, secret, symmetric)


def write_context(context: Context, *, secret: bool = False) -> bytes:
    """The bytes of a context; its secret key only where `secret` says so.

    With it TenSEAL makes a relinearisation key of its own, so none is written.
    """
    p = context.parameters
    part: list[tuple[int, float | bytes | memoryview]] = []
    if not context.symmetric:
        key = Polynomials(context.public.words, 1.0, context.public.seed)
        part.append((1, seal.ciphertext_bytes(p, key)))
    part += [(2, _AUTO_FLAGS), (3, float(context.scale))]
    if context.relinearisation is not None and not secret:
        relin = context.relinearisation
        seeds: Sequence[NDArray[np.uint8] | None] = (
            list(relin.seeds) if relin.seeds is not None else [None] * len(relin.words)
        )
        keys = [Polynomials(w, 1.0, s) for w, s in zip(relin.words, seeds, strict=True)]
        part.append((4, seal.switching_bytes(p, keys)))
    fields = [(1, seal.parameters_bytes(p)), (2, protobuf.write(*part))]
    if secret:
        if context.secret is None:
            raise WireError("the context has no secret key to write")
        flag = int(context.relinearisation is not None)
        key_bytes = seal.secret_key_bytes(p, context.secret.words)
        fields.append((3, protobuf.write((1, key_bytes), (2, flag))))
    return protobuf.write(*fields, (4, int(context.symmetric)))


def read_vectors(
    context: Context, data: bytes, bound: float, deviation: float | None = None
) -> Vectors:
    """A `CKKSVector`, one row for each of its ciphertexts.

    Nothing in the bytes says how large the values are, nor how far they are off: `bound` is theirs
    to keep; `deviation` is by default that of an encryption under the public key with a rescaling
    for each prime that is gone. Give it for results of longer computations: it decides how much is
    flooded when they are opened, never less than for a fresh encryption under the secret key.
    Raises `EncodingOverflowError` where one of them is negative, not finite or does not fit.
    """
    p = context.parameters
    most = 2 * MAX_CIPHERTEXTS + _MOST_FIELDS
    fields = protobuf.read(_bounded(data, MAX_VECTOR_BYTES), most, repeated=(1, 2))
    lengths = protobuf.integers(fields.get(1, []), MAX_CIPHERTEXTS)
    parts = [part for part in fields.get(2, []) if isinstance(part, memoryview)]
    if not 1 <= len(parts) == len(lengths):
        raise WireError("a vector with other numbers of ciphertexts and of lengths, or with none")
    if not all(1 <= length <= p.slots for length in lengths):
        raise WireError(f"a ciphertext holds 1 to {p.slots} values")
    words, scale, seeds = _ciphertexts(context.arithmetic, parts)
    if not words[:, 1].any(axis=(1, 2)).all():
        raise WireError("a ciphertext without randomness: damaged or forged")
    if deviation is None:
        gone = p.levels - words.shape[2]
        coefficients = math.sqrt(1 + gone) * noise.encryption(p.n, public=True)
        deviation = noise.slot(p.n, coefficients, scale)
    kept = np.stack(seeds) if len(seeds) == len(parts) else None
    return Vectors(
        context.public.key_id, words, scale, tuple(lengths), bound, deviation, kept
    ).require_room(p)


def write_vectors(context: Context, vectors: Vectors) -> bytes:
    """A `CKKSVector` of as many ciphertexts as there are vectors.

    Raises `UnsafeDepartureError` for vectors that are not fresh (see `Evaluator.depart`),
    `KeyMismatchError` for those of another key.
    """
    if vectors.key_id != context.public.key_id:
        raise KeyMismatchError("the vectors belong to another key than the context's")
    if not vectors.fresh:
        raise UnsafeDepartureError(
            "these vectors carry what they were computed from in their randomness; "
            "depart() them before they leave"
        )
    p, seeds = context.parameters, vectors.seeds
    fields: list[tuple[int, float | bytes | memoryview]] = [(1, protobuf.packed(vectors.lengths))]
    for i, words in enumerate(vectors.words):
        one = Polynomials(words, vectors.scale, None if seeds is None else seeds[i])
        fields.append((2, seal.ciphertext_bytes(p, one)))
    return protobuf.write(*fields, (3, vectors.scale))


def _ciphertexts(
    arithmetic: Arithmetic, parts: Sequence[memoryview]
) -> tuple[NDArray[np.uint64], float, list[NDArray[np.uint8]]]:
    """Words (m, polynomials, level, N), their scale, and the seeds of those that came as such."""
    seeds, scale, words = [], 0.0, np.empty((0, 0, 0, 0), dtype=np.uint64)
    for i, part in enumerate(parts):
        found = seal.read_ciphertext(arithmetic.parameters, part)
        one, seed = _expanded(arithmetic, found)
        if i == 0:
            scale = found.scale
            if len(parts) * one.nbytes > MAX_WORD_BYTES:
                raise WireError(
                    f"a vector of {len(parts)} ciphertexts has more than the {MAX_WORD_BYTES} "
                    "bytes that are read at once; split it"
                )
            words = np.empty((len(parts), *one.shape), dtype=np.uint64)
        if found.scale != scale or one.shape[1:] != words.shape[2:]:
            raise WireError("a vector whose ciphertexts differ in scale or level")
        if len(one) != words.shape[1]:
            raise WireError("a vector whose ciphertexts differ in their polynomials")
        words[i] = one
        if seed is not None:
            seeds.append(seed)
    return words, scale, seeds


def _expanded(
    arithmetic: Arithmetic, found: Polynomials
) -> tuple[NDArray[np.uint64], NDArray[np.uint8] | None]:
    """All polynomials, and the seed of the last one where it came as such."""
    if found.seed is None:
        return found.words, None
    a = arithmetic.uniform(found.seed[None], found.words.shape[1])
    return np.concatenate((found.words, a)), found.seed


def _bounded(data: bytes, most: int) -> memoryview:
    if len(data) > most:
        raise WireError(f"{len(data)} bytes are more than the {most} that are read at once")
    return memoryview(data)


def _bytes(fields: dict[int, list[Field]], number: int, missing: str) -> memoryview:
    value = fields.get(number, [None])[0]
    if not isinstance(value, memoryview):
        raise WireError(missing or "a number where bytes should be: damaged or forged")
    return value


def _scale(fields: dict[int, list[Field]], number: int) -> float:
    value = _bytes(fields, number, "a context without a scale")
    scale = struct.unpack("<d", value)[0] if len(value) == 8 else 0.0
    if not 1.0 <= scale < 2.0**120:
        raise WireError(f"a context with the scale {scale}")
    return float(scale)
