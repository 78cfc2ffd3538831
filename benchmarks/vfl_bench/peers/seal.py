"""SEAL's number-theoretic transform, reached through `tenseal.sealapi`.

A BFV ciphertext is two residue polynomials a prime; transforming it in place is two transforms a
prime and nothing else: no encoding, no copy. One call of the binding is under a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenseal import sealapi as seal

from vfl_bench.harness import Contender, Seconds, timed

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
