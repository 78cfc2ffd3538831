"""The kernels of one parameter set: the ring modulo Q, the ring modulo QP, rounding, samplers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vfl_crypto import _native
from vfl_crypto.kernels import KeySwitch, Ring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vfl_crypto.lattice.parameters import ParameterSet

_UNIFORM, _TERNARY, _BINOMIAL = range(3)  # streams of one seed


def fresh_seed() -> bytes:
    """32 bytes of the operating system. One for every key, encryption and mask; never stored."""
    return os.urandom(32)


@dataclass(frozen=True)
class Arithmetic:
    """Polynomials are uint64 (..., primes, N); `threads` goes into each call of a kernel."""

    parameters: ParameterSet
    threads: int = 1

    @cached_property
    def ring(self) -> Ring:
        """Modulo Q."""
        return Ring(self.parameters.n, self.parameters.primes)

    @cached_property
    def key_ring(self) -> Ring:
        """Modulo QP."""
        return Ring(self.parameters.n, self.parameters.moduli)

    @cached_property
    def switch(self) -> KeySwitch:
        return KeySwitch(self.parameters.n, self.parameters.primes, self.parameters.special)

    @cached_property
    def rns(self) -> _native.Rns:
        """Rounding and bit packing modulo Q."""
        return _native.Rns(self.parameters.primes)

    @cached_property
    def key_rns(self) -> _native.Rns:
        """Bit packing modulo QP."""
        return _native.Rns(self.parameters.moduli)

    def uniform(
        self, seed: bytes, count: int, *, length: int = 0, special: bool = False
    ) -> NDArray[np.uint64]:
        """(count, primes, N or `length`), uniform modulo Q, or modulo QP."""
        p = self.parameters
        primes = p.moduli if special else p.primes
        return _native.sample_uniform(seed, _UNIFORM, primes, length or p.n, count, self.threads)

    def ternary(self, seed: bytes, count: int) -> NDArray[np.int64]:
        """(count, N), uniform in -1, 0, 1."""
        return _native.sample_ternary(seed, _TERNARY, self.parameters.n, count, self.threads)

    def errors(self, seed: bytes, count: int) -> NDArray[np.int64]:
        """(count, N), centred binomial of variance 10.5."""
        return _native.sample_binomial(seed, _BINOMIAL, self.parameters.n, count, self.threads)
