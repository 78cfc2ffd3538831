"""`CkksScheme`: CKKS slots behind `LinearScheme`.

X^T d needs no rotation here: X multiplies [[d]] slot by slot and the key holder adds the slots
(`layout`), so a public key is 0.17 MB, not the tens of
megabytes of switching keys.

**Departure.** `encrypt(v, onto=sums)` adds an encryption under the public key made for this
ciphertext alone, which hides X in c1. Of c0 only the wanted sums exist at all; the other inner
products of X and d are gone without a mask. The wanted sums receive v and Gaussian noise as wide as
the key holder's flood, over which the noise of the product (a linear map of X) cannot be seen; sums
that carry no feature receive a uniform draw 2^35 times their noise or more.

**Opening.** `decrypt` tells the door how much to flood (`formats`). With 2^14 openings a key and 30
statistical bits, a sum over 4096 rows is opened to a deviation of 0.06, departure included. A key
that has opened that many values is to be replaced by the caller.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vfl_crypto import _native
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.encoding import decode
from vfl_crypto.ckks.encryption import phase
from vfl_crypto.ckks.encryptor import SUMS_LEVEL, CkksEncryptor
from vfl_crypto.ckks.fold import unfold
from vfl_crypto.ckks.formats import Formats
from vfl_crypto.ckks.keys import SEED_BYTES, PublicKey, SecretKey
from vfl_crypto.ckks.layout import Layout, class_values
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.errors import CryptoError, KeyMismatchError, WireError
from vfl_crypto.release import Decrypted, Door, Releasing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.linear import Ciphertext


class CkksPublic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ckks-public-3"):
    """A public key on the wire: formats, the seed of a, and b bit-packed."""

    formats: Formats
    seed: bytes
    b: bytes


class CkksKeyHolder(Releasing):
    """The secret-key face; see `linear.KeyHolder`. Never pickled, never printed."""

    def __init__(self, formats: Formats, arithmetic: Arithmetic) -> None:
        self._formats = formats
        self._secret: SecretKey | None = SecretKey(arithmetic)
        public = self._secret.publish()
        b = _packer(arithmetic).pack(np.ascontiguousarray(public.words[0])).tobytes()
        assert public.seed is not None
        self._public_key = msgspec.msgpack.encode(CkksPublic(formats, public.seed.tobytes(), b))
        key_id = _digest(self._public_key)
        self._encryptor = CkksEncryptor(formats, public, key_id, self._secret)
        self._door = Door(formats.openings)

    def __repr__(self) -> str:
        return f"<CKKS secret key {self._encryptor.info.key_id[:8]}, {self.openings_left} left>"

    @property
    def encryptor(self) -> CkksEncryptor:
        """Encrypts under the secret key: half the bytes, a sixth of the noise."""
        return self._encryptor

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        """Values (count,), sealed, with the flood they need. Raises as `CkksEncryptor.rows`."""
        secret, formats = self._require_secret(), self._formats
        layout = self._encryptor.layout(ciphertext)
        if ciphertext.layout == "rows":
            words = phase(secret, self._encryptor.rows(ciphertext, layout))
            slots = decode(secret.arithmetic, words, 2.0**ciphertext.scale_bits).real
            flood = formats.flood(formats.rows_deviation(layout.padded_blocks))
            return Decrypted(layout.gather(slots), flood)
        means = self._means(*self._encryptor.sums(ciphertext, layout), layout)
        flood = formats.flood(formats.sums_deviation(layout.classes, layout.total))
        return Decrypted(means.reshape(-1)[: ciphertext.count] * layout.total, flood)

    def close(self) -> None:
        """Drop the secret key."""
        self._secret = None
        self._encryptor.forget()

    def _means(
        self, c1: NDArray[np.uint64], folds: NDArray[np.uint64], layout: Layout
    ) -> NDArray[np.float64]:
        """c1 (ciphertexts, 2, N) and folds of c0 -> (ciphertexts, 2n') means, noise included.

        The coefficients outside the fold come out as nonsense of full size and are dropped.
        """
        secret, n = self._require_secret(), self._formats.n
        arithmetic = secret.arithmetic
        words = phase(secret, np.stack((unfold(folds, n), c1), axis=1))
        coefficients = arithmetic.ring(SUMS_LEVEL).inverse(words, arithmetic.threads)
        numbers = arithmetic.chain.compose(coefficients, arithmetic.threads)
        wanted = numbers[:, :: n // (2 * layout.classes)]
        return class_values(np.ldexp(wanted, -self._formats.mean_bits))

    def _require_secret(self) -> SecretKey:
        if self._secret is None:
            raise CryptoError("this secret key was closed; generate a new one")
        return self._secret


class CkksScheme:
    """CKKS with the given formats; both sides of a key need the same ones.

    Raises `EncodingOverflowError` for formats whose primes leave results no room.

    threads   for one call of a kernel; by default one a processor
    """

    name = "ckks"

    def __init__(self, formats: Formats | None = None, threads: int | None = None) -> None:
        self._formats = formats or Formats()
        parameters = Parameters.of_bits(self._formats.n, self._formats.prime_bits)
        self._formats.require_room(parameters.modulus(SUMS_LEVEL))
        self._arithmetic = Arithmetic(parameters, threads or os.cpu_count() or 1)

    def generate(self) -> CkksKeyHolder:
        """A new key pair from the operating system's randomness."""
        return CkksKeyHolder(self._formats, self._arithmetic)

    def encryptor(self, public_key: bytes) -> CkksEncryptor:
        """Read a public key.

        Raises `InsecureParametersError` below the floor, `KeyMismatchError` for other formats than
        this scheme's, `WireError` for malformed bytes.
        """
        try:
            public = msgspec.msgpack.decode(public_key, type=CkksPublic)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"not a CKKS public key: {error}") from error
        if public.formats != self._formats:
            raise KeyMismatchError(
                "the public key was made with other CKKS formats; both sides must agree on them"
            )
        if len(public.seed) != SEED_BYTES:
            raise WireError(f"a CKKS public key has a seed of {SEED_BYTES} bytes")
        packed = np.frombuffer(public.b, dtype=np.uint8)
        try:
            b = _packer(self._arithmetic).unpack(packed, self._formats.n)
        except ValueError as error:
            raise WireError(f"damaged CKKS public key: {error}") from error
        seed = np.frombuffer(public.seed, dtype=np.uint8)
        a = self._arithmetic.uniform(seed[None], len(self._arithmetic.parameters.primes))[0]
        key = PublicKey(self._arithmetic, np.stack((b, a)), seed)
        return CkksEncryptor(self._formats, key, _digest(public_key))


def _packer(arithmetic: Arithmetic) -> _native.Rns:
    return _native.Rns(arithmetic.parameters.primes)


def _digest(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()
