"""SEAL's transform, encoder and encryption, reached through `tenseal.sealapi`.

A BFV ciphertext is two residue polynomials a prime; transforming it in place is two transforms a
prime and nothing else: no encoding, no copy. One call of the binding is under a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tenseal import sealapi as seal

from vfl_bench.harness import Contender, Seconds, timed
from vfl_bench.suites.common import relative_error
from vfl_crypto.security import check_ring

PLAIN_MODULUS = 65537  # any: no plaintext is transformed


class SealTransform:
    """`count` residue polynomials (an even number) of degree below `n` modulo `prime`."""

    def __init__(self, n: int, prime: int, count: int) -> None:
        literal = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
        literal.set_poly_modulus_degree(n)
        literal.set_coeff_modulus([seal.Modulus(prime)])
        literal.set_plain_modulus(PLAIN_MODULUS)
        context = seal.SEALContext(literal, True, seal.SEC_LEVEL_TYPE.NONE)
        encryptor = seal.Encryptor(context, seal.KeyGenerator(context).secret_key())
        self._evaluator = seal.Evaluator(context)
        self._count = count
        self.ciphertexts: list[Any] = []
        for _ in range(count // 2):
            ciphertext = seal.Ciphertext()
            encryptor.encrypt_zero_symmetric(ciphertext)
            self.ciphertexts.append(ciphertext)

    def forward(self) -> Contender:
        """Coefficients to values; an item is one residue polynomial."""
        return self._contender(self.to_values, self.to_coefficients, transformed=False)

    def inverse(self) -> Contender:
        return self._contender(self.to_coefficients, self.to_values, transformed=True)

    def to_values(self) -> None:
        for ciphertext in self.ciphertexts:
            self._evaluator.transform_to_ntt_inplace(ciphertext)

    def to_coefficients(self) -> None:
        for ciphertext in self.ciphertexts:
            self._evaluator.transform_from_ntt_inplace(ciphertext)

    def _contender(
        self, run: Callable[[], None], back: Callable[[], None], *, transformed: bool
    ) -> Contender:
        def call() -> Seconds:
            if self.ciphertexts[0].is_ntt_form() != transformed:
                back()
            return timed(run)

        return Contender("seal", call, self._count, {"threads": 1, "note": "in place"})


class SealCkks:
    """Encoding and encryption of vectors (m, N/2) apart; an item is a vector."""

    def __init__(
        self, n: int, prime_bits: tuple[int, ...], scale: float, values: NDArray[np.float64]
    ) -> None:
        literal = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        literal.set_poly_modulus_degree(n)
        literal.set_coeff_modulus(seal.CoeffModulus.Create(n, list(prime_bits)))
        context = seal.SEALContext(literal, True, seal.SEC_LEVEL_TYPE.TC128)
        generator, key = seal.KeyGenerator(context), seal.PublicKey()
        generator.create_public_key(key)
        self._encoder = seal.CKKSEncoder(context)
        self._encryptor = seal.Encryptor(context, key)
        self._decryptor = seal.Decryptor(context, generator.secret_key())
        self._scale = scale
        self._values = values
        self._rows = values.tolist()
        self._plain = [seal.Plaintext() for _ in self._rows]
        self._sealed = [seal.Ciphertext() for _ in self._rows]
        self._facts: dict[str, Any] = {
            "threads": 1, "parameters": f"N = {n}, log2 QP = {sum(prime_bits)}",
            "log_qp": sum(prime_bits), "security_bits": check_ring(n, prime_bits),
        }  # fmt: skip
        self._encode()

    def encode(self) -> Contender:
        """Lists to words of the data primes."""
        return Contender(
            "seal", self._encode, len(self._rows), self._facts, lambda: self._error(self._plain)
        )

    def encrypt(self) -> Contender:
        """What was encoded, under the public key."""
        return Contender(
            "seal", self._encrypt, len(self._rows), self._facts,
            lambda: self._error([self._opened(c) for c in self._sealed]),
        )  # fmt: skip

    def _encode(self) -> None:
        for row, plain in zip(self._rows, self._plain, strict=True):
            self._encoder.encode(row, self._scale, plain)

    def _encrypt(self) -> None:
        for plain, ciphertext in zip(self._plain, self._sealed, strict=True):
            self._encryptor.encrypt(plain, ciphertext)

    def _opened(self, ciphertext: Any) -> Any:
        plain = seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plain)
        return plain

    def _error(self, plains: list[Any]) -> float:
        return relative_error([self._encoder.decode_double(p) for p in plains], self._values)
