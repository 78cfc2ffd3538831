"""`LatticeScheme`: coefficient-packed RLWE behind `LinearScheme`.

A real v is round(v 2^s), a message modulo t = 2^bits; a product is the exact integer product of the
quantised factors as long as the declared ranges hold, which both faces check. Fixed points of the
wide set: |d| < 64 in steps of 2^-17, |x| < 256 in steps of 2^-10, sums over up to 2^17 rows.

**Departure.** `encrypt(v, onto=rows)` adds an encryption under the public key. `encrypt(v,
onto=product)` floods, `mask` shares; see `masking`.

**Opening.** A rounded decryption still depends on the secret: the carry of the last bit compares
the noise with a border that the evaluator may know. So an opening drops low bits, 16 of them, and
a key opens at most 6 * 2^16 values (6 * 2^b for b dropped bits leak at most one bit in all).
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto.errors import (
    CryptoError,
    InsecureParametersError,
    KeyMismatchError,
    ReleaseError,
)
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.lattice import masking
from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.bodies import ROWS, Kind
from vfl_crypto.lattice.encryption import decrypt
from vfl_crypto.lattice.encryptor import Kept, LatticeEncryptor
from vfl_crypto.lattice.formats import Formats
from vfl_crypto.lattice.keys import PublicKey, SecretKey
from vfl_crypto.lattice.parameters import WIDE, ParameterSet
from vfl_crypto.lattice.plan import PACK_LEVELS, Plan
from vfl_crypto.lattice.product import DEFAULT_BUDGET_BYTES, TileBudget
from vfl_crypto.linear import Share
from vfl_crypto.release import Decrypted, Door, Releasing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.linear import Ciphertext

DATA: Final = FixedPoint(integer_bits=6, fraction_bits=17)
PLAIN: Final = FixedPoint(integer_bits=8, fraction_bits=10)
DROPPED_BITS: Final = 16
OPENINGS_PER_BIT: Final = 6
"""Openings at full length from which an evaluator learns one bit of the key, at the least.

1 / (2.606 std / Delta), 2.606 being the integral of a carry's entropy over its threshold: 13 for
the rounding of c1 in the compact set, 9.2 in the wide one, 6.5 for the tightest plan accepted.
"""
TERMS: Final = 16


class LatticeKeyHolder(Releasing):
    """The secret-key face; see `linear.KeyHolder`. Never pickled, never printed."""

    def __init__(
        self, formats: Formats, secret: SecretKey, levels: int, kept: Kept, budget: TileBudget
    ) -> None:
        self._formats = formats
        self._secret: SecretKey | None = secret
        self._public = secret.publish(levels)
        self._encryptor = LatticeEncryptor(formats, self._public, kept, budget, secret)
        self._door = Door(OPENINGS_PER_BIT << DROPPED_BITS)

    def __repr__(self) -> str:
        return f"<lattice key holder {self._public.key_id[:8]}, {self.openings_left} left>"

    @property
    def encryptor(self) -> LatticeEncryptor:
        """Encrypts under the secret key: half the bytes, a seventieth of the noise or less."""
        return self._encryptor

    @property
    def public_key(self) -> bytes:
        return self._public.packed

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        """See `linear.KeyHolder`; at least 16 low bits are dropped when it is released.

        Raises as `LatticeEncryptor.rows`, and `ReleaseError` for a masked product: that is a share.
        """
        secret = self._require_secret()
        kind, rows, payload = self._encryptor.check(ciphertext)
        count = ciphertext.count
        if kind is Kind.MASKED:
            raise ReleaseError("a masked product decrypts to a share; use share()")
        if kind in ROWS:
            bits = self._formats.modulus_bits(count)
            inner = self._formats.tile(count).inner
            messages = decrypt(secret, self._encryptor.rows(ciphertext), bits)
            integers = messages[:, :inner].reshape(-1)[:count]
        else:
            plan = self._formats.plan(rows, count)
            bits = plan.modulus_bits
            if kind is Kind.FLOODED:
                integers = masking.open_returned(plan, secret, payload)[:, 0]
            else:
                polys = decrypt(secret, self._encryptor.product_polys(payload, plan), bits)
                place, coefficient = plan.places
                integers = polys[place, coefficient][:, 0]
        scale = ciphertext.scale_bits
        values = np.ldexp(_signed(integers, bits).astype(np.float64), -scale)
        return Decrypted(values, quantum=2.0 ** (DROPPED_BITS - scale))

    def share(self, ciphertext: Ciphertext) -> Share:
        """The key holder's share of a masked product: uniform by itself."""
        secret = self._require_secret()
        kind, rows, payload = self._encryptor.check(ciphertext)
        if kind is not Kind.MASKED:
            raise KeyMismatchError("only a masked product has a share; decrypt() opens others")
        plan = self._formats.plan(rows, ciphertext.count)
        values = masking.open_returned(plan, secret, payload)[:, 0]
        return Share(values, plan.modulus_bits, ciphertext.scale_bits)

    def open_share(self, share: Share, dropped_bits: int = DROPPED_BITS) -> Share:
        """A share for the other side, its low bits gone and counted; see the module.

        Rounded up or down at random, in proportion, so that a carry tells as little whatever the
        pad was. (A party that makes up whole ciphertexts needs no carries: SECURITY.md.)

        Raises `ReleaseError` for fewer than 12 dropped bits, `ReleaseBudgetError` past the budget.
        """
        if not 12 <= dropped_bits < share.modulus_bits:
            raise ReleaseError(
                f"asked to drop {dropped_bits} low bits of a share; drop 12 or more, or the "
                "carries show the secret key"
            )
        each = 1 << max(0, DROPPED_BITS - dropped_bits)
        self._door.count(len(share.values) * each)
        low = np.uint64((1 << dropped_bits) - 1)
        dither = np.frombuffer(os.urandom(8 * len(share.values)), dtype=np.uint64) & low
        modulus = np.uint64((1 << share.modulus_bits) - 1)
        return Share((share.values + dither) & modulus & ~low, share.modulus_bits, share.scale_bits)

    def close(self) -> None:
        self._secret = None
        self._encryptor.forget()

    def _require_secret(self) -> SecretKey:
        if self._secret is None:
            raise CryptoError("this secret key was closed; generate a new one")
        return self._secret


