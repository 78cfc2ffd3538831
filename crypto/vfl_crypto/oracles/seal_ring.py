"""SEAL, as TenSEAL carries it: one context, words in and words out. The only import of tenseal.

SEAL takes 64 bytes from the operating system for every key and every encryption and expands them
anew. It holds the interpreter lock, so threads are safe but not faster.
"""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from vfl_crypto.oracles.residues import smallest_root
from vfl_crypto.oracles.seal_bytes import ciphertext_bytes
from vfl_crypto.security import check_ring

try:
    from tenseal import sealapi as seal
except ImportError as error:
    raise ImportError(
        "the ckks scheme runs on the optional package tenseal; install vfl[tenseal], "
        "or choose another scheme"
    ) from error

__all__ = ["Ring", "seal"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl_crypto.oracles.ckks_noise import CkksParameters


class Ring:
    """SEAL's context for one parameter set. A level is SEAL's parameter id: which primes count."""

    def __init__(self, parameters: CkksParameters) -> None:
        self.parameters = parameters
        self.security_bits = check_ring(parameters.n, parameters.prime_bits)
        chain = seal.CoeffModulus.Create(parameters.n, list(parameters.prime_bits))
        literal = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        literal.set_poly_modulus_degree(parameters.n)
        literal.set_coeff_modulus(chain)
        self.context = seal.SEALContext(literal, True, seal.SEC_LEVEL_TYPE.TC128)
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.CKKSEncoder(self.context)
        q0, q1, special = (int(prime.value()) for prime in chain)
        self.primes = (q0, q1, special)
        self.root = smallest_root(parameters.n, q0)
        self.key_level: list[int] = self.context.key_parms_id()  # q0, q1, special
        self.rows_level: list[int] = self.context.first_parms_id()  # q0, q1
        self.sums_level: list[int] = self.context.last_parms_id()  # q0

    def encode(
        self,
        slots: NDArray[np.float64] | NDArray[np.complex128],
        level: Sequence[int],
        scale: float,
    ) -> Any:
        plain = seal.Plaintext()
        self.encoder.encode(slots.tolist(), level, scale, plain)
        return plain

    def words(self, ciphertext: Any) -> NDArray[np.uint64]:
        """(2, primes, N) residues of a SEAL ciphertext."""
        shape = (2, int(ciphertext.coeff_modulus_size()), self.parameters.n)
        return _read(ciphertext.__getitem__, math.prod(shape)).reshape(shape)

    def plain_words(self, plain: Any) -> NDArray[np.uint64]:
        """(N,) residues modulo q0 of a SEAL plaintext."""
        return _read(plain.data, self.parameters.n)

    def ciphertext(self, words: NDArray[np.uint64], level: Sequence[int], scale: float) -> Any:
        """A SEAL ciphertext from checked words (2, primes, N)."""
        return self._load(seal.Ciphertext(), ciphertext_bytes(words, level, scale))

    def public_key(self, words: NDArray[np.uint64]) -> Any:
        return self._load(seal.PublicKey(), ciphertext_bytes(words, self.key_level, 1.0))

    def _load(self, target: Any, content: bytes) -> Any:
        """SEAL's binding reads files only. Nothing secret passes here, only what travels anyway."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            target.load(self.context, file.name)
        return target


def _read(word: Any, count: int) -> NDArray[np.uint64]:
    return np.fromiter(map(word, range(count)), dtype=np.uint64, count=count)
