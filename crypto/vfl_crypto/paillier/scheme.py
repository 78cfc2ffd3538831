"""`PaillierScheme`: exact encrypted sums behind `LinearScheme`.

A real v is round(v 2^s) modulo n, negative ones from the top. `encrypt` takes s from `data`, the
matrix of `rmatmul` from `plain`, and a product carries the sum of both. All integers that this
scheme encrypts or computes stay below 2^512 in magnitude (62 + 62 bits of fixed point, the rows
summed, and masks), far from n / 2; a decryption outside that range is an error, never a number.

**Departure.** `rmatmul` returns prod_i c_i^x_ij, from which anybody who knows the c_i can find
small x by trial. `encrypt(v, onto=c)` multiplies such a product by h_s^r with r longer than n:
that makes it as random as an encryption made for it, for the key holder as well.

**What timing shows.** The products in `rmatmul` depend on the shape of X and on the bit length of
its largest quantised entry, in encryption on public sizes only. Table rows are read at addresses
that depend on X or r: not for machines whose caches are shared with an adversary.

body: uint64 (count, limbs), the integers modulo n^2 in little-endian limbs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import CryptoError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import FixedPoint, require_below
from vfl_crypto.linear import Ciphertext, Matrix, SchemeInfo
from vfl_crypto.paillier.keys import DEFAULT_KEY_BITS, PublicKey, check_key_bits
from vfl_crypto.paillier.limbs import from_limbs, to_limbs
from vfl_crypto.paillier.private import PrivateKey
from vfl_crypto.paillier.products import Products
from vfl_crypto.release import Decrypted, Door, Releasing

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAINTEXT_BITS = 512
MAX_SCALE_BITS = 256
OPENINGS_PER_KEY = 1 << 20
DEFAULT_WINDOW = 8
DATA = FixedPoint(integer_bits=24, fraction_bits=30)
PLAIN = FixedPoint(integer_bits=10, fraction_bits=16)


def encode_integers(values: NDArray[np.float64], scale_bits: int) -> list[int]:
    """round(v 2^scale_bits) as exact integers. Raises `EncodingOverflowError` from 2^512 on."""
    values = require_below(values, PLAINTEXT_BITS - 1 - scale_bits)
    return [int(v) for v in np.rint(np.ldexp(values, scale_bits))]


def decode_integers(integers: list[int], scale_bits: int) -> NDArray[np.float64]:
    """The reals nearest to m 2^-scale_bits. Raises `CryptoError` outside the declared range."""
    if any(abs(m) >> PLAINTEXT_BITS for m in integers):
        raise CryptoError(
            f"a decryption is not below 2^{PLAINTEXT_BITS}: wrong key, damaged bytes, or overflow"
        )
    return np.ldexp(np.array([float(m) for m in integers], dtype=np.float64), -scale_bits)


def check_body(ciphertext: Ciphertext, scheme: str, key: PublicKey) -> NDArray[np.uint64]:
    """The rows of a well-formed ciphertext of this key.

    Raises `KeyMismatchError` for another scheme or key, `WireError` for another dtype, shape or
    scale, or a row outside (0, n^2).
    """
    if ciphertext.scheme != scheme or ciphertext.key_id != key.key_id:
        raise KeyMismatchError(
            f"a {ciphertext.scheme} ciphertext under key {ciphertext.key_id} does not belong to "
            f"{scheme} key {key.key_id}; send the current public key"
        )
    body = ciphertext.body
    if body.dtype != np.uint64 or body.shape != (ciphertext.count, key.limbs):
        raise WireError(
            f"a ciphertext of {ciphertext.count} values is uint64 {(ciphertext.count, key.limbs)}, "
            f"not {body.dtype} {body.shape}"
        )
    if not 0 <= ciphertext.scale_bits <= MAX_SCALE_BITS:
        raise WireError(f"a scale of 2^{ciphertext.scale_bits} is not possible here")
    rows = np.ascontiguousarray(body, dtype=np.uint64)
    square = key.n**2
    if not all(0 < c < square for c in from_limbs(rows)):
        raise WireError("a ciphertext is not between 0 and n^2: damaged or forged")
    return rows


class PaillierEncryptor:
    """The public-key face; see `linear.Encryptor`."""

    def __init__(
        self, key: PublicKey, data: FixedPoint, plain: FixedPoint, threads: int, window: int
    ) -> None:
        self._key = key
        self._data = data
        self._plain = plain
        self._products = Products(key, threads, window)

    @property
    def info(self) -> SchemeInfo:
        key = self._key
        return SchemeInfo("paillier", f"n: {key.bits} bit", key.security_bits, key.key_id)

    @property
    def key(self) -> PublicKey:
        return self._key

    def encrypt(self, values: NDArray[np.float64], onto: Ciphertext | None = None) -> Ciphertext:
        """See `linear.Encryptor.encrypt`."""
        values = _vector(values)
        if onto is None:
            factors = self._factors(self._data.encode(values).tolist())
            return self._wrap(
                self._products.blind(factors), self._data.fraction_bits, "rows", fresh=True
            )
        body = self._rows(onto)
        if onto.count != len(values):
            raise KeyMismatchError(f"{len(values)} values onto a ciphertext of {onto.count}")
        factors = self._factors(encode_integers(values, onto.scale_bits))
        # A sum of encryptions holds nothing of ours but the plaintext; a product holds the matrix.
        blind = self._products.blind_fully if onto.layout == "sums" else self._products.blind
        blinded = blind(self._products.multiply(body, factors))
        return self._wrap(blinded, onto.scale_bits, onto.layout, fresh=True)

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor.add`."""
        rows = self._rows(left), self._rows(right)
        if (left.count, left.scale_bits) != (right.count, right.scale_bits):
            raise KeyMismatchError(
                f"cannot add {left.count} values at scale 2^{left.scale_bits} and "
                f"{right.count} at scale 2^{right.scale_bits}"
            )
        return self._wrap(self._products.multiply(*rows), left.scale_bits, left.layout)

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor.rmatmul`; exact for the quantised matrix."""
        body = self._rows(ciphertext)
        plain = np.asarray(plain, dtype=np.float64)
        if plain.ndim != 2 or plain.shape[0] != ciphertext.count:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} does not fit {ciphertext.count} values"
            )
        integers = np.ascontiguousarray(self._plain.encode(plain, "an entry of the matrix"))
        scale_bits = ciphertext.scale_bits + self._plain.fraction_bits
        return self._wrap(self._products.columns(body, integers), scale_bits, "sums")

    def _factors(self, integers: list[int]) -> NDArray[np.uint64]:
        """1 + m n modulo n^2: the encryptions without randomness."""
        n = self._key.n
        return to_limbs((1 + m % n * n for m in integers), self._key.limbs)

    def _rows(self, ciphertext: Ciphertext) -> NDArray[np.uint64]:
        return check_body(ciphertext, "paillier", self._key)

    def _wrap(
        self, body: NDArray[np.uint64], scale_bits: int, layout: str, *, fresh: bool = False
    ) -> Ciphertext:
        key_id = self._key.key_id
        return Ciphertext("paillier", key_id, scale_bits, len(body), body, layout, fresh)


class PaillierKeyHolder(Releasing):
    """The secret-key face; see `linear.KeyHolder`. Never pickled, never printed."""

    def __init__(self, key: PrivateKey, encryptor: PaillierEncryptor, threads: int) -> None:
        self._private: PrivateKey | None = key
        self._encryptor = encryptor
        self._threads = threads
        self._door = Door(OPENINGS_PER_KEY)

    @property
    def encryptor(self) -> PaillierEncryptor:
        return self._encryptor

    @property
    def public_key(self) -> bytes:
        return self._encryptor.key.to_bytes()

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        """See `linear.KeyHolder.decrypt`; exact, so nothing is flooded.

        Raises `KeyMismatchError` or `WireError` for a ciphertext that is not this key's, and
        `CryptoError` for a plaintext outside the declared range or after `close`.
        """
        if self._private is None:
            raise CryptoError("this key holder is closed; generate a new key")
        rows = check_body(ciphertext, "paillier", self._encryptor.key)
        integers = self._private.decrypt(rows, self._threads)
        return Decrypted(decode_integers(integers, ciphertext.scale_bits))

    def close(self) -> None:
        self._private = None

    def __repr__(self) -> str:
        return f"<Paillier key holder {self._encryptor.key.key_id}>"


class PaillierScheme:
    """Paillier with its parameters; see `linear.LinearScheme`.

    key_bits   length of n: 3072 for 128-bit security, at least 2048 (112)
    data       fixed point of encrypted vectors
    plain      fixed point of matrices; fewer bits make `rmatmul` faster
    threads    for one call of a kernel; by default one a processor
    window     bits of the table of powers of h_s: more is faster and doubles memory with each bit
    """

    name = "paillier"

    def __init__(
        self,
        key_bits: int = DEFAULT_KEY_BITS,
        data: FixedPoint = DATA,
        plain: FixedPoint = PLAIN,
        threads: int | None = None,
        window: int = DEFAULT_WINDOW,
    ) -> None:
        check_key_bits(key_bits)
        self._key_bits = key_bits
        self._data = data
        self._plain = plain
        self._threads = threads or os.cpu_count() or 1
        self._window = window

    def generate(self) -> PaillierKeyHolder:
        """See `linear.LinearScheme.generate`."""
        return self.holder(PrivateKey.generate(self._key_bits))

    def holder(self, key: PrivateKey) -> PaillierKeyHolder:
        """The secret-key face of a key made elsewhere."""
        return PaillierKeyHolder(key, self._encryptor(key.public), self._threads)

    def encryptor(self, public_key: bytes) -> PaillierEncryptor:
        """See `linear.LinearScheme.encryptor`."""
        return self._encryptor(PublicKey.from_bytes(public_key))

    def _encryptor(self, key: PublicKey) -> PaillierEncryptor:
        return PaillierEncryptor(key, self._data, self._plain, self._threads, self._window)


def _vector(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise KeyMismatchError(f"values are one vector (n,), not an array of shape {values.shape}")
    return values
