"""The kernels of one chain: rings by level, key switching, the embedding, samplers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from vfl_crypto import _native
from vfl_crypto.kernels import CkksRing, KeySwitch, Ring
from vfl_crypto.lattice.arithmetic import fresh_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vfl_crypto.ckks.parameters import Parameters

__all__ = ["Arithmetic", "fresh_seed"]

_TERNARY, _BINOMIAL = 1, 2  # streams of one seed


@dataclass(frozen=True)
class Arithmetic:
    """Polynomials are uint64 (..., level, N); `threads` goes into each call of a kernel."""

    parameters: Parameters
    threads: int = 1
    _rings: dict[int, Ring] = field(default_factory=dict, compare=False, repr=False)
    _switches: dict[int, KeySwitch] = field(default_factory=dict, compare=False, repr=False)

    def ring(self, level: int) -> Ring:
        """Modulo the first `level` data primes."""
        if level not in self._rings:
            self._rings[level] = Ring(self.parameters.n, self.parameters.data[:level])
        return self._rings[level]

    def switch(self, level: int) -> KeySwitch:
        """Key switching at that level."""
        if level not in self._switches:
            p = self.parameters
            self._switches[level] = KeySwitch(p.n, p.data[:level], p.special)
        return self._switches[level]

    @cached_property
    def key_ring(self) -> Ring:
        """Modulo QP."""
        return Ring(self.parameters.n, self.parameters.primes)

    @cached_property
    def chain(self) -> CkksRing:
        """Public-key encryption, division by primes, numbers out of residues."""
        return CkksRing(self.parameters.n, self.parameters.data, self.parameters.special)

    @cached_property
    def embedding(self) -> _native.Embedding:
        return _native.Embedding(self.parameters.n)

    def uniform(self, seeds: NDArray[np.uint8], level: int) -> NDArray[np.uint64]:
        """What seeds (count, 64) expand to modulo the first `level` primes: (count, level, N)."""
        p = self.parameters
        return _native.seal_uniform(seeds, p.primes[:level], p.n, self.threads)

    def ternary(self, seed: bytes, count: int) -> NDArray[np.int64]:
        """(count, N), uniform in -1, 0, 1."""
        return _native.sample_ternary(seed, _TERNARY, self.parameters.n, count, self.threads)

    def errors(self, seed: bytes, count: int) -> NDArray[np.int64]:
        """(count, N), centred binomial of variance 10.5."""
        return _native.sample_binomial(seed, _BINOMIAL, self.parameters.n, count, self.threads)
