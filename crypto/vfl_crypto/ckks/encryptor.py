"""The public-key face of CKKS gradients: encrypt, add, multiply, depart; see `scheme`."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.ckks.bodies import Bodies
from vfl_crypto.ckks.encoding import encode, residues
from vfl_crypto.ckks.encryption import encrypt_public, encrypt_seeded
from vfl_crypto.ckks.fold import fold
from vfl_crypto.ckks.formats import ENCRYPTIONS_ADDED, RESULTS_ADDED, Formats
from vfl_crypto.ckks.layout import Layout, pair
from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import require_below
from vfl_crypto.linear import Ciphertext, Matrix, SchemeInfo
from vfl_crypto.release import os_gaussian
from vfl_crypto.security import SECURITY_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.ckks.keys import PublicKey, SecretKey

ROWS_LEVEL, SUMS_LEVEL = 3, 2
_BLOCK_BYTES = 1 << 26  # of encoded columns at a time


class CkksEncryptor:
    """See `linear.Encryptor`. Made by the key holder it also has the secret key and sends seeds."""

    def __init__(
        self, formats: Formats, public: PublicKey, key_id: str, secret: SecretKey | None = None
    ) -> None:
        self._formats = formats
        self._public = public
        self._secret = secret
        self._arithmetic = public.arithmetic
        self._ring = public.arithmetic.ring
        self.bodies = Bodies(public.arithmetic)
        self._info = SchemeInfo("ckks", str(public.arithmetic.parameters), SECURITY_BITS, key_id)

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
        if onto.count != len(values):
            raise KeyMismatchError(f"{len(values)} values onto a ciphertext of {onto.count}")
        layout = self.layout(onto)
        if onto.layout == "rows":
            coefficients = self._row_coefficients(values, layout)
            zeros = encrypt_public(self._public, coefficients, ROWS_LEVEL)
            return self._added_rows(zeros, onto, layout, 1, fresh=True)
        return self._added_sums(*self._departing(values, layout), onto, layout, 1, fresh=True)

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor`. At most 16 encryptions, or 4 results, add up in range."""
        layout = self.layout(left)
        self.layout(right)
        if _form(left) != _form(right):
            raise KeyMismatchError(
                f"cannot add ciphertexts of different form: {_form(left)} and {_form(right)}"
            )
        if left.layout == "rows":
            words = self.rows(left, layout)
            return self._added_rows(words, right, layout, left.terms, fresh=False)
        c1, folds = self.sums(left, layout)
        return self._added_sums(c1, folds, right, layout, left.terms, fresh=False)

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor`.

        Raises `EncodingOverflowError` for a column whose root mean square over the padded rows
        exceeds 2^column_bits, `KeyMismatchError` for shapes.
        """
        layout = self.layout(ciphertext)
        plain = np.asarray(plain, dtype=np.float64)
        if ciphertext.layout != "rows" or plain.ndim != 2 or len(plain) != ciphertext.count:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} does not fit {_form(ciphertext)}"
            )
        self._check_columns(plain, layout.total)
        words = self._rescaled(self.products(plain, self.rows(ciphertext, layout), layout))
        return self._wrap_sums(*self._to_sums(words, layout), plain.shape[1], layout)

    def forget(self) -> None:
        """Drop the secret key, if it has it: encrypts under the public key from now on."""
        self._secret = None

    def layout(self, ciphertext: Ciphertext) -> Layout:
        """The layout of a ciphertext of this key; its body is not looked at.

        Raises `KeyMismatchError` for another key, scale or length, `WireError` for no terms.
        """
        formats = self._formats
        if ciphertext.scheme != "ckks" or ciphertext.key_id != self._info.key_id:
            raise KeyMismatchError("the ciphertext belongs to another key; use the current one")
        if ciphertext.terms < 1 or ciphertext.count < 1:
            raise WireError(f"a ciphertext cannot be {ciphertext.terms} sums of nothing")
        if ciphertext.layout == "rows":
            layout = Layout(ciphertext.count, formats.slots)
            if ciphertext.scale_bits == formats.row_bits(layout.padded_blocks):
                return layout
        if ciphertext.layout == "sums" and 0 <= formats.mean_bits - ciphertext.scale_bits <= 24:
            return Layout(1 << (formats.mean_bits - ciphertext.scale_bits), formats.slots)
        raise KeyMismatchError(f"no ciphertext of this key has the form {_form(ciphertext)}")

    def rows(self, ciphertext: Ciphertext, layout: Layout) -> NDArray[np.uint64]:
        """Words (blocks, 2, 3, N) of an encrypted vector. Raises `WireError`."""
        return self.bodies.read_rows(ciphertext.body, layout)

    def sums(
        self, ciphertext: Ciphertext, layout: Layout
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """c1 (ciphertexts, 2, N) and folds (..., 2, 2n') of a result. Raises `WireError`."""
        return self.bodies.read_sums(ciphertext.body, layout, ciphertext.count)

    def products(
        self, plain: NDArray[np.float64], rows: NDArray[np.uint64], layout: Layout
    ) -> NDArray[np.uint64]:
        """For each result, the sum over blocks of columns times [[d]]: (results, 2, 3, N)."""
        p, threads = self._arithmetic.parameters, self._arithmetic.threads
        scale = self._formats.plain_scale(layout, p.data[ROWS_LEVEL - 1])
        columns = layout.columns(plain)
        at_once = max(1, _BLOCK_BYTES // (layout.blocks * ROWS_LEVEL * p.n * 8))
        parts = []
        for start in range(0, len(columns), at_once):
            some = columns[start : start + at_once]
            coefficients = encode(self._arithmetic, some.reshape(-1, p.slots), scale)
            encoded = residues(self._arithmetic, coefficients, ROWS_LEVEL)
            encoded = encoded.reshape(len(some), layout.blocks, ROWS_LEVEL, p.n)
            parts.append(self._ring(ROWS_LEVEL).multiply_accumulate(encoded, rows, threads))
        return np.concatenate(parts)

    def _check_columns(self, plain: NDArray[np.float64], total: int) -> None:
        bits = self._formats.column_bits
        if plain.shape[1] < 1:
            raise KeyMismatchError("a matrix without columns")
        bad = ~(np.einsum("ij,ij->j", plain, plain) <= total * 4.0**bits)  # catches NaN as well
        if bad.any():
            raise EncodingOverflowError(
                f"{int(bad.sum())} of {bad.size} columns have a root mean square above 2^{bits} "
                "(or are not numbers); scale them down"
            )

    def _row_coefficients(self, values: NDArray[np.float64], layout: Layout) -> NDArray[np.int64]:
        slots = layout.spread(require_below(values, self._formats.value_bits))
        return encode(
            self._arithmetic, slots, math.ldexp(1.0, self._formats.row_bits(layout.padded_blocks))
        )

    def _encrypt_rows(self, values: NDArray[np.float64]) -> Ciphertext:
        layout = Layout(len(values), self._formats.slots)
        coefficients = self._row_coefficients(values, layout)
        if self._secret is not None:
            seeds, words = encrypt_seeded(self._secret, coefficients, ROWS_LEVEL)
            body = self.bodies.seeded(seeds, np.ascontiguousarray(words[:, 0]))
        else:
            body = self.bodies.public(encrypt_public(self._public, coefficients, ROWS_LEVEL))
        scale = self._formats.row_bits(layout.padded_blocks)
        return Ciphertext("ckks", self._info.key_id, scale, len(values), body, "rows", fresh=True)

    def _departing(
        self, values: NDArray[np.float64], layout: Layout
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """The departing part of a result: randomness of its own, the values, noise over both."""
        formats, held = self._formats, 2 * layout.classes
        bits = formats.integer_bits + formats.column_bits
        means = require_below(values / layout.total, bits, "a value (over the padded rows)")
        deviation = formats.sums_deviation(layout.classes, layout.total)
        flood = formats.flood(deviation) / layout.total
        filled = _os_uniform(-(-len(values) // held) * held)  # where there is no feature
        filled[: len(values)] = means + os_gaussian(len(values)) * flood
        slots = np.tile(pair(filled, layout.classes), (1, layout.padded))
        coefficients = encode(self._arithmetic, slots, math.ldexp(1.0, formats.mean_bits))
        return self._to_sums(encrypt_public(self._public, coefficients, SUMS_LEVEL), layout)

    def _rescaled(self, products: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """(results, 2, 3, N) -> (results, 2, 2, N), divided by q2."""
        chain, threads, n = self._arithmetic.chain, self._arithmetic.threads, self._formats.n
        divided = chain.divide_last(products.reshape(-1, ROWS_LEVEL, n), threads)
        return divided.reshape(-1, 2, SUMS_LEVEL, n)

    def _to_sums(
        self, words: NDArray[np.uint64], layout: Layout
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(results, 2, 2, N) -> all of c1, and the fold of c0."""
        primes = self._arithmetic.parameters.data[:SUMS_LEVEL]
        folds = fold(words[:, 0], 2 * layout.classes, primes)
        return np.ascontiguousarray(words[:, 1]), np.ascontiguousarray(folds)

    def _added_rows(
        self, words: NDArray[np.uint64], onto: Ciphertext, layout: Layout, terms: int, *,
        fresh: bool,
    ) -> Ciphertext:  # fmt: skip
        terms = _require_terms(terms + onto.terms, ENCRYPTIONS_ADDED)
        other, threads = self.rows(onto, layout), self._arithmetic.threads
        body = self.bodies.public(self._ring(ROWS_LEVEL).add(words, other, threads))
        return replace(onto, body=body, fresh=fresh, terms=terms)

    def _added_sums(
        self, c1: NDArray[np.uint64], folds: NDArray[np.uint64], onto: Ciphertext,
        layout: Layout, terms: int, *, fresh: bool,
    ) -> Ciphertext:  # fmt: skip
        terms = _require_terms(terms + onto.terms, RESULTS_ADDED)
        other_c1, other_folds = self.sums(onto, layout)
        primes = np.array(self._arithmetic.parameters.data[:SUMS_LEVEL], dtype=np.uint64)[:, None]
        total = folds + other_folds
        body = self.bodies.sums(
            self._ring(SUMS_LEVEL).add(c1, other_c1, self._arithmetic.threads),
            np.where(total >= primes, total - primes, total),
        )
        return replace(onto, body=body, fresh=fresh, terms=terms)

    def _wrap_sums(
        self, c1: NDArray[np.uint64], folds: NDArray[np.uint64], count: int, layout: Layout
    ) -> Ciphertext:
        scale = self._formats.mean_bits - layout.total.bit_length() + 1
        body = self.bodies.sums(c1, folds)
        return Ciphertext("ckks", self._info.key_id, scale, count, body, "sums")


def _require_terms(terms: int, most: int) -> int:
    if terms > most:
        raise EncodingOverflowError(
            f"{terms} ciphertexts in one sum may leave the range of CKKS, which holds {most}; "
            "use crypto: paillier"
        )
    return terms


def _form(ciphertext: Ciphertext) -> str:
    return f"{ciphertext.count} {ciphertext.layout} at scale 2^{ciphertext.scale_bits}"


def _os_uniform(count: int) -> NDArray[np.float64]:
    """Uniform draws (count,) in [-1, 1), every bit from the operating system."""
    words = np.frombuffer(os.urandom(8 * count), dtype=np.int64)
    return np.ldexp(words.astype(np.float64), -63)
