"""Paillier ciphertexts as arrays: reals as integers modulo n, and what a well-formed body is.

body: uint64 (rows, limbs), the integers modulo n^2 in little-endian limbs; a row for each value or,
in layout "packed-S", for as many as slots of S bits hold (masked products: see `shares`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import CryptoError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import require_below
from vfl_crypto.paillier.limbs import all_positive_below
from vfl_crypto.paillier.packing import Slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.linear import Ciphertext
    from vfl_crypto.paillier.keys import PublicKey

PLAINTEXT_BITS = 512
MAX_SCALE_BITS = 256
MAX_TERMS = 1 << 48


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
    """The rows of a well-formed ciphertext of this key: of values, of sums, or packed.

    Raises as `check_rows`, and `KeyMismatchError` for another layout.
    """
    slots = Slots.of_layout(ciphertext.layout, key.bits)
    if slots is None and ciphertext.layout not in ("rows", "sums"):
        raise KeyMismatchError(f"{ciphertext.layout[:32]!r} is no layout of values")
    rows = ciphertext.count if slots is None else slots.rows(ciphertext.count)
    return check_rows(ciphertext, key, rows, scheme)


def check_rows(
    ciphertext: Ciphertext, key: PublicKey, count: int, scheme: str = "paillier"
) -> NDArray[np.uint64]:
    """The `count` rows of a ciphertext of this key.

    Raises `KeyMismatchError` for another scheme or key, `WireError` for another dtype, shape or
    scale, or a row outside (0, n^2).
    """
    if ciphertext.scheme != scheme or ciphertext.key_id != key.key_id:
        raise KeyMismatchError(
            f"a {ciphertext.scheme} ciphertext under key {ciphertext.key_id} does not belong to "
            f"{scheme} key {key.key_id}; send the current public key"
        )
    body, shape = ciphertext.body, (count, key.limbs)
    if body.dtype != np.uint64 or body.shape != shape:
        raise WireError(
            f"a ciphertext of {ciphertext.count} values is uint64 {shape}, "
            f"not {body.dtype} {body.shape}"
        )
    if not 0 <= ciphertext.terms <= MAX_TERMS:
        raise WireError(f"a ciphertext cannot be a sum of {ciphertext.terms}")
    if not 0 <= ciphertext.scale_bits <= MAX_SCALE_BITS:
        raise WireError(f"a scale of 2^{ciphertext.scale_bits} is not possible here")
    rows = np.ascontiguousarray(body, dtype=np.uint64)
    if not all_positive_below(rows, key.n**2):
        raise WireError("a ciphertext is not between 0 and n^2: damaged or forged")
    return rows
