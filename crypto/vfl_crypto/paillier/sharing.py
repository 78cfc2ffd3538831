"""A result as two additive shares: the key holder opens v + r, the other side keeps -r.

|v| is at most 2^B, from the terms the ciphertext counts, and r is uniform below 2^(B + 64). So
v + r is within 2^-64 of a distribution that does not depend on v, and as an integer it does not
wrap. Both sides drop the low bits that 64 would not hold, and take what is left modulo 2^64:

    floor((v + r) / 2^t) - floor(r / 2^t) = floor(v / 2^t), or one more

Masked results travel packed, in layout "masked-S".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError
from vfl_crypto.linear import Share
from vfl_crypto.paillier.limbs import from_limbs, random_limbs
from vfl_crypto.paillier.packing import Slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfl_crypto.linear import Ciphertext

SHARE_BITS = 64
MASK_BITS = 64  # of a mask beyond the value's own


def value_bits(unit_bits: int, ciphertext: Ciphertext) -> int:
    """B, so that every value of the ciphertext is at most 2^B in magnitude.

    Raises `EncodingOverflowError` where its terms are not known.
    """
    if ciphertext.terms == 0:
        raise EncodingOverflowError(
            "values beyond the declared range were added to this ciphertext: no mask is sure to "
            "hide it; mask the product itself"
        )
    return unit_bits + (ciphertext.terms - 1).bit_length()


def masks(count: int, bits: int) -> list[int]:
    """Uniform integers below 2^(bits + 64) from the operating system."""
    return from_limbs(random_limbs(count, bits + MASK_BITS))


def slots(bits: int, key_bits: int) -> Slots:
    """For values of `bits` bits, masked. Raises `EncodingOverflowError` if none fits."""
    return Slots.for_sums(bits + MASK_BITS, 1, key_bits, "masked")


def to_share(integers: Sequence[int], bits: int, scale_bits: int) -> Share:
    """Integers at scale 2^scale_bits that share values of `bits` bits: modulo 2^64, cut to fit."""
    dropped = max(0, bits + 2 - SHARE_BITS)
    words = [(m >> dropped) % (1 << SHARE_BITS) for m in integers]
    return Share(np.array(words, dtype=np.uint64), SHARE_BITS, scale_bits - dropped)


def negative(share: Share) -> Share:
    """The share of the negated value."""
    return Share(np.uint64(0) - share.values, share.modulus_bits, share.scale_bits)


def require_masked(layout: str, *, masked: bool) -> None:
    """Raises `KeyMismatchError` for a share where a value is expected, and the reverse."""
    if layout.startswith("masked-") != masked:
        raise KeyMismatchError(
            "only a masked product has a share; decrypt() opens others"
            if masked
            else "a masked product decrypts to a share: share() opens it, nothing is added to it"
        )