class LatticeScheme:
    """The lattice scheme with its parameters; both sides of a key need the same ones.

    parameters    `WIDE`; or `COMPACT`, for shares alone: it has no room to flood
    data, plain   fixed point of encrypted vectors and of matrices
    terms         encryptions under the public key that may add up; 0: the key holder alone encrypts
    threads       for one call of a kernel; by default one a processor
    levels        packing levels to publish switching keys for, up to 9; products that pack in more
                  are refused
    tile_budget   bytes of transformed matrices to keep
    """

    name = "lattice"

    def __init__(
        self,
        parameters: ParameterSet = WIDE,
        data: FixedPoint = DATA,
        plain: FixedPoint = PLAIN,
        terms: int = TERMS,
        threads: int | None = None,
        levels: int = PACK_LEVELS,
        tile_budget: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        if not 0 <= levels <= PACK_LEVELS:
            raise InsecureParametersError(f"a lattice key has 0 to {PACK_LEVELS} packing levels")
        self._formats = Formats(parameters, data, plain, terms)
        self._threads = threads or os.cpu_count() or 1
        self._levels = levels
        self._kept = _no_tiles()
        self._budget = TileBudget(tile_budget)

    def plan(self, rows: int, columns: int) -> Plan:
        """How X^T d is done for X (rows, columns): its counts, bytes and estimated seconds.

        Raises `EncodingOverflowError` for too many rows, `InsecureParametersError` without room.
        """
        return self._formats.plan(rows, columns)

    def generate(self) -> LatticeKeyHolder:
        """A new key pair from the operating system's randomness."""
        secret = SecretKey(Arithmetic(self._formats.parameters, self._threads))
        return LatticeKeyHolder(self._formats, secret, self._levels, self._kept, self._budget)

    def encryptor(self, public_key: bytes) -> LatticeEncryptor:
        """Read a public key.

        Raises `KeyMismatchError` for other parameters than this scheme's, `WireError` for malformed
        bytes.
        """
        public = PublicKey.from_bytes(public_key, self._threads)
        if public.arithmetic.parameters != self._formats.parameters:
            raise KeyMismatchError(
                f"the public key is of the {public.arithmetic.parameters.name} set and this side "
                f"uses {self._formats.parameters.name}; both sides must agree"
            )
        return LatticeEncryptor(self._formats, public, self._kept, self._budget)


def _signed(integers: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Residues modulo 2^bits -> integers in [-2^(bits - 1), 2^(bits - 1))."""
    shift = 64 - bits
    return (integers << np.uint64(shift)).view(np.int64) >> np.int64(shift)


def _no_tiles() -> Kept:
    return weakref.WeakKeyDictionary()
