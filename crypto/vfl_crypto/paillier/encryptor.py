"""`PaillierEncryptor`: the public-key face of `PaillierScheme`.

**Departure.** `rmatmul` returns prod_i c_i^x_ij, from which anybody who knows the c_i can find
small x by trial. `encrypt(v, onto=c)` multiplies such a product by h_s^r with r longer than n:
that makes it as random as an encryption made for it, for the key holder as well.

**What timing shows.** The products in `rmatmul` depend on the shape of X and on the bit length of
its largest quantised entry, in encryption on public sizes only. Table rows are read at addresses
that depend on X or r: not for machines whose caches are shared with an adversary.

**Packing.** `pack` joins results before they are blinded, sent and decrypted; `encrypt_packed` does
the same to values that will only be added. Both know how large a value can become, because a
ciphertext counts the terms it is a sum of: values of the declared range or, in sums, such values
times entries of a matrix. The count is 0, and packing refused, once somebody added more than that.
The parties' fixed points must agree, as their scales must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError
from vfl_crypto.linear import Ciphertext, Matrix, SchemeInfo
from vfl_crypto.paillier.bodies import MAX_TERMS, check_body, encode_integers
from vfl_crypto.paillier.packing import Slots
from vfl_crypto.paillier.pool import RandomnessPool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.fixedpoint import FixedPoint
    from vfl_crypto.paillier.blinding import Blinding
    from vfl_crypto.paillier.keys import PublicKey
    from vfl_crypto.paillier.products import Products


class PaillierEncryptor:
    """The public-key face; see `linear.Encryptor`."""

    def __init__(
        self,
        key: PublicKey,
        data: FixedPoint,
        plain: FixedPoint,
        products: Products,
        blinding: Blinding,
    ) -> None:
        self._key = key
        self._data = data
        self._plain = plain
        self._products = products
        self._blinding = blinding

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
            factors = self._products.plain(self._data.encode(values).tolist())
            blinded = self._products.blind(factors, self._blinding.short)
            return self._wrap(blinded, self._data.fraction_bits, "rows", len(values), fresh=True)
        body = self._rows(onto)
        if onto.count != len(values):
            raise KeyMismatchError(f"{len(values)} values onto a ciphertext of {onto.count}")
        integers = encode_integers(values, onto.scale_bits)
        terms = self._terms(onto, self._terms_of(integers, onto.scale_bits))
        slots = Slots.of_layout(onto.layout, self._key.bits)
        factors = self._products.plain(integers if slots is None else slots.join(integers))
        # A sum of encryptions holds nothing of ours but the plaintext; a product holds the matrix.
        fresh = self._blinding.short if onto.layout == "rows" else self._blinding.full
        blinded = self._products.blind(self._products.multiply(body, factors), fresh)
        return self._wrap(blinded, onto.scale_bits, onto.layout, onto.count, terms, fresh=True)

    def encrypt_packed(self, values: NDArray[np.float64], additions: int = 0) -> Ciphertext:
        """`encrypt` with many values in each ciphertext, for so many additions of others alike.

        Raises as `encrypt`, and where not even one slot fits (`packing.Slots`).
        """
        integers = self._data.encode(_vector(values)).tolist()
        scale_bits = self._data.fraction_bits
        slots = Slots.for_sums(self._unit_bits(scale_bits), additions + 1, self._key.bits)
        blinded = self._products.blind(
            self._products.plain(slots.join(integers)), self._blinding.short
        )
        return self._wrap(blinded, scale_bits, slots.layout, len(integers), fresh=True)

    def pack(self, ciphertext: Ciphertext, additions: int = 1) -> Ciphertext:
        """The same values in as few ciphertexts as hold them: fewer to blind, send and decrypt.

        Slots are as wide as the ciphertext's own bound asks, which follows from public sizes, with
        room for so many additions more: at least the one that makes it fresh before it leaves,
        `encrypt(v, onto=...)`.
        Raises `EncodingOverflowError` where no bound is known or no slot fits.
        """
        body = self._rows(ciphertext)
        if Slots.of_layout(ciphertext.layout, self._key.bits) is not None:
            raise KeyMismatchError("this ciphertext is packed already")
        if ciphertext.terms == 0:
            raise EncodingOverflowError(
                "values beyond the declared range were added to this ciphertext, so that no slot "
                "is sure to hold it; pack first, and mask within the range"
            )
        unit_bits = self._unit_bits(ciphertext.scale_bits)
        slots = Slots.for_sums(unit_bits, ciphertext.terms + additions, self._key.bits)
        return self._wrap(
            self._products.pack(body, slots),
            ciphertext.scale_bits,
            slots.layout,
            ciphertext.count,
            ciphertext.terms,
        )

    def close(self) -> None:
        """Ends the threads of a pool, where there is one."""
        if isinstance(self._blinding, RandomnessPool):
            self._blinding.close()

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor.add`."""
        rows = self._rows(left), self._rows(right)
        if (left.count, left.scale_bits, left.layout) != (
            right.count,
            right.scale_bits,
            right.layout,
        ):
            raise KeyMismatchError(
                f"cannot add {left.count} {left.layout} at scale 2^{left.scale_bits} and "
                f"{right.count} {right.layout} at scale 2^{right.scale_bits}"
            )
        terms = self._terms(left, right.terms)
        body = self._products.multiply(*rows)
        return self._wrap(body, left.scale_bits, left.layout, left.count, terms)

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor.rmatmul`; exact for the quantised matrix."""
        body = self._rows(ciphertext)
        plain = np.asarray(plain, dtype=np.float64)
        packed = Slots.of_layout(ciphertext.layout, self._key.bits) is not None
        if plain.ndim != 2 or plain.shape[0] != ciphertext.count or packed:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} does not fit {ciphertext.count} values in "
                f"{ciphertext.layout}"
            )
        integers = np.ascontiguousarray(self._plain.encode(plain, "an entry of the matrix"))
        scale_bits = ciphertext.scale_bits + self._plain.fraction_bits
        once = ciphertext.layout == "rows"  # of a product of a product no bound is kept
        terms = _countable(ciphertext.terms * ciphertext.count * once)
        sums = self._products.columns(body, integers)
        return self._wrap(sums, scale_bits, "sums", len(sums), terms)

    def _rows(self, ciphertext: Ciphertext) -> NDArray[np.uint64]:
        return check_body(ciphertext, "paillier", self._key)

    def _unit_bits(self, scale_bits: int) -> int:
        """Bits of one term at this scale: a value, or a value times an entry of a matrix.

        Raises `EncodingOverflowError` at any other scale.
        """
        data, plain = self._data, self._plain
        if scale_bits == data.fraction_bits + plain.fraction_bits:
            return data.integer_bits + plain.integer_bits + scale_bits
        if scale_bits == data.fraction_bits:
            return data.integer_bits + data.fraction_bits
        raise EncodingOverflowError(f"nothing bounds values at a scale of 2^{scale_bits}")

    def _terms_of(self, integers: list[int], scale_bits: int) -> int:
        """One for integers within the declared range, 0 for others."""
        try:
            limit = 1 << self._unit_bits(scale_bits)
        except EncodingOverflowError:
            return 0
        return int(all(abs(m) <= limit for m in integers))

    def _terms(self, ciphertext: Ciphertext, more: int) -> int:
        """Terms after an addition; 0 where either has none to show.

        Raises `EncodingOverflowError` if that does not fit the slots of a packed ciphertext.
        """
        terms = _countable(ciphertext.terms + more if ciphertext.terms and more else 0)
        slots = Slots.of_layout(ciphertext.layout, self._key.bits)
        if slots is not None and not (
            terms and slots.holds(self._unit_bits(ciphertext.scale_bits), terms)
        ):
            raise EncodingOverflowError(
                f"a slot of {slots.bits} bits has no room for this addition; pack for more of them"
            )
        return terms

    def _wrap(
        self,
        body: NDArray[np.uint64],
        scale_bits: int,
        layout: str,
        count: int,
        terms: int = 1,
        *,
        fresh: bool = False,
    ) -> Ciphertext:
        key_id = self._key.key_id
        return Ciphertext("paillier", key_id, scale_bits, count, body, layout, fresh, terms)


def _countable(terms: int) -> int:
    return terms if terms <= MAX_TERMS else 0


def _vector(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise KeyMismatchError(f"values are one vector (n,), not an array of shape {values.shape}")
    return values
