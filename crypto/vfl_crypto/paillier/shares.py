"""Paillier behind `sharing`: exact shares of a product P w modulo t = 2^B.

The plaintexts are integers, so each word is encrypted as the signed number of its residue, and
v = P w + k t with whatever integer k that makes. The evaluator packs the v and adds r to each,
uniform below 2^64 times the largest v; the key holder opens v + r, which is then within 2^-64 of a
distribution that does not depend on v, and as an integer does not wrap. Modulo t the two shares,
v + r and -r, add up to P w, always.

Slots have room for B + 48 bits of value, whatever the matrix is: P with entries of b bits and
2^c columns needs b + c <= 50. So nothing but B says how a masked product is packed. It departs with
new randomness of full length, as any product (`encryptor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto.errors import CryptoError, EncodingOverflowError, KeyMismatchError
from vfl_crypto.linear import Ciphertext, SchemeInfo
from vfl_crypto.paillier.bodies import check_rows
from vfl_crypto.paillier.limbs import from_limbs, random_limbs
from vfl_crypto.paillier.packing import Slots
from vfl_crypto.paillier.pool import RandomnessPool
from vfl_crypto.release import Door, Releasing
from vfl_crypto.sharing import masked_layout, modulus_bits, rounded_at_random, words_layout
from vfl_crypto.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.paillier.blinding import Blinding
    from vfl_crypto.paillier.keys import PublicKey
    from vfl_crypto.paillier.private import PrivateKey
    from vfl_crypto.paillier.products import Products
    from vfl_crypto.words import IntegerMatrix

GROWTH_BITS: Final = 48  # of a product beyond its words
MASK_BITS: Final = 64  # of a mask beyond the product


class PaillierShareEvaluator:
    """See `sharing.ShareEvaluator`. Keeps nothing of a matrix."""

    def __init__(self, key: PublicKey, products: Products, blinding: Blinding) -> None:
        self._key = key
        self._products = products
        self._blinding = blinding

    @property
    def info(self) -> SchemeInfo:
        key = self._key
        return SchemeInfo("paillier", f"n: {key.bits} bit", key.security_bits, key.key_id)

    def encrypt(self, words: Words) -> Ciphertext:
        """[[w]], one ciphertext each."""
        whole, half = 1 << words.bits, 1 << (words.bits - 1)
        integers = [w - whole if w >= half else w for w in words.to_list()]
        body = self._products.blind(self._products.plain(integers), self._blinding.short)
        return self._wrap(body, words_layout(words.bits), len(words))

    def multiply(self, plain: IntegerMatrix, ciphertext: Ciphertext) -> tuple[Ciphertext, Words]:
        """See `sharing.ShareEvaluator`; exact. Raises `WireError` for rows that are no units.

        Raises `EncodingOverflowError` for a matrix of too many bits and columns.
        """
        bits = modulus_bits(ciphertext, "words")
        rows, inner = plain.shape
        if ciphertext.count != inner:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} times a ciphertext of {ciphertext.count}"
            )
        if plain.bits + (inner - 1).bit_length() > GROWTH_BITS + 2:
            raise EncodingOverflowError(
                f"sums over {inner} products with entries of {plain.bits} bits grow by more than "
                f"{GROWTH_BITS} bits; use fewer"
            )
        body = check_rows(ciphertext, self._key, inner)
        exponents = np.ascontiguousarray(plain.values.T).astype(np.int64)
        slots = slots_for(bits, self._key.bits)
        packed = self._products.pack(self._products.columns(body, exponents), slots)
        pads = masks(rows, bits)
        masked = self._products.multiply(packed, self._products.plain(slots.join(pads)))
        fresh = self._products.blind(masked, self._blinding.full)
        return self._wrap(fresh, masked_layout(bits), rows), -Words.of_list(pads, bits)

    def masked_rows(self, masked: Ciphertext) -> tuple[Slots, int, NDArray[np.uint64]]:
        """Slots, B and rows of a masked product of this key.

        Raises `KeyMismatchError` for anything else, `WireError` for malformed bytes.
        """
        bits = modulus_bits(masked, "masked")
        slots = slots_for(bits, self._key.bits)
        return slots, bits, check_rows(masked, self._key, slots.rows(masked.count))

    def close(self) -> None:
        """Ends the threads of a pool, where there is one."""
        if isinstance(self._blinding, RandomnessPool):
            self._blinding.close()

    def _wrap(self, body: NDArray[np.uint64], layout: str, count: int) -> Ciphertext:
        return Ciphertext("paillier", self._key.key_id, 0, count, body, layout, fresh=True)


class PaillierShareHolder(Releasing):
    """See `sharing.ShareHolder`. Never pickled, never printed. `openings` is the door's budget."""

    def __init__(
        self, key: PrivateKey, evaluator: PaillierShareEvaluator, threads: int, openings: int
    ) -> None:
        self._private: PrivateKey | None = key
        self._public = key.public
        self._evaluator = evaluator
        self._threads = threads
        self._door = Door(openings)

    def __repr__(self) -> str:
        return f"<Paillier share holder {self._public.key_id}>"

    @property
    def evaluator(self) -> PaillierShareEvaluator:
        return self._evaluator

    @property
    def public_key(self) -> bytes:
        return self._public.to_bytes()

    def encrypt_words(self, words: Words) -> Ciphertext:
        """See `sharing.ShareHolder`."""
        self._require_private()
        return self._evaluator.encrypt(words)

    def share(self, masked: Ciphertext) -> Words:
        """See `sharing.ShareHolder`. Raises `CryptoError` where a slot overflows."""
        private = self._require_private()
        slots, bits, rows = self._evaluator.masked_rows(masked)
        integers = slots.split(private.decrypt(rows, self._threads), masked.count)
        return Words.of_list(integers, bits)

    def open_share(self, share: Words, dropped_bits: int) -> Words:
        """See `sharing.ShareHolder`."""
        opened = rounded_at_random(share, dropped_bits)
        self._door.count(len(share))
        return opened

    def close(self) -> None:
        self._private = None
        self._evaluator.close()

    def _require_private(self) -> PrivateKey:
        if self._private is None:
            raise CryptoError("this key holder is closed; generate a new key")
        return self._private


def masks(count: int, bits: int) -> list[int]:
    """Uniform integers below 2^(bits + 48 + 64) from the operating system."""
    return from_limbs(random_limbs(count, bits + GROWTH_BITS + MASK_BITS))


def slots_for(bits: int, key_bits: int) -> Slots:
    """For masked products modulo 2^bits."""
    return Slots.for_sums(bits + GROWTH_BITS + MASK_BITS, 1, key_bits)
