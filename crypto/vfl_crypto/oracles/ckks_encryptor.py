"""The public-key face of CKKS: encrypt, add, multiply, depart. `tenseal` tells the whole."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import require_below
from vfl_crypto.linear import Ciphertext, Matrix, SchemeInfo
from vfl_crypto.oracles.ckks_noise import ENCRYPTIONS_ADDED, RESULTS_ADDED
from vfl_crypto.oracles.ckks_slots import Layout, pair
from vfl_crypto.oracles.residues import add_mod, fold
from vfl_crypto.oracles.seal_bytes import require_words
from vfl_crypto.oracles.seal_ring import Ring, seal
from vfl_crypto.release import os_gaussian

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class CkksEncryptor:
    """See `linear.Encryptor`; made by `CkksScheme.encryptor`, with SEAL's public key object."""

    def __init__(self, ring: Ring, public_key: Any, key_id: str) -> None:
        self._ring = ring
        self._parameters = ring.parameters
        self._encryptor = seal.Encryptor(ring.context, public_key)
        self._info = SchemeInfo(
            scheme="ckks",
            parameters=f"N = {self._parameters.n}, log2 QP = {sum(self._parameters.prime_bits)}",
            security_bits=ring.security_bits,
            key_id=key_id,
        )

    @property
    def info(self) -> SchemeInfo:
        return self._info

    def encrypt(self, values: NDArray[np.float64], onto: Ciphertext | None = None) -> Ciphertext:
        """See `linear.Encryptor`. Onto a result, |v| / padded rows < 2^(integer + column bits)."""
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 1:
            raise KeyMismatchError(f"encrypt takes one dimension; got shape {values.shape}")
        if onto is None:
            return self._encrypt_rows(values)
        layout = self.check(onto)
        if onto.count != len(values):
            raise KeyMismatchError(f"{len(values)} values onto a ciphertext of {onto.count}")
        added = (
            self._encrypt_rows(values)
            if onto.layout == "rows"
            else self._encrypt_sums(values, onto, layout)
        )
        return self._sum(added, onto, fresh=True)

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor`. At most 16 encryptions, or 4 results, add up in range."""
        self.check(left)
        self.check(right)
        if _form(left) != _form(right):
            raise KeyMismatchError(
                f"cannot add ciphertexts of different form: {_form(left)} and {_form(right)}"
            )
        return self._sum(left, right, fresh=False)

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor`.

        Raises `EncodingOverflowError` for a column whose root mean square over the padded rows
        exceeds 2^column_bits, `KeyMismatchError` for shapes.
        """
        layout = self.check(ciphertext)
        plain = np.asarray(plain, dtype=np.float64)
        if ciphertext.layout != "rows" or plain.ndim != 2 or len(plain) != ciphertext.count:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} does not fit {_form(ciphertext)}"
            )
        self._check_columns(plain, layout.total)
        products = self._products(plain, ciphertext, layout)
        body = [self._to_sums(self._rescaled(product), layout.classes) for product in products]
        return self._result(body, plain.shape[1], layout)

    def check(self, ciphertext: Ciphertext) -> Layout:
        """The layout of a well-formed ciphertext of this key.

        Raises `KeyMismatchError` for another key, scale, length or shape, `WireError` for words
        that are not residues and for rows without randomness (c1 = 0).
        """
        p = self._parameters
        if ciphertext.scheme != "ckks" or ciphertext.key_id != self._info.key_id:
            raise KeyMismatchError("the ciphertext belongs to another key; use the current one")
        if ciphertext.terms < 1:
            raise WireError(f"a ciphertext cannot be a sum of {ciphertext.terms}")
        if ciphertext.layout == "rows" and ciphertext.scale_bits == p.row_bits:
            layout = Layout(ciphertext.count, p.slots)
            shape: tuple[int, ...] = (layout.blocks, 4, p.n)
            words = require_words(ciphertext.body, shape, self._ring.primes[:2], "a ciphertext")
            if not words[:, 2:].any(axis=(1, 2)).all():
                raise WireError("a ciphertext without randomness: damaged or forged")
            return layout
        if ciphertext.layout == "sums" and 0 <= p.mean_bits - ciphertext.scale_bits <= 24:
            layout = Layout(1 << (p.mean_bits - ciphertext.scale_bits), p.slots)
            held = 2 * layout.classes
            shape = (-(-ciphertext.count // held), p.n + held)
            require_words(ciphertext.body, shape, self._ring.primes[:1], "a result")
            return layout
        raise KeyMismatchError(f"no ciphertext of this key has the form {_form(ciphertext)}")

    def _check_columns(self, plain: NDArray[np.float64], total: int) -> None:
        bits = self._parameters.column_bits
        if plain.shape[1] < 1:
            raise KeyMismatchError("a matrix without columns")
        bad = ~(np.einsum("ij,ij->j", plain, plain) <= total * 4.0**bits)  # catches NaN as well
        if bad.any():
            raise EncodingOverflowError(
                f"{int(bad.sum())} of {bad.size} columns have a root mean square above 2^{bits} "
                "(or are not numbers); scale them down"
            )

    def _encrypt_rows(self, values: NDArray[np.float64]) -> Ciphertext:
        p = self._parameters
        layout = Layout(len(values), p.slots)
        body = [
            self._fresh(slots, self._ring.rows_level, p.row_bits).reshape(4, p.n)
            for slots in layout.spread(require_below(values, p.value_bits))
        ]
        return Ciphertext(
            "ckks", self._info.key_id, p.row_bits, len(values), np.stack(body), "rows", fresh=True
        )

    def _encrypt_sums(
        self, values: NDArray[np.float64], onto: Ciphertext, layout: Layout
    ) -> Ciphertext:
        """The departing part of a result: randomness of its own, the values, noise over both."""
        p = self._parameters
        bits = p.integer_bits + p.column_bits
        means = require_below(values / layout.total, bits, "a value (over the padded rows)")
        flood = p.flood(p.sums_deviation(layout.classes, layout.total)) / layout.total
        filled = _os_uniform(len(onto.body) * 2 * layout.classes)  # where there is no feature
        filled[: len(values)] = means + os_gaussian(len(values)) * flood
        body = [
            self._to_sums(
                self._fresh(np.tile(slots, layout.padded), self._ring.sums_level, p.mean_bits)[
                    :, 0
                ],
                layout.classes,
            )
            for slots in pair(filled, layout.classes)
        ]
        return self._result(body, len(values), layout)

    def _fresh(
        self,
        slots: NDArray[np.float64] | NDArray[np.complex128],
        level: Sequence[int],
        scale_bits: int,
    ) -> NDArray[np.uint64]:
        """Words (2, primes, N) of a public-key encryption made now."""
        ciphertext = seal.Ciphertext()
        plain = self._ring.encode(slots, level, math.ldexp(1.0, scale_bits))
        self._encryptor.encrypt(plain, ciphertext)
        return self._ring.words(ciphertext)

    def _products(
        self, plain: NDArray[np.float64], ciphertext: Ciphertext, layout: Layout
    ) -> Iterator[Any]:
        """For each result, the sum over blocks of columns times [[d]], modulo q0 q1.

        None where all its columns are zero: SEAL refuses to multiply by zero.
        """
        ring, p = self._ring, self._parameters
        words = ciphertext.body.astype(np.uint64).reshape(-1, 2, 2, p.n)
        scale = math.ldexp(1.0, p.row_bits)
        factors = [ring.ciphertext(block, ring.rows_level, scale) for block in words]
        plain_scale = p.plain_scale(layout, ring.primes[1])
        for columns in layout.columns(plain):
            total = None
            for factor, slots in zip(factors, columns, strict=True):
                encoded = ring.encode(slots, ring.rows_level, plain_scale)
                if encoded.is_zero():
                    continue
                product = seal.Ciphertext()
                ring.evaluator.multiply_plain(factor, encoded, product)
                if total is None:
                    total = product
                else:
                    ring.evaluator.add_inplace(total, product)
            yield total

    def _rescaled(self, product: Any) -> NDArray[np.uint64]:
        """Words (2, N) modulo q0 of a product after the division by q1."""
        if product is None:
            return np.zeros((2, self._parameters.n), dtype=np.uint64)
        self._ring.evaluator.rescale_to_next_inplace(product)
        return self._ring.words(product)[:, 0]

    def _to_sums(self, words: NDArray[np.uint64], classes: int) -> NDArray[np.uint64]:
        """(2, N) -> (N + 2n',): all of c1, then the fold of c0."""
        return np.concatenate((words[1], fold(words[0], 2 * classes, self._ring.primes[0])))

    def _result(self, body: list[NDArray[np.uint64]], count: int, layout: Layout) -> Ciphertext:
        scale_bits = self._parameters.mean_bits - layout.total.bit_length() + 1
        return Ciphertext("ckks", self._info.key_id, scale_bits, count, np.stack(body), "sums")

    def _sum(self, left: Ciphertext, right: Ciphertext, *, fresh: bool) -> Ciphertext:
        terms = left.terms + right.terms
        most = ENCRYPTIONS_ADDED if left.layout == "rows" else RESULTS_ADDED
        if terms > most:
            raise EncodingOverflowError(
                f"{terms} ciphertexts in one sum may leave the range of CKKS, which holds {most}; "
                "use crypto: paillier"
            )
        primes = np.array(self._ring.primes[:2], dtype=np.uint64)
        modulus = np.tile(primes, 2)[:, None] if left.layout == "rows" else primes[0]
        body = add_mod(left.body.astype(np.uint64), right.body.astype(np.uint64), modulus)
        return Ciphertext(
            "ckks", left.key_id, left.scale_bits, left.count, body, left.layout, fresh, terms
        )


def _form(ciphertext: Ciphertext) -> str:
    return f"{ciphertext.count} {ciphertext.layout} at scale 2^{ciphertext.scale_bits}"


def _os_uniform(count: int) -> NDArray[np.float64]:
    """Uniform draws (count,) in [-1, 1), every bit from the operating system."""
    words = np.frombuffer(os.urandom(8 * count), dtype=np.int64)
    return np.ldexp(words.astype(np.float64), -63)
