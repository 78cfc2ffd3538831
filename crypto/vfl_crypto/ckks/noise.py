"""How far a decrypted slot is off, and the flood that hides it: standard deviations.

Everything is static: it depends on parameters, scales and declared bounds, never on data. Errors
are polynomials with independent coefficients of deviation sigma; the real part of a slot is then
off by sigma sqrt(N / 2), in units of the scale.

A division by a prime with rounding leaves sigma_r = sqrt((1 + 2N/3) / 12) for a uniform ternary
secret (21.3 at N = 8192). A public-key encryption ends in one, as does a rescaling; they drown the
encryption's own error.

These are means over the slots. The rounding of c1 meets s, and |s(zeta)|^2 is exponentially
distributed over the slots: the largest is above 2 ln N times its mean in one key of 2N. What is to
be hidden counts that `peak`. The flood is OpenFHE's noise-flooding estimate (documentation of
`NOISE_FLOODING_DECRYPT`; analysis in Li, Micciancio, Schultz, Sorrell, ePrint 2022/816):

    flood = sqrt(12 tau) 2^(statistical_bits / 2) * deviation,       tau = openings of this key.
"""

from __future__ import annotations

import math

from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.errors import InsecureParametersError
from vfl_crypto.lattice.parameters import ERROR_STD

OPENINGS = 1 << 14
STATISTICAL_BITS = 30


def division(n: int) -> float:
    """Coefficients after a division by a prime, rounded in both polynomials."""
    return math.sqrt((1 + 2 * n / 3) / 12)


def encryption(n: int, *, public: bool) -> float:
    """Coefficients of a fresh encryption, with the rounding of its encoding."""
    return math.hypot(division(n) if public else ERROR_STD, math.sqrt(1 / 12))


def key_switch(parameters: Parameters, level: int) -> float:
    """Coefficients after a key switch: digits up to q_j / 2 times errors, over P, rounded."""
    digits = sum((q / parameters.special) ** 2 for q in parameters.data[:level])
    return math.hypot(math.sqrt(digits / 12 * parameters.n) * ERROR_STD, division(parameters.n))


def slot(n: int, coefficients: float, scale: float) -> float:
    """Real part of a slot whose coefficients are off by `coefficients`, in values."""
    return coefficients * math.sqrt(n / 2) / scale


def peak(n: int) -> float:
    """The noisiest slot by the mean one, at most."""
    return math.sqrt(2 * math.log(n))


def flood(deviation: float, openings: int, statistical_bits: int) -> float:
    """Deviation of the noise under which `deviation` cannot be seen in that many openings."""
    return math.sqrt(12 * openings * math.ldexp(1.0, statistical_bits)) * deviation


def require_flood(openings: int, statistical_bits: int) -> None:
    """Raises `InsecureParametersError` for a key that would not flood."""
    if openings < 1 or statistical_bits < STATISTICAL_BITS:
        raise InsecureParametersError(
            "a CKKS key floods for at least one opening and 30 statistical bits; got "
            f"{openings} and {statistical_bits}"
        )
