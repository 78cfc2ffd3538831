"""Plaintext float64 behind `LinearScheme`. PROTECTS NOTHING: for tests, plans and comparisons.

It keeps every rule that a real cipher keeps: keys must match, `fresh` marks what may leave, values
come out through the door alone, rounded and counted. So a protocol that runs on the mock runs on a
cipher, and the difference between the two runs is the cipher's.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto.errors import CryptoError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import require_below
from vfl_crypto.linear import Ciphertext, Matrix, SchemeInfo
from vfl_crypto.release import Decrypted, Door, Releasing
from vfl_crypto.sharing import masked_layout, modulus_bits, rounded_at_random, words_layout
from vfl_crypto.words import IntegerMatrix, Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PREFIX: Final = b"mock-public-1:"
_ID_BYTES: Final = 32
_RANGE_BITS: Final = 1000  # any finite value of a sane size


class MockEncryptor:
    """See `linear.Encryptor`. The body of a ciphertext is the values themselves."""

    def __init__(self, key_id: str) -> None:
        self._key_id = key_id

    @property
    def info(self) -> SchemeInfo:
        return SchemeInfo("mock", "plaintext: protects nothing", 0, self._key_id)

    def encrypt(self, values: NDArray[np.float64], onto: Ciphertext | None = None) -> Ciphertext:
        body = require_below(values, _RANGE_BITS)
        if body.ndim != 1:
            raise KeyMismatchError(f"encrypt takes one dimension; got shape {body.shape}")
        if onto is None:
            return self._ciphertext(body.copy(), "rows", fresh=True)
        held = self.check(onto)
        if onto.count != len(body):
            raise KeyMismatchError(f"{len(body)} values onto a ciphertext of {onto.count}")
        return self._ciphertext(held + body, onto.layout, fresh=True)

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        first, second = self.check(left), self.check(right)
        if (left.count, left.layout) != (right.count, right.layout):
            raise KeyMismatchError(
                f"cannot add {left.count} {left.layout} and {right.count} {right.layout}"
            )
        return self._ciphertext(first + second, left.layout, fresh=False)

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        held = self.check(ciphertext)
        plain = require_below(np.asarray(plain), _RANGE_BITS, "an entry of the matrix")
        if ciphertext.layout != "rows" or plain.ndim != 2 or len(plain) != ciphertext.count:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} does not fit "
                f"{ciphertext.count} {ciphertext.layout}"
            )
        return self._ciphertext(plain.T @ held, "sums", fresh=False)

    def multiply(self, plain: IntegerMatrix, ciphertext: Ciphertext) -> tuple[Ciphertext, Words]:
        """See `sharing.ShareEvaluator`; the shares are exact."""
        mask = Words.uniform(plain.shape[0], modulus_bits(ciphertext, "words"))
        masked = plain @ self.words(ciphertext, "words") + mask
        return self.wrap(masked, masked_layout(mask.bits)), -mask

    def words(self, ciphertext: Ciphertext, kind: str) -> Words:
        """The integers of a ciphertext "words-B" or "masked-B". Raises `KeyMismatchError`."""
        bits = modulus_bits(ciphertext, kind)
        if ciphertext.scheme != "mock" or ciphertext.key_id != self._key_id:
            raise KeyMismatchError("the ciphertext belongs to another key; use the current one")
        if len(ciphertext.body) != ciphertext.count:
            raise KeyMismatchError("not a ciphertext of the mock: its shape is another")
        return Words(np.asarray(ciphertext.body), bits)

    def wrap(self, words: Words, layout: str) -> Ciphertext:
        return Ciphertext("mock", self._key_id, 0, len(words), words.limbs, layout, fresh=True)

    def check(self, ciphertext: Ciphertext) -> NDArray[np.float64]:
        """The values. Raises `KeyMismatchError` for another key, scale, dtype or shape."""
        body = ciphertext.body
        if ciphertext.scheme != "mock" or ciphertext.key_id != self._key_id:
            raise KeyMismatchError("the ciphertext belongs to another key; use the current one")
        if (
            ciphertext.scale_bits != 0
            or ciphertext.layout not in ("rows", "sums")
            or body.dtype != np.float64
            or body.shape != (ciphertext.count,)
        ):
            raise KeyMismatchError("not a ciphertext of the mock: its scale or shape is another")
        return body.astype(np.float64)

    def _ciphertext(self, body: NDArray[np.generic], layout: str, *, fresh: bool) -> Ciphertext:
        return Ciphertext("mock", self._key_id, 0, len(body), body, layout, fresh)


class MockKeyHolder(Releasing):
    """See `linear.KeyHolder`."""

    def __init__(self, openings: int) -> None:
        self._encryptor = MockEncryptor(secrets.token_hex(_ID_BYTES))
        self._door = Door(openings)
        self._open = True

    @property
    def encryptor(self) -> MockEncryptor:
        return self._encryptor

    @property
    def public_key(self) -> bytes:
        return _PREFIX + self._encryptor.info.key_id.encode()

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        values = self._encryptor.check(ciphertext)
        self._require_open()
        return Decrypted(values)

    @property
    def evaluator(self) -> MockEncryptor:
        return self._encryptor

    def encrypt_words(self, words: Words) -> Ciphertext:
        """See `sharing.ShareHolder`."""
        self._require_open()
        return self._encryptor.wrap(words, words_layout(words.bits))

    def share(self, masked: Ciphertext) -> Words:
        """See `sharing.ShareHolder`."""
        self._require_open()
        return self._encryptor.words(masked, "masked")

    def open_share(self, share: Words, dropped_bits: int) -> Words:
        """See `sharing.ShareHolder`."""
        opened = rounded_at_random(share, dropped_bits)
        self._door.count(len(share))
        return opened

    def close(self) -> None:
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise CryptoError("this key was closed; generate a new one")


class MockScheme:
    """No cipher at all. `openings` is the door's budget per key."""

    name = "mock"
    protects = False

    def __init__(self, openings: int = 1 << 16) -> None:
        self._openings = openings

    def generate(self) -> MockKeyHolder:
        return MockKeyHolder(self._openings)

    def share_holder(self) -> MockKeyHolder:
        """See `sharing.SharingScheme`."""
        return self.generate()

    def evaluator(self, public_key: bytes) -> MockEncryptor:
        """See `sharing.SharingScheme`."""
        return self.encryptor(public_key)

    def encryptor(self, public_key: bytes) -> MockEncryptor:
        """Raises `WireError` for bytes that are no public key of the mock."""
        key_id = public_key.removeprefix(_PREFIX)
        if len(public_key) != len(_PREFIX) + 2 * _ID_BYTES or key_id.strip(b"0123456789abcdef"):
            raise WireError("not a public key of the mock")
        return MockEncryptor(key_id.decode())
