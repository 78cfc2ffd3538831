"""`LatticeScheme`: coefficient-packed RLWE behind `LinearScheme`.

A real v is round(v 2^s), a message modulo t = 2^bits; a product is the exact integer product of the
quantised factors as long as the declared ranges hold, which both faces check. Fixed points of the
wide set: |d| < 64 in steps of 2^-17, |x| < 256 in steps of 2^-10, sums over up to 2^17 rows.

**Departure.** `encrypt(v, onto=rows)` adds an encryption under the public key. `encrypt(v,
onto=product)` floods; see `masking`. Products that become shares have faces of their own: `shares`.

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
)
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.lattice import masking
from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.bodies import ROWS, Kind
from vfl_crypto.lattice.encryption import decrypt
from vfl_crypto.lattice.encryptor import Kept, LatticeEncryptor
from vfl_crypto.lattice.formats import Formats
from vfl_crypto.lattice.keys import PublicKey, SecretKey
from vfl_crypto.lattice.masking import DROPPED_BITS, OPENINGS_PER_BIT
from vfl_crypto.lattice.parameters import WIDE, ParameterSet
from vfl_crypto.lattice.plan import PACK_LEVELS, Plan
from vfl_crypto.lattice.product import DEFAULT_BUDGET_BYTES, TileBudget
from vfl_crypto.lattice.shares import Kept as KeptIntegers
from vfl_crypto.lattice.shares import LatticeShareEvaluator, LatticeShareHolder
from vfl_crypto.release import Decrypted, Door, Releasing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.linear import Ciphertext

DATA: Final = FixedPoint(integer_bits=6, fraction_bits=17)
PLAIN: Final = FixedPoint(integer_bits=8, fraction_bits=10)
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

        Raises as `LatticeEncryptor.rows`.
        """
        secret = self._require_secret()
        kind, rows, _, payload = self._encryptor.check(ciphertext)
        count = ciphertext.count
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
        self._kept: Kept = weakref.WeakKeyDictionary()
        self._kept_integers: KeptIntegers = weakref.WeakKeyDictionary()
        self._budget = TileBudget(tile_budget)

    def plan(self, rows: int, columns: int) -> Plan:
        """How X^T d is done for X (rows, columns): its counts, bytes and estimated seconds.

        Raises `EncodingOverflowError` for too many rows, `InsecureParametersError` without room.
        """
        return self._formats.plan(rows, columns)

    def generate(self) -> LatticeKeyHolder:
        """A new key pair from the operating system's randomness."""
        return LatticeKeyHolder(
            self._formats, self._secret(), self._levels, self._kept, self._budget
        )

    def encryptor(self, public_key: bytes) -> LatticeEncryptor:
        """Read a public key.

        Raises `KeyMismatchError` for other parameters than this scheme's, `WireError` for malformed
        bytes.
        """
        public = self._public(public_key)
        return LatticeEncryptor(self._formats, public, self._kept, self._budget)

    def share_holder(self) -> LatticeShareHolder:
        """See `sharing.SharingScheme`; `data` and `plain` are of no use to integers."""
        return LatticeShareHolder(self._secret(), self._levels, self._kept_integers, self._budget)

    def evaluator(self, public_key: bytes) -> LatticeShareEvaluator:
        """See `sharing.SharingScheme`; raises as `encryptor`."""
        public = self._public(public_key)
        return LatticeShareEvaluator(public, self._kept_integers, self._budget)

    def _secret(self) -> SecretKey:
        return SecretKey(Arithmetic(self._formats.parameters, self._threads))

    def _public(self, public_key: bytes) -> PublicKey:
        public = PublicKey.from_bytes(public_key, self._threads)
        if public.arithmetic.parameters != self._formats.parameters:
            raise KeyMismatchError(
                f"the public key is of the {public.arithmetic.parameters.name} set and this side "
                f"uses {self._formats.parameters.name}; both sides must agree"
            )
        return public


def _signed(integers: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Residues modulo 2^bits -> integers in [-2^(bits - 1), 2^(bits - 1))."""
    shift = 64 - bits
    return (integers << np.uint64(shift)).view(np.int64) >> np.int64(shift)
