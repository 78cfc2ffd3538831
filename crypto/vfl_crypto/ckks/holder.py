"""The secret-key face of encrypted vectors: encrypts at half the bytes, opens through the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl_crypto.ckks import noise
from vfl_crypto.ckks.encoding import as_batch, cut, decode, encode
from vfl_crypto.ckks.encryption import encrypt_seeded, phase
from vfl_crypto.ckks.evaluator import Evaluator
from vfl_crypto.ckks.vectors import Vectors
from vfl_crypto.errors import CryptoError
from vfl_crypto.release import Decrypted, Door, Releasing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from vfl_crypto.ckks.keys import PublicKey, RelinearisationKey, SecretKey


class Holder(Releasing):
    """Owns a secret key. Never pickled, never printed.

    A value is released with noise under which its error, which depends on the key, cannot be seen
    in `openings` values together, up to 2^-statistical_bits (see `noise`).
    """

    def __init__(
        self,
        secret: SecretKey,
        public: PublicKey | None = None,
        relinearisation: RelinearisationKey | None = None,
        openings: int = noise.OPENINGS,
        statistical_bits: int = noise.STATISTICAL_BITS,
    ) -> None:
        noise.require_flood(openings, statistical_bits)
        self._secret: SecretKey | None = secret
        self._statistical_bits = statistical_bits
        self._door = Door(openings)
        self.evaluator = Evaluator(
            public or secret.publish(), relinearisation or secret.relinearisation()
        )

    def __repr__(self) -> str:
        key_id = self.evaluator.public.key_id
        return f"<CKKS secret key {key_id[:8]}, {self.openings_left} left>"

    def encrypt(self, values: ArrayLike, scale: float, bound: float | None = None) -> Vectors:
        """As `Evaluator.encrypt`, with less noise; c1 travels as a seed."""
        secret, public = self._require_secret(), self.evaluator.public
        arithmetic, p = public.arithmetic, public.arithmetic.parameters
        rows, bound = as_batch(values, bound)
        seeds, words = encrypt_seeded(secret, encode(arithmetic, rows, scale), p.levels)
        deviation = noise.slot(p.n, noise.encryption(p.n, public=False), scale)
        lengths = (rows.shape[1],) * len(rows)
        return Vectors(
            public.key_id, words, float(scale), lengths, bound, deviation, seeds, fresh=True
        ).require_room(p)

    def decrypt(self, vectors: Vectors) -> Decrypted:
        """All values, vector after vector, sealed, with the flood they need."""
        secret = self._require_secret()
        self.evaluator.check(vectors)
        slots = decode(secret.arithmetic, phase(secret, vectors.words), vectors.scale)
        hidden = vectors.hidden(secret.arithmetic.parameters.n)
        flood = noise.flood(hidden, self._door.budget, self._statistical_bits)
        return Decrypted(cut(slots, vectors.lengths), flood)

    def close(self) -> None:
        """Drop the secret key."""
        self._secret = None

    def _require_secret(self) -> SecretKey:
        if self._secret is None:
            raise CryptoError("this secret key was closed; generate a new one")
        return self._secret
