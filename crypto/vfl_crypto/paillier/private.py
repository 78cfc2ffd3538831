"""The secret half of a Paillier key: decryption modulo p^2 and q^2, joined by remainders.

m mod p = L_p(c^(p-1) mod p^2) / L_p((1+n)^(p-1) mod p^2) with L_p(u) = (u - 1) / p; the divisor is
-q mod p (Paillier, Eurocrypt 1999, section 7). The exponentiations run in the kernels with a
sequence of operations and addresses that depends on the size of p alone; the single divisions
around them are Python's and not of constant time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from vfl_crypto import _native
from vfl_crypto.errors import CryptoError
from vfl_crypto.paillier.keys import PublicKey, admits_h_s, generate_primes, make_h_s
from vfl_crypto.paillier.limbs import from_limbs, limbs_for, to_limbs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Half:
    """One prime, arithmetic modulo its square, and decryption modulo it."""

    __slots__ = ("exponent", "factor", "prime", "ring")

    def __init__(self, prime: int, other: int) -> None:
        limbs = limbs_for(prime.bit_length())
        self.prime = prime
        self.exponent = to_limbs([prime - 1], limbs)
        self.factor = pow(-other % prime, -1, prime)
        self.ring = _native.Modulus(to_limbs([prime], limbs)[0], square=True)

    def decrypt(self, ciphertexts: list[int], threads: int) -> list[int]:
        p = self.prime
        bases = to_limbs((c % p**2 for c in ciphertexts), self.ring.limbs)
        powers = from_limbs(_native.modexp(bases, self.exponent, self.ring, threads))
        if any(u % p != 1 for u in powers):
            raise CryptoError("not a Paillier ciphertext: it shares a factor with the key")
        return [u // p * self.factor % p for u in powers]


class PrivateKey:
    """p < q, and all that follows from them. Prints and pickles as nothing."""

    __slots__ = ("_p_inverse", "_square_inverse", "halves", "public")

    def __init__(self, p: int, q: int, *, classic: bool = False) -> None:
        """For two different primes; makes a new h_s where they admit one, unless `classic`.

        A key that others encrypt under with r^n must be classic (`keys`).
        """
        if p == q:
            raise CryptoError("the primes of a Paillier key must differ")
        p, q = sorted((p, q))
        n = p * q
        self.public = PublicKey(n, make_h_s(n) if admits_h_s(p, q) and not classic else None)
        self.halves = Half(p, q), Half(q, p)
        self._p_inverse = pow(p, -1, q)
        self._square_inverse = to_limbs([pow(p * p, -1, q * q)], self.halves[1].ring.limbs)[0]

    @classmethod
    def generate(cls, bits: int, *, classic: bool = False) -> PrivateKey:
        """A new key of exactly `bits` bits. Raises `InsecureParametersError` below the floor."""
        return cls(*generate_primes(bits), classic=classic)

    @property
    def primes(self) -> tuple[int, int]:
        """(p, q), for handing the key to another implementation."""
        p, q = self.halves
        return p.prime, q.prime

    def join(
        self, a: NDArray[np.uint64], b: NDArray[np.uint64], threads: int
    ) -> NDArray[np.uint64]:
        """The rows modulo n^2 that are a modulo p^2 and b modulo q^2."""
        p, q = (half.ring for half in self.halves)
        return _native.crt_join(a, b, p, q, self._square_inverse, self.public.limbs, threads)

    def decrypt(self, ciphertexts: NDArray[np.uint64], threads: int) -> list[int]:
        """Plaintexts in (-n/2, n/2) of uint64 (count, limbs), each below n^2.

        Raises `CryptoError` for a row that is no unit modulo n^2.
        """
        integers = from_limbs(ciphertexts)
        (p, q), n = self.primes, self.public.n
        values = []
        halves = (half.decrypt(integers, threads) for half in self.halves)
        for m_p, m_q in zip(*halves, strict=True):
            m = m_p + p * ((m_q - m_p) * self._p_inverse % q)
            values.append(m - n if m > n // 2 else m)
        return values

    def __repr__(self) -> str:
        return f"<Paillier private key {self.public.key_id}>"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("a private key is never pickled or copied; make one where it is used")
