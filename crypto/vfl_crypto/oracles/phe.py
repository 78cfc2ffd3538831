"""The phe library as a second opinion: a slow `LinearScheme`, keys and ciphertexts both ways.

phe is GPL-3, so nothing but tests and benchmarks imports this module. Two differences are bridged:

- phe has no h_s; its keys blind with r^n. A private key taken from phe gets an h_s where its primes
  admit one (`paillier.keys.admits_h_s`).
- phe stores m 16^e with an exponent e in the clear that follows the magnitude of the number.
  `from_phe` brings all numbers to one exponent, `to_phe` writes one exponent for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vfl_crypto.errors import CryptoError, KeyMismatchError
from vfl_crypto.linear import Ciphertext, SchemeInfo
from vfl_crypto.paillier.bodies import check_body, decode_integers, encode_integers
from vfl_crypto.paillier.keys import DEFAULT_KEY_BITS, PublicKey, check_key_bits
from vfl_crypto.paillier.limbs import from_limbs, to_limbs
from vfl_crypto.paillier.private import PrivateKey
from vfl_crypto.paillier.scheme import DATA, OPENINGS_PER_KEY, PLAIN
from vfl_crypto.release import Decrypted, Door, Releasing

try:
    import phe
    from phe import util
except ImportError as error:
    raise ImportError(
        "the phe oracle needs the optional package phe; install vfl[oracle]"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vfl_crypto.fixedpoint import FixedPoint


def uses_gmp() -> bool:
    """Whether phe computes with gmpy2; without it, it is several times slower."""
    return bool(util.HAVE_GMP)


def to_phe_public(key: PublicKey) -> Any:
    """The public key of the same n in phe."""
    return phe.PaillierPublicKey(key.n)


def to_phe_private(key: PrivateKey) -> Any:
    """The private key of the same primes in phe."""
    return phe.PaillierPrivateKey(to_phe_public(key.public), *key.primes)


def from_phe_public(key: Any) -> PublicKey:
    """Our public key of the same n, without h_s. Raises as `PublicKey`."""
    return PublicKey(int(key.n), None)


def from_phe_private(key: Any) -> PrivateKey:
    """Our private key of the same primes: classic, because phe encrypts with r^n."""
    return PrivateKey(int(key.p), int(key.q), classic=True)


def to_phe(ciphertext: Ciphertext, key: PublicKey) -> list[Any]:
    """A ciphertext under `key` as phe numbers, all at the exponent -ceil(s / 4).

    Raises as `paillier.bodies.check_body`.
    """
    public = to_phe_public(key)
    digits = -(-ciphertext.scale_bits // 4)
    padding = 1 << (4 * digits - ciphertext.scale_bits)
    return [
        phe.EncryptedNumber(public, pow(c, padding, key.n**2), -digits)
        for c in from_limbs(check_body(ciphertext, "paillier", key))
    ]


def from_phe(numbers: Sequence[Any], key: PublicKey, scale_bits: int) -> Ciphertext:
    """A ciphertext under `key` at one scale (a multiple of four bits), newly blinded by phe.

    Raises `KeyMismatchError` for another n, for a number with more digits than the scale holds, and
    for a key that is not classic: products of what phe blinded would show their matrix.
    """
    if key.h_s is not None:
        raise KeyMismatchError(
            "phe encrypts with r^n, and this key is for h_s^r; use a classic key, as "
            "from_phe_private makes and PaillierScheme(classic=True) generates"
        )
    rows = []
    for number in numbers:
        if number.public_key.n != key.n:
            raise KeyMismatchError("a phe number under another key")
        if scale_bits % 4 or number.exponent < -scale_bits // 4:
            raise KeyMismatchError(
                f"a phe number with the exponent 16^{number.exponent} does not fit the scale "
                f"2^{scale_bits}; choose a multiple of four of at least {-4 * number.exponent} bits"
            )
        aligned = number.decrease_exponent_to(-scale_bits // 4)
        aligned.obfuscate()
        rows.append(int(aligned.ciphertext()))
    return Ciphertext("paillier", key.key_id, scale_bits, len(rows), to_limbs(rows, key.limbs))


class PheEncryptor:
    """The public-key face on phe; see `linear.Encryptor`."""

    def __init__(self, key: PublicKey, data: FixedPoint, plain: FixedPoint) -> None:
        self.key = key
        self._public = to_phe_public(key)
        self._data = data
        self._plain = plain

    @property
    def info(self) -> SchemeInfo:
        key = self.key
        return SchemeInfo("phe", f"n: {key.bits} bit", key.security_bits, key.key_id)

    def encrypt(self, values: NDArray[np.float64], onto: Ciphertext | None = None) -> Ciphertext:
        """See `linear.Encryptor.encrypt`."""
        if onto is None:
            numbers = [self._encrypt(m) for m in self._data.encode(values).tolist()]
            return self._wrap(numbers, self._data.fraction_bits, "rows", fresh=True)
        if onto.count != len(values):
            raise KeyMismatchError(f"{len(values)} values onto a ciphertext of {onto.count}")
        integers = encode_integers(values, onto.scale_bits)
        numbers = [c + self._encrypt(m) for c, m in zip(self._numbers(onto), integers, strict=True)]
        return self._wrap(numbers, onto.scale_bits, onto.layout, fresh=True)

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor.add`."""
        if (left.count, left.scale_bits) != (right.count, right.scale_bits):
            raise KeyMismatchError("cannot add ciphertexts of different length or scale")
        pairs = zip(self._numbers(left), self._numbers(right), strict=True)
        return self._wrap([a + b for a, b in pairs], left.scale_bits, left.layout)

    def rmatmul(self, plain: NDArray[np.float64], ciphertext: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor.rmatmul`."""
        if plain.ndim != 2 or plain.shape[0] != ciphertext.count:
            raise KeyMismatchError(f"a matrix of shape {plain.shape} for {ciphertext.count} values")
        numbers = self._numbers(ciphertext)
        zero = phe.EncryptedNumber(self._public, 1)
        sums = [
            sum((c * x for c, x in zip(numbers, column, strict=True)), zero)
            for column in self._plain.encode(plain).T.tolist()
        ]
        return self._wrap(sums, ciphertext.scale_bits + self._plain.fraction_bits, "sums")

    def _encrypt(self, integer: int) -> Any:
        n = self.key.n
        return phe.EncryptedNumber(self._public, self._public.raw_encrypt(integer % n))

    def _numbers(self, ciphertext: Ciphertext) -> list[Any]:
        rows = from_limbs(check_body(ciphertext, "phe", self.key))
        return [phe.EncryptedNumber(self._public, c) for c in rows]

    def _wrap(
        self, numbers: list[Any], scale_bits: int, layout: str, *, fresh: bool = False
    ) -> Ciphertext:
        rows = (int(number.ciphertext(be_secure=False)) for number in numbers)
        body = to_limbs(rows, self.key.limbs)
        return Ciphertext("phe", self.key.key_id, scale_bits, len(body), body, layout, fresh)


class PheKeyHolder(Releasing):
    """The secret-key face on phe; see `linear.KeyHolder`."""

    def __init__(self, private: Any, encryptor: PheEncryptor) -> None:
        self._private = private
        self._encryptor = encryptor
        self._door = Door(OPENINGS_PER_KEY)

    @property
    def encryptor(self) -> PheEncryptor:
        return self._encryptor

    @property
    def public_key(self) -> bytes:
        return self._encryptor.key.to_bytes()

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        """See `linear.KeyHolder.decrypt`."""
        if self._private is None:
            raise CryptoError("this key holder is closed; generate a new key")
        key = self._encryptor.key
        integers = []
        for c in from_limbs(check_body(ciphertext, "phe", key)):
            m = int(self._private.raw_decrypt(c))
            integers.append(m - key.n if m > key.n // 2 else m)
        return Decrypted(decode_integers(integers, ciphertext.scale_bits))

    def close(self) -> None:
        self._private = None

    def __repr__(self) -> str:
        return f"<phe key holder {self._encryptor.key.key_id}>"


class PheScheme:
    """phe behind `linear.LinearScheme`, with the fixed point of `PaillierScheme`."""

    name = "phe"

    def __init__(
        self, key_bits: int = DEFAULT_KEY_BITS, data: FixedPoint = DATA, plain: FixedPoint = PLAIN
    ) -> None:
        check_key_bits(key_bits)
        self._key_bits = key_bits
        self._data = data
        self._plain = plain

    def generate(self) -> PheKeyHolder:
        """See `linear.LinearScheme.generate`."""
        return self.holder(phe.generate_paillier_keypair(n_length=self._key_bits)[1])

    def holder(self, private: Any) -> PheKeyHolder:
        """The secret-key face of a phe private key."""
        key = from_phe_public(private.public_key)
        return PheKeyHolder(private, PheEncryptor(key, self._data, self._plain))

    def encryptor(self, public_key: bytes) -> PheEncryptor:
        """See `linear.LinearScheme.encryptor`; an h_s in the key is not used."""
        return PheEncryptor(PublicKey.from_bytes(public_key), self._data, self._plain)
