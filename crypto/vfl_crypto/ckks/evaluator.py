"""What anybody with the public key does to encrypted vectors, whole batches at a time.

The scale is tracked exactly: a rescaling divides it by the prime that was divided out, whatever its
size, and vectors of different scales are not added. By default a plain factor takes the prime that
the next rescaling divides out as its scale, so the vectors keep theirs. Noise is added up as if all
operands could be the same ciphertext.

**Departure.** A product carries its plain factor in its randomness: c1 divided by the known factor
of c1 is the encoded factor. `depart` adds an encryption of zero under the public key, made for each
vector alone, and noise as wide as a key holder's flood: a `cover`, which needs no flood of its own
when the vectors are opened. A product depends on its factors in all its noise: its cover ends.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.ckks import noise
from vfl_crypto.ckks.encoding import as_batch, encode, residues
from vfl_crypto.ckks.encryption import encrypt_public
from vfl_crypto.ckks.vectors import Vectors
from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError
from vfl_crypto.release import os_gaussian

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from vfl_crypto.ckks.keys import PublicKey, RelinearisationKey


class Evaluator:
    """The public face: a public key, and a relinearisation key for products of ciphertexts."""

    def __init__(
        self, public: PublicKey, relinearisation: RelinearisationKey | None = None
    ) -> None:
        self.public = public
        self.relinearisation = relinearisation
        self._arithmetic = public.arithmetic
        self._parameters = public.arithmetic.parameters

    def encrypt(self, values: ArrayLike, scale: float, bound: float | None = None) -> Vectors:
        """Encrypt (n,) or a batch (m, n), n at most N/2, all below `bound`, at the top level.

        `bound` is the power of two above the largest value unless given: give one where that is
        private. Raises `EncodingOverflowError` for values that do not fit.
        """
        rows, bound = as_batch(values, bound)
        level = self._parameters.levels
        words = encrypt_public(self.public, encode(self._arithmetic, rows, scale), level)
        n = self._parameters.n
        deviation = noise.slot(n, noise.encryption(n, public=True), scale)
        lengths = (rows.shape[1],) * len(rows)
        return Vectors(
            self.public.key_id, words, float(scale), lengths, bound, deviation, fresh=True
        ).require_room(self._parameters)

    def add(self, left: Vectors, right: Vectors) -> Vectors:
        """l + r, vector by vector; the higher of two levels is lowered, which costs nothing.

        Raises `KeyMismatchError` for other keys, scales and lengths.
        """
        left, right = self._level(left, right)
        if left.scale != right.scale:
            raise KeyMismatchError(
                f"vectors at scales {left.scale!r} and {right.scale!r} cannot be added; rescale "
                "both alike, or multiply one of them by 1 at the missing scale"
            )
        if left.lengths != right.lengths or left.words.shape != right.words.shape:
            raise KeyMismatchError("vectors of different lengths cannot be added")
        ring = self._arithmetic.ring(left.level)
        return replace(
            left,
            words=ring.add(left.words, right.words, self._arithmetic.threads),
            bound=left.bound + right.bound,
            deviation=left.deviation + right.deviation,
            cover=left.cover + right.cover,
            seeds=None,
            fresh=False,
        ).require_room(self._parameters)

    def sum(self, vectors: Vectors) -> Vectors:
        """The sum of a batch as a batch of one."""
        self.check(vectors)
        if len(set(vectors.lengths)) != 1:
            raise KeyMismatchError("vectors of different lengths cannot be added")
        count, words, ring = len(vectors), vectors.words, self._arithmetic.ring(vectors.level)
        while len(words) > 1:
            half = len(words) // 2
            total = ring.add(words[:half], words[half : 2 * half], self._arithmetic.threads)
            words = np.concatenate((total, words[2 * half :])) if len(words) % 2 else total
        return replace(
            vectors,
            words=words,
            lengths=vectors.lengths[:1],
            bound=count * vectors.bound,
            deviation=count * vectors.deviation,
            cover=count * vectors.cover,
            seeds=None,
            fresh=False,
        ).require_room(self._parameters)

    def multiply_plain(
        self,
        vectors: Vectors,
        factor: ArrayLike,
        scale: float | None = None,
        bound: float | None = None,
    ) -> Vectors:
        """Value by value with plain (n,) or (m, n). Not rescaled; see `rescale`.

        `scale` of the factor is by default the last prime, which `rescale` divides out again.
        """
        self.check(vectors)
        rows, bound = as_batch(factor, bound)
        if len(rows) not in {1, len(vectors)} or {rows.shape[1]} != set(vectors.lengths):
            raise KeyMismatchError(
                f"a factor of shape {rows.shape} does not fit {len(vectors)} vectors"
            )
        n, level = self._parameters.n, vectors.level
        scale = float(self._parameters.data[level - 1]) if scale is None else scale
        plain = residues(self._arithmetic, encode(self._arithmetic, rows, scale), level)
        both = np.repeat(plain[:, None], vectors.words.shape[1], axis=1)
        words = self._arithmetic.ring(level).multiply(
            vectors.words, both if len(both) > 1 else both[0], self._arithmetic.threads
        )
        rounding = noise.slot(n, math.sqrt(1 / 12), scale)
        return replace(
            vectors,
            words=words,
            scale=vectors.scale * scale,
            bound=vectors.bound * bound,
            deviation=math.hypot(vectors.error * bound, vectors.bound * rounding),
            cover=0.0,
            seeds=None,
            fresh=False,
        ).require_room(self._parameters)

    def multiply(self, left: Vectors, right: Vectors) -> Vectors:
        """Value by value, relinearised. Not rescaled; see `rescale`.

        Raises `KeyMismatchError` without a relinearisation key and for vectors that do not fit.
        """
        left, right = self._level(left, right)
        if self.relinearisation is None:
            raise KeyMismatchError("a product of ciphertexts needs a relinearisation key")
        if left.lengths != right.lengths or left.words.shape[1] != 2 != right.words.shape[1]:
            raise KeyMismatchError("vectors of different lengths cannot be multiplied")
        p, level = self._parameters, left.level
        ring, threads = self._arithmetic.ring(level), self._arithmetic.threads
        x0, x1 = (np.ascontiguousarray(left.words[:, part]) for part in range(2))
        y0, y1 = (np.ascontiguousarray(right.words[:, part]) for part in range(2))
        cross = ring.add(ring.multiply(x0, y1, threads), ring.multiply(x1, y0, threads), threads)
        low = np.stack((ring.multiply(x0, y0, threads), cross), axis=1)
        high = np.zeros_like(low)
        high[:, 1] = ring.inverse(ring.multiply(x1, y1, threads), threads)
        switch = self._arithmetic.switch(level)
        switched = switch.switch(high, self.relinearisation.at(level), 1, threads)
        scale = left.scale * right.scale
        key_noise = noise.slot(p.n, noise.key_switch(p, level), scale)
        crossed = left.error * right.bound + right.error * left.bound
        return replace(
            left,
            words=ring.add(low, ring.forward(switched, threads), threads),
            scale=scale,
            bound=left.bound * right.bound,
            deviation=math.hypot(crossed, left.error * right.error, key_noise),
            cover=0.0,
            seeds=None,
            fresh=False,
        ).require_room(p)

    def rescale(self, vectors: Vectors) -> Vectors:
        """Divide by the last prime: scale and level go down, values stay.

        Raises `EncodingOverflowError` at the lowest level.
        """
        self.check(vectors)
        level, p = vectors.level, self._parameters
        if level < 2:
            raise EncodingOverflowError("no prime is left to rescale by; use a longer chain")
        count, parts = vectors.words.shape[:2]
        flat = vectors.words.reshape(count * parts, level, p.n)
        words = self._arithmetic.chain.divide_last(flat, self._arithmetic.threads)
        scale = vectors.scale / p.data[level - 1]
        rounding = noise.slot(p.n, noise.division(p.n), scale)
        return replace(
            vectors,
            words=words.reshape(count, parts, level - 1, p.n),
            scale=scale,
            deviation=math.hypot(vectors.deviation, rounding),
            seeds=None,
            fresh=False,
        )

    def depart(
        self,
        vectors: Vectors,
        openings: int = noise.OPENINGS,
        statistical_bits: int = noise.STATISTICAL_BITS,
    ) -> Vectors:
        """The same values, with randomness and noise of their own: they may leave.

        Raises `InsecureParametersError` for less than one opening and 30 statistical bits.
        """
        self.check(vectors)
        noise.require_flood(openings, statistical_bits)
        p, level = self._parameters, vectors.level
        flood = noise.flood(vectors.hidden(p.n), openings, statistical_bits)
        draws = os_gaussian(len(vectors) * p.n).reshape(len(vectors), p.slots, 2)
        masks = encode(self._arithmetic, draws[..., 0] + 1j * draws[..., 1], flood * vectors.scale)
        zeros = encrypt_public(self.public, masks, level)
        zero = noise.slot(p.n, noise.encryption(p.n, public=True), vectors.scale)
        if vectors.words.shape[1] != 2:
            raise KeyMismatchError("only relinearised vectors can depart")
        return replace(
            vectors,
            words=self._arithmetic.ring(level).add(zeros, vectors.words, self._arithmetic.threads),
            deviation=math.hypot(vectors.deviation, zero),
            cover=math.hypot(vectors.cover, flood),
            seeds=None,
            fresh=True,
        ).require_room(p)

    def check(self, vectors: Vectors) -> None:
        """Raises `KeyMismatchError` for vectors of another key."""
        if vectors.key_id != self.public.key_id:
            raise KeyMismatchError("the vectors belong to another key; use the current one")

    def _level(self, left: Vectors, right: Vectors) -> tuple[Vectors, Vectors]:
        """Both at the lower of their levels."""
        self.check(left)
        self.check(right)
        level = min(left.level, right.level)
        lowered = (
            v if v.level == level
            else replace(v, words=np.ascontiguousarray(v.words[:, :, :level]), seeds=None)
            for v in (left, right)
        )  # fmt: skip
        first, second = lowered
        return first, second
