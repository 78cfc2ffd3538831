"""CKKS slots through TenSEAL's binding of SEAL, behind `LinearScheme`: a second cipher.

X^T d needs no rotation here: X multiplies [[d]] slot by slot and the key holder adds the slots
(`ckks_slots`), so a public key is 0.4 MB, not the 33 MB of switching keys. What travels:

    layout "rows"   uint64 (blocks, 4, N): c0 and c1, each modulo q0 and q1
    layout "sums"   uint64 (ciphertexts, N + 2n'): c1 modulo q0, then the 2n' folded words of c0

**Departure.** `encrypt(v, onto=sums)` adds an encryption under the public key made for this
ciphertext alone, which hides X in c1. Of c0 only the wanted sums exist at all; the other inner
products of X and d are gone without a mask. The wanted sums receive v and Gaussian noise as wide as
the key holder's flood, over which the noise of the product (a linear map of X) cannot be seen; sums
that carry no feature receive a uniform draw 2^40 times their noise.

**Opening.** `decrypt` tells the door how much to flood (`ckks_noise`). With 2^16 openings a key and
30 statistical bits, a sum over 4096 rows is opened to a deviation of 0.05, departure included. A
key that has opened that many values is to be replaced by the caller.

**Foreign bytes.** Every word that comes from outside is checked here and framed anew before SEAL
loads it (`seal_bytes`).
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vfl_crypto.errors import CryptoError, KeyMismatchError, WireError
from vfl_crypto.oracles.ckks_encryptor import CkksEncryptor
from vfl_crypto.oracles.ckks_noise import CkksParameters
from vfl_crypto.oracles.ckks_slots import class_values
from vfl_crypto.oracles.residues import fold, unfold, wanted_coefficients
from vfl_crypto.oracles.seal_bytes import require_words
from vfl_crypto.oracles.seal_ring import Ring, seal
from vfl_crypto.release import Decrypted, Door, Releasing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl_crypto.linear import Ciphertext


class CkksPublic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ckks-public-1"):
    """A public key on the wire: parameters, primes, raw words (2, primes, N), little-endian."""

    parameters: CkksParameters
    primes: tuple[int, int, int]
    words: bytes


class CkksKeyHolder(Releasing):
    """The secret-key face; see `linear.KeyHolder`. Never pickled, never printed."""

    def __init__(self, ring: Ring) -> None:
        generator = seal.KeyGenerator(ring.context)
        key = seal.PublicKey()
        generator.create_public_key(key)
        words = ring.words(key.data()).astype("<u8").tobytes()
        self._public_key = msgspec.msgpack.encode(CkksPublic(ring.parameters, ring.primes, words))
        self._encryptor = CkksEncryptor(ring, key, key_digest(self._public_key))
        self._ring = ring
        self._decryptor: Any = seal.Decryptor(ring.context, generator.secret_key())
        self._door = Door(ring.parameters.openings)

    def __repr__(self) -> str:
        return f"<CKKS secret key {self._encryptor.info.key_id[:8]}, {self.openings_left} left>"

    @property
    def encryptor(self) -> CkksEncryptor:
        return self._encryptor

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        """Values (count,), sealed, with the flood they need. Raises as `CkksEncryptor.check`."""
        layout = self._encryptor.check(ciphertext)
        p = self._ring.parameters
        body = ciphertext.body.astype(np.uint64)
        if ciphertext.layout == "rows":
            blocks = [self._slots(words) for words in body.reshape(-1, 2, 2, p.n)]
            return Decrypted(layout.gather(np.stack(blocks)), p.flood(p.rows_deviation()))
        means = np.concatenate([self._means(row) for row in body])[: ciphertext.count]
        flood = p.flood(p.sums_deviation(layout.classes, layout.total))
        return Decrypted(means * layout.total, flood)

    def close(self) -> None:
        """Drop the secret key; SEAL clears its memory."""
        self._decryptor = None

    def _slots(self, words: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Slots (N/2,) of encrypted rows (2, 2, N), noise included."""
        scale_bits = self._ring.parameters.row_bits
        plain = self._decrypted(words, self._ring.rows_level, scale_bits)
        return np.array(self._ring.encoder.decode_complex(plain)).real

    def _means(self, row: NDArray[np.uint64]) -> NDArray[np.float64]:
        """(N + 2n',) words of a result -> (2n',) means, noise included.

        The coefficients outside the fold come out as nonsense of full size. They are dropped
        exactly, modulo q0, before anything becomes a float.
        """
        n, mean_bits = self._ring.parameters.n, self._ring.parameters.mean_bits
        words = np.stack((unfold(row[n:], n), row[:n]))[:, None]
        plain = self._ring.plain_words(self._decrypted(words, self._ring.sums_level, mean_bits))
        q0 = self._ring.primes[0]
        wanted = wanted_coefficients(fold(plain, len(row) - n, q0), n, q0, self._ring.root)
        return class_values(np.ldexp(wanted, -mean_bits))

    def _decrypted(self, words: NDArray[np.uint64], level: Sequence[int], scale_bits: int) -> Any:
        if self._decryptor is None:
            raise CryptoError("this secret key was closed; generate a new one")
        plain = seal.Plaintext()
        loaded = self._ring.ciphertext(words, level, math.ldexp(1.0, scale_bits))
        self._decryptor.decrypt(loaded, plain)
        return plain


class CkksScheme:
    """CKKS with the given parameters; both sides of a key need the same ones."""

    name = "ckks"

    def __init__(self, parameters: CkksParameters | None = None) -> None:
        self._ring = Ring(parameters or CkksParameters())

    def generate(self) -> CkksKeyHolder:
        """A new key pair from the operating system's randomness."""
        return CkksKeyHolder(self._ring)

    def encryptor(self, public_key: bytes) -> CkksEncryptor:
        """Read a public key.

        Raises `InsecureParametersError` below the floor, `KeyMismatchError` for other parameters
        than this scheme's, `WireError` for malformed bytes.
        """
        try:
            public = msgspec.msgpack.decode(public_key, type=CkksPublic)
        except msgspec.DecodeError as error:
            raise WireError(f"not a CKKS public key: {error}") from error
        ring = self._ring
        if (public.parameters, public.primes) != (ring.parameters, ring.primes):
            raise KeyMismatchError(
                "the public key was made with other CKKS parameters; both sides must agree on them"
            )
        shape = (2, len(ring.primes), ring.parameters.n)
        if len(public.words) != math.prod(shape) * 8:
            raise WireError(f"a CKKS public key has {math.prod(shape) * 8} bytes of words")
        words = np.frombuffer(public.words, dtype="<u8").astype(np.uint64).reshape(shape)
        require_words(words, shape, ring.primes, "a public key")
        if not words.any(axis=2).all():
            raise WireError("a public key without randomness: damaged or forged")
        key = ring.public_key(words)
        return CkksEncryptor(ring, key, key_digest(public_key))


def key_digest(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()
