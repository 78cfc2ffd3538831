"""`PaillierScheme`: exact encrypted sums behind `LinearScheme`.

A real v is round(v 2^s) modulo n, negative ones from the top. `encrypt` takes s from `data`, the
matrix of `rmatmul` from `plain`, and a product carries the sum of both. All integers that this
scheme encrypts or computes stay below 2^512 in magnitude (62 + 62 bits of fixed point, the rows
summed, and masks), far from n / 2; a decryption outside that range is an error, never a number.

What a ciphertext hides when it leaves, what timing shows, and packing: see `encryptor`. Products
that become shares have faces of their own: `shares`.
"""

from __future__ import annotations

import os

from vfl_crypto.errors import CryptoError
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.linear import Ciphertext
from vfl_crypto.paillier.blinding import (
    Blinding,
    ClassicBlinding,
    DjnBlinding,
    OwnerBlinding,
)
from vfl_crypto.paillier.bodies import check_body, decode_integers
from vfl_crypto.paillier.encryptor import PaillierEncryptor
from vfl_crypto.paillier.keys import DEFAULT_KEY_BITS, PublicKey, check_key_bits
from vfl_crypto.paillier.packing import Slots
from vfl_crypto.paillier.pool import RandomnessPool
from vfl_crypto.paillier.private import PrivateKey
from vfl_crypto.paillier.products import Products
from vfl_crypto.paillier.shares import PaillierShareEvaluator, PaillierShareHolder
from vfl_crypto.release import Decrypted, Door, Releasing

OPENINGS_PER_KEY = 1 << 20
DEFAULT_WINDOW = 10
DATA = FixedPoint(integer_bits=24, fraction_bits=30)
PLAIN = FixedPoint(integer_bits=10, fraction_bits=16)


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
        return Decrypted(decode_integers(self._integers(ciphertext), ciphertext.scale_bits))

    def _integers(self, ciphertext: Ciphertext) -> list[int]:
        """Every slot, as an integer."""
        if self._private is None:
            raise CryptoError("this key holder is closed; generate a new key")
        rows = check_body(ciphertext, "paillier", self._encryptor.key)
        integers = self._private.decrypt(rows, self._threads)
        slots = Slots.of_layout(ciphertext.layout, self._encryptor.key.bits)
        return integers if slots is None else slots.split(integers, ciphertext.count)

    def close(self) -> None:
        self._private = None
        self._encryptor.close()

    def __repr__(self) -> str:
        return f"<Paillier key holder {self._encryptor.key.key_id}>"


class PaillierScheme:
    """Paillier with its parameters; see `linear.LinearScheme`.

    key_bits   length of n: 3072 for 128-bit security, at least 2048 (112)
    data       fixed point of encrypted vectors
    plain      fixed point of matrices; fewer bits make `rmatmul` faster
    threads    for one call of a kernel; by default one a processor
    window     bits of the table of powers of h_s: more is faster and doubles memory with each bit
               (`blinding.DjnBlinding` has figures)
    classic    new keys are classic (`keys`): encryption with r^n, twenty times the work, and
               security rests on decisional composite residuosity alone
    pool       elements of randomness that each encryptor keeps ready, made on idle processors
               (`pool.RandomnessPool`); none by default
    """

    name = "paillier"

    def __init__(
        self,
        key_bits: int = DEFAULT_KEY_BITS,
        data: FixedPoint = DATA,
        plain: FixedPoint = PLAIN,
        threads: int | None = None,
        window: int = DEFAULT_WINDOW,
        *,
        classic: bool = False,
        pool: int = 0,
    ) -> None:
        check_key_bits(key_bits)
        self._key_bits = key_bits
        self._data = data
        self._plain = plain
        self._threads = threads or os.cpu_count() or 1
        self._window = window
        self._classic = classic
        self._pool = pool

    def generate(self) -> PaillierKeyHolder:
        """See `linear.LinearScheme.generate`."""
        return self.holder(PrivateKey.generate(self._key_bits, classic=self._classic))

    def holder(self, key: PrivateKey) -> PaillierKeyHolder:
        """The secret-key face of a key made elsewhere."""
        owner = OwnerBlinding(key, self._window)
        encryptor = self._encryptor(key.public, owner)
        return PaillierKeyHolder(key, encryptor, self._threads)

    def encryptor(self, public_key: bytes) -> PaillierEncryptor:
        """See `linear.LinearScheme.encryptor`."""
        return self._encryptor(PublicKey.from_bytes(public_key))

    def share_holder(self) -> PaillierShareHolder:
        """See `sharing.SharingScheme`; `data` and `plain` are of no use to integers."""
        key = PrivateKey.generate(self._key_bits, classic=self._classic)
        evaluator = self._evaluator(key.public, OwnerBlinding(key, self._window))
        return PaillierShareHolder(key, evaluator, self._threads, OPENINGS_PER_KEY)

    def evaluator(self, public_key: bytes) -> PaillierShareEvaluator:
        """See `sharing.SharingScheme`."""
        return self._evaluator(PublicKey.from_bytes(public_key))

    def _evaluator(
        self, key: PublicKey, owner: OwnerBlinding | None = None
    ) -> PaillierShareEvaluator:
        products = Products(key, self._threads)
        return PaillierShareEvaluator(key, products, self._blinding(key, products, owner))

    def _encryptor(self, key: PublicKey, owner: OwnerBlinding | None = None) -> PaillierEncryptor:
        products = Products(key, self._threads)
        blinding = self._blinding(key, products, owner)
        return PaillierEncryptor(key, self._data, self._plain, products, blinding)

    def _blinding(
        self, key: PublicKey, products: Products, owner: OwnerBlinding | None
    ) -> Blinding:
        blinding: Blinding
        if owner is not None:
            blinding = owner
        elif key.h_s is None:
            blinding = ClassicBlinding(key, products.modulus)
        else:
            blinding = DjnBlinding(key, products.modulus, self._window)
        return RandomnessPool(blinding, self._pool) if self._pool else blinding
