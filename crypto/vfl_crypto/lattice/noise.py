"""How large the noise of each stage may become: standard deviations, in units modulo Q.

Every formula is compared with measured noise in the tests. A plan is accepted only if eight
deviations of its whole noise stay below half of Delta = Q / t.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from vfl_crypto.lattice.parameters import ERROR_STD

if TYPE_CHECKING:
    from vfl_crypto.lattice.parameters import ParameterSet

SIGMAS: Final = 8.0
"""Deviations that must fit: a Gaussian leaves them with probability 1.3e-15."""

C0_BITS: Final = 4
C1_BITS: Final = 9
"""A returned ciphertext is rounded to log t + 4 bits in c0 and log t + 9 bits in c1."""

UPLOAD_BITS: Final = 32
"""b of a factor in n blocks is rounded to log t + 32 + log(N n) / 2 bits: a product with entries of
26 bits then has a 16th of the noise from it that it has from the rounding of c1, one with entries
of 30 bits as much."""


def encrypted(parameters: ParameterSet, *, public: bool) -> float:
    """A fresh encryption: e with the secret key, e u + e_0 + e_1 s with the public key."""
    return ERROR_STD * (math.sqrt(4 * parameters.n / 3 + 1) if public else 1.0)


def upload_bits(parameters: ParameterSet, modulus_bits: int, inner_blocks: int) -> int:
    """Bits of a coefficient of b as it is uploaded; those of Q lose nothing."""
    growth = math.ceil(math.log2(parameters.n * inner_blocks) / 2)
    return min(parameters.q.bit_length(), modulus_bits + UPLOAD_BITS + growth)


def uploaded(parameters: ParameterSet, bits: int) -> float:
    """An encryption under the secret key with b rounded to `bits`."""
    exact = bits >= parameters.q.bit_length()
    rounding = 0.0 if exact else parameters.q / 2**bits / math.sqrt(12)
    return math.hypot(encrypted(parameters, public=False), rounding)


def key_switch(parameters: ParameterSet) -> float:
    """One key switch: digits of up to q_d / 2 times errors, over P, and the rounding of that."""
    digits = sum((q / parameters.special) ** 2 for q in parameters.primes)
    rounding = (1 + 2 * parameters.n / 3) / 12
    return math.sqrt(digits / 12 * parameters.n * ERROR_STD**2 + rounding)


def product(
    parameters: ParameterSet,
    fresh: float,
    magnitude: float,
    entries: int,
    split: int,
    levels: int,
    *,
    worst: bool,
) -> float:
    """A packed product.

    fresh      of the encrypted factor
    magnitude  root mean square (or bound) of the plain entries
    entries    of the plain matrix that meet one encrypted column
    split      levels of the packing done on the encrypted factor, by a chain of key switches
    levels     all levels of the packing
    worst      for any matrix: its entries may all meet the image of `split` key switches; else for
               one without such structure, which meets images of split / 2 on average
    """
    factor = math.hypot(fresh, math.sqrt(1 / 12)) * magnitude * math.sqrt(entries)
    switches = split if worst else split / 2
    images = key_switch(parameters) * magnitude * 2**split * math.sqrt(switches * entries)
    tree = key_switch(parameters) * 2 ** (levels - split) * (levels > split)
    return math.hypot(factor, images, tree)


def returned(parameters: ParameterSet, modulus_bits: int) -> float:
    """What the departure adds: an encryption of zero and the rounding of c1 (c0: see `c0_step`)."""
    step = parameters.q / 2 ** (modulus_bits + C1_BITS)
    rounding = step * math.sqrt((1 + 2 * parameters.n / 3) / 12)
    return math.hypot(encrypted(parameters, public=True), rounding)


def c0_step(parameters: ParameterSet, modulus_bits: int) -> float:
    """The rounding of c0 errs by at most half of this."""
    return float(parameters.q / 2 ** (modulus_bits + C0_BITS))
