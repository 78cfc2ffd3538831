"""Secret key, public key, switching keys.

    secret      s, uniform ternary
    encryption  (b, a), b = -a s + e modulo Q: an encryption of zero, for encrypting without s
    switching   for kappa = N / 2^e + 1, e < levels, and each digit d:
                b_d = -a_d s + e_d + [j = d] P s(X^kappa) modulo QP, in NTT form

All a are expanded from a public seed, so a switching key travels as its b: 0.11 MB in the compact
set, 0.6 MB in the wide one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vfl_crypto.errors import CryptoError, ReleaseError, WireError
from vfl_crypto.lattice.arithmetic import Arithmetic, fresh_seed
from vfl_crypto.lattice.parameters import SETS
from vfl_crypto.lattice.plan import PACK_LEVELS

if TYPE_CHECKING:
    from typing import NoReturn

    from numpy.typing import NDArray

    from vfl_crypto._native import Rns


class _PublicBytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lattice-public-1"):
    """A public key on the wire; every b bit-packed, limb after limb."""

    parameters: str
    seed: bytes
    encryption: bytes
    switching: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class PublicKey:
    """What the key holder publishes. Arrays are in NTT form."""

    arithmetic: Arithmetic
    encryption: NDArray[np.uint64]  # (2, primes, N): b, a modulo Q
    switching: tuple[NDArray[np.uint64], ...]  # by e: (digits, 2, primes + 1, N): b, a modulo QP
    packed: bytes  # as sent

    @cached_property
    def key_id(self) -> str:
        return hashlib.sha256(self.packed).hexdigest()

    @property
    def levels(self) -> int:
        """Packing levels it has switching keys for."""
        return len(self.switching)

    def switching_key(self, exponent: int) -> NDArray[np.uint64]:
        """The key of X -> X^exponent. Raises `CryptoError` for one that was not published."""
        for e, key in enumerate(self.switching):
            if exponent == (self.arithmetic.parameters.n >> e) + 1:
                return key
        raise CryptoError(
            f"the key holder published switching keys for {self.levels} packing levels, and this "
            f"product needs the one of X^{exponent}; ask for a key with more levels"
        )

    @classmethod
    def from_bytes(cls, packed: bytes, threads: int = 1) -> PublicKey:
        """Read what `SecretKey.publish` wrote. Raises `WireError` for anything else."""
        try:
            public = msgspec.msgpack.decode(packed, type=_PublicBytes)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"not a lattice public key: {error}") from error
        if public.parameters not in SETS:
            raise WireError(f"a lattice public key of unknown parameters {public.parameters!r}")
        if len(public.seed) != 32 or len(public.switching) > PACK_LEVELS:
            raise WireError("a lattice public key has a 32-byte seed and a key a packing level")
        arithmetic = Arithmetic(SETS[public.parameters], threads)
        p = arithmetic.parameters
        digits = len(p.primes)
        encryption = unpacked(arithmetic.rns, [public.encryption], p.n)
        switching = [
            unpacked(arithmetic.key_rns, _split(key, digits), p.n) for key in public.switching
        ]
        if not all(b.any(axis=-1).all() for b in (encryption, *switching)):
            raise WireError("a public key without randomness: damaged or forged")
        return _public(arithmetic, public.seed, encryption[0], switching, packed)


class SecretKey:
    """s, and what is derived from it. Never pickled, never printed."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self._ternary = arithmetic.ternary(fresh_seed(), 1)[0]
        ring = arithmetic.key_ring
        self._ntt = ring.forward(ring.lift(self._ternary), arithmetic.threads)

    def __repr__(self) -> str:
        return f"<lattice secret key, {self.arithmetic.parameters}>"

    def __reduce__(self) -> NoReturn:
        raise ReleaseError("a secret key is never pickled or copied; make one where it is used")

    @property
    def ntt(self) -> NDArray[np.uint64]:
        """s (primes, N) modulo Q, NTT form."""
        return self._ntt[:-1]

    def publish(self, levels: int = PACK_LEVELS) -> PublicKey:
        """A public key with switching keys for `levels` packing levels. New ones at each call."""
        arithmetic, seed = self.arithmetic, fresh_seed()
        ring, p = arithmetic.ring, arithmetic.parameters
        a = arithmetic.uniform(seed, 1)[0]
        error = ring.forward(ring.lift(arithmetic.errors(fresh_seed(), 1)[0]))
        b = ring.subtract(error, ring.multiply(a, np.ascontiguousarray(self.ntt)))
        switching = [
            self._switching_key(_switch_a(arithmetic, seed, e), (p.n >> e) + 1)
            for e in range(levels)
        ]
        packed = _PublicBytes(
            p.name,
            seed,
            arithmetic.rns.pack(b).tobytes(),
            tuple(arithmetic.key_rns.pack(key).tobytes() for key in switching),
        )
        return _public(arithmetic, seed, b, switching, msgspec.msgpack.encode(packed))

    def _switching_key(self, a: NDArray[np.uint64], exponent: int) -> NDArray[np.uint64]:
        """b (digits, primes + 1, N) of X -> X^exponent."""
        arithmetic = self.arithmetic
        ring, threads, p = arithmetic.key_ring, arithmetic.threads, arithmetic.parameters
        error = ring.lift(arithmetic.errors(fresh_seed(), len(p.primes)))
        b = ring.subtract(ring.forward(error, threads), ring.multiply(a, self._ntt), threads)
        image = ring.automorphism(ring.lift(self._ternary), exponent)
        special = np.array([p.special % q for q in p.moduli], dtype=np.uint64)
        image = ring.scale(ring.forward(image), special)
        for d, q in enumerate(p.primes):
            limb = b[d, d] + image[d]
            b[d, d] = np.where(limb >= q, limb - np.uint64(q), limb)
        return b


def unpacked(rns: Rns, parts: list[bytes], n: int) -> NDArray[np.uint64]:
    """Bit-packed polynomials -> (parts, primes, N). Raises `WireError` unless `pack` wrote them."""
    try:
        rows = [np.frombuffer(part, dtype=np.uint8) for part in parts]
        return np.stack([rns.unpack(row, n) for row in rows])
    except ValueError as error:
        raise WireError(f"damaged lattice bytes: {error}") from error


def _split(packed: bytes, parts: int) -> list[bytes]:
    size, rest = divmod(len(packed), parts)
    if rest:
        raise WireError(f"a switching key has {parts} digits of equal length")
    return [packed[i * size : (i + 1) * size] for i in range(parts)]


def _switch_a(arithmetic: Arithmetic, seed: bytes, e: int) -> NDArray[np.uint64]:
    """a (digits, primes + 1, N) of the e-th switching key, NTT form."""
    own = hashlib.sha256(seed + b"switching" + bytes([e])).digest()
    return arithmetic.uniform(own, len(arithmetic.parameters.primes), special=True)


def _public(
    arithmetic: Arithmetic,
    seed: bytes,
    b: NDArray[np.uint64],
    switching: list[NDArray[np.uint64]],
    packed: bytes,
) -> PublicKey:
    a = arithmetic.uniform(seed, 1)[0]
    keys = tuple(
        np.stack((key, _switch_a(arithmetic, seed, e)), axis=1) for e, key in enumerate(switching)
    )
    return PublicKey(arithmetic, np.stack((b, a)), keys, packed)
