"""Paillier public keys: what they are, how they travel, how strong they are; and new key pairs.

n = p q with p = q = 3 mod 4 and gcd(p - 1, q - 1) = 2; h = -x^2 mod n for a random unit x;
h_s = h^n mod n^2 is public. Encryption of m is (1 + m n) h_s^r mod n^2 with r of half the length of
n (Damgard, Jurik, Nielsen, "A generalization of Paillier's public-key system with applications to
electronic voting", IJIS 9(6), 2010, section 4.2). For such n a half-length r is as good as a full
one under the hardness of factoring (Goldreich and Rosen, J. Cryptology 16(2), 2003); nothing
shorter has a proof.

A key without h_s is *classic*: everybody blinds with Paillier's own r^n. It is a property of the
key, because the two must not meet. h_s^r has Jacobi symbol 1 modulo n, r^n either; a product of
r^n ciphertexts blinded by h_s^r keeps its symbol, from which anybody reads parities of sums over
the columns of the matrix (`tests/attacks/test_paillier_symbol.py`).

The encryptor trusts the key's owner: a malformed n or h_s would let the owner's peers leak.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from vfl_crypto.errors import CryptoError, InsecureParametersError, WireError
from vfl_crypto.paillier.limbs import limbs_for

MIN_KEY_BITS = 2048
MAX_KEY_BITS = 8192
DEFAULT_KEY_BITS = 3072

# NIST SP 800-57 part 1 revision 5, table 2: bits of n -> classical security.
_STRENGTH = ((7680, 192), (3072, 128), (2048, 112))


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["paillier-public-1"]
    n: bytes
    h_s: bytes | None


def check_key_bits(bits: int) -> None:
    """Raises `InsecureParametersError` below the floor, `CryptoError` above the ceiling."""
    if bits < MIN_KEY_BITS:
        raise InsecureParametersError(
            f"a Paillier key of {bits} bits is below the floor of {MIN_KEY_BITS}; "
            f"use {DEFAULT_KEY_BITS} (128-bit security)"
        )
    if bits > MAX_KEY_BITS:
        raise CryptoError(f"a Paillier key of {bits} bits is above the ceiling of {MAX_KEY_BITS}")


@dataclass(frozen=True)
class PublicKey:
    """n, and h_s where the owner could make one. Checked when made: size, parity, range of h_s."""

    n: int
    h_s: int | None

    def __post_init__(self) -> None:
        check_key_bits(self.bits)
        if self.n % 2 == 0:
            raise WireError("a Paillier modulus is odd; this key is damaged or forged")
        if self.h_s is not None and not (
            1 < self.h_s < self.n**2 and math.gcd(self.h_s, self.n) == 1
        ):
            raise WireError("h_s is not a unit modulo n^2; this key is damaged or forged")

    @property
    def bits(self) -> int:
        return self.n.bit_length()

    @property
    def security_bits(self) -> int:
        """Classical security after NIST SP 800-57."""
        return next(strength for bits, strength in _STRENGTH if self.bits >= bits)

    @property
    def limbs(self) -> int:
        """64-bit limbs of a ciphertext."""
        return 2 * limbs_for(self.bits)

    @cached_property
    def key_id(self) -> str:
        """The first 16 hex digits of the SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """MessagePack with big-endian integers, h_s as long as n^2."""
        h_s = None if self.h_s is None else self.h_s.to_bytes(2 * len(_bytes(self.n)), "big")
        return msgspec.msgpack.encode(_Wire("paillier-public-1", _bytes(self.n), h_s))

    @staticmethod
    def from_bytes(data: bytes) -> PublicKey:
        """What `to_bytes` wrote, and nothing else.

        Raises `WireError` for malformed bytes, `InsecureParametersError` for a key below the floor.
        """
        if len(data) > MAX_KEY_BITS:  # n and n^2 take three eighths of that
            raise WireError(f"{len(data)} bytes are too long for a Paillier public key")
        try:
            wire = msgspec.msgpack.decode(data, type=_Wire)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError(f"not a Paillier public key: {error}") from None
        h_s = None if wire.h_s is None else int.from_bytes(wire.h_s, "big")
        key = PublicKey(int.from_bytes(wire.n, "big"), h_s)
        if key.to_bytes() != data:
            raise WireError("a Paillier public key in another form than the canonical one")
        return key


def _bytes(value: int) -> bytes:
    return value.to_bytes(-(-value.bit_length() // 8), "big")


def admits_h_s(p: int, q: int) -> bool:
    """Whether a key of these primes may use h_s^r: both 3 mod 4, gcd(p - 1, q - 1) = 2."""
    return p % 4 == 3 and q % 4 == 3 and math.gcd(p - 1, q - 1) == 2


def make_h_s(n: int) -> int:
    """(-x^2)^n mod n^2 for a random unit x modulo n."""
    while True:
        x = secrets.randbelow(n)
        if math.gcd(x, n) == 1:
            return pow(n - x * x % n, n, n * n)


def generate_primes(bits: int) -> tuple[int, int]:
    """Primes of a new key of exactly `bits` bits, from OpenSSL's RSA key generator.

    Collects RSA primes that are 3 mod 4 until two fit together. Raises as `check_key_bits`.
    """
    check_key_bits(bits)
    if bits % 2:
        raise CryptoError(f"a Paillier key has an even number of bits, not {bits}")
    candidates: list[int] = []
    while True:
        numbers = rsa.generate_private_key(public_exponent=65537, key_size=bits).private_numbers()
        for prime in (numbers.p, numbers.q):
            for other in candidates:
                if admits_h_s(prime, other) and (prime * other).bit_length() == bits:
                    return prime, other
            if prime % 4 == 3:
                candidates.append(prime)
