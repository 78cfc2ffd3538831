"""How a product leaves its evaluator, and how the key holder reads it.

The key holder knows s, and its own a and e. From an unprotected product it would read the plain
matrix three times over: c1 = sum p a divided by a; the noise sum p e; the unused coefficients. So

    one encryption of zero under the public key, fresh for each ciphertext, is added: c1 is an RLWE
    sample; c0 is sent only where there is a result; and there it is covered by

    mask    r uniform modulo Q. The key holder's share decrypts to round(t (m + r) / Q), the
            evaluator keeps -round(t r / Q): a one-time pad on message and noise at once.
    flood   an integer uniform in +-2^b, 2^40 times what the noise may reach: for results that the
            key holder itself may read.

c1 and c0 are then rounded to log t + 9 and log t + 4 bits. Shares add up to the product exactly or
off by one unit: off with probability E|noise| / Delta, measured 2.5 % in the compact set at
B = 4096, f = 300 (`tests/crypto/test_lattice_masking.py`), and never by more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto.errors import WireError
from vfl_crypto.lattice import noise
from vfl_crypto.lattice.arithmetic import fresh_seed
from vfl_crypto.lattice.encryption import encrypt_zero, times_secret
from vfl_crypto.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.lattice.arithmetic import Arithmetic
    from vfl_crypto.lattice.keys import PublicKey, SecretKey
    from vfl_crypto.lattice.plan import Plan

DROPPED_BITS: Final = 16
OPENINGS_PER_BIT: Final = 6
"""Openings at full length from which an evaluator learns one bit of the key, at the least.

1 / (2.606 std / Delta), 2.606 being the integral of a carry's entropy over its threshold: 13 for
the rounding of c1 in the compact set, 9.2 in the wide one, 6.5 for the tightest plan accepted.
"""


def mask(
    plan: Plan, public: PublicKey, product: NDArray[np.uint64]
) -> tuple[NDArray[np.uint8], Words]:
    """A packed product -> bytes for the key holder, and the evaluator's share.

    The share is (rows * columns,) modulo 2^modulus_bits. New randomness at every call: a retry
    calls again or sends the same bytes, nothing in between.
    """
    arithmetic = public.arithmetic
    pad = arithmetic.uniform(fresh_seed(), 1, length=plan.rows * plan.columns)[0]
    return _departing(plan, public, product, pad), -_words(arithmetic, pad, plan.modulus_bits)


def flood(
    plan: Plan, public: PublicKey, product: NDArray[np.uint64], values: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    """A packed product plus `values` (rows, columns) modulo t -> bytes for the key holder.

    Raises `InsecureParametersError` when the plan has no room for a flood of 2^40 times its noise.
    """
    p, bits = plan.parameters, plan.flood_bits
    draws = os.urandom(16 * values.size)
    integers = [
        (int.from_bytes(draws[i : i + 16], "little") >> (127 - bits)) - (1 << bits)
        for i in range(0, len(draws), 16)
    ]
    covering = np.array([[v % q for v in integers] for q in p.primes], dtype=np.uint64)
    scaled = public.arithmetic.rns.scale_up(values.reshape(-1), plan.modulus_bits)
    covering = (scaled + covering) % np.array(p.primes, dtype=np.uint64)[:, None]
    return _departing(plan, public, product, covering)


def open_share(plan: Plan, secret: SecretKey, sent: NDArray[np.uint8]) -> Words:
    """The key holder's share (rows * columns,) after `mask`; raises as `open_returned`."""
    phase = _returned_phase(plan, secret, sent)
    return _words(secret.arithmetic, phase, plan.modulus_bits)


def open_returned(plan: Plan, secret: SecretKey, sent: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The values (rows, columns) modulo 2^modulus_bits after `flood`, up to 64 bits.

    Raises `WireError` for bytes that neither `mask` nor `flood` wrote.
    """
    phase, arithmetic = _returned_phase(plan, secret, sent), secret.arithmetic
    opened = arithmetic.rns.scale_down(phase, plan.modulus_bits, arithmetic.threads)
    return opened.reshape(plan.rows, plan.columns)


def _returned_phase(plan: Plan, secret: SecretKey, sent: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """c0 + c1 s where there is a result: (primes, values)."""
    arithmetic, p, bits = secret.arithmetic, plan.parameters, plan.modulus_bits
    c1_bytes = _bytes(p.n, bits + noise.C1_BITS)
    if sent.dtype != np.uint8 or sent.shape != (returned_bytes(plan),):
        raise WireError(
            f"a returned product of this plan has {returned_bytes(plan)} bytes, not {sent.shape}"
        )
    edge, values = plan.results * c1_bytes, plan.rows * plan.columns
    try:
        rows = sent[:edge].reshape(plan.results, c1_bytes)
        c1 = arithmetic.rns.decompress(rows, bits + noise.C1_BITS, p.n, arithmetic.threads)
        c0 = arithmetic.rns.decompress(
            sent[edge:], bits + noise.C0_BITS, values, arithmetic.threads
        )
    except ValueError as error:
        raise WireError(f"damaged lattice bytes: {error}") from error
    return _gathered(plan, arithmetic, times_secret(secret, c1), c0)


def returned_bytes(plan: Plan) -> int:
    """Length of what `mask` and `flood` return."""
    c1 = _bytes(plan.parameters.n, plan.modulus_bits + noise.C1_BITS)
    return plan.results * c1 + _bytes(plan.rows * plan.columns, plan.modulus_bits + noise.C0_BITS)


def _departing(
    plan: Plan,
    public: PublicKey,
    product: NDArray[np.uint64],
    covering: NDArray[np.uint64],
) -> NDArray[np.uint8]:
    """A fresh zero for each ciphertext, `covering` (primes, values) on c0, only what is needed."""
    arithmetic, bits = public.arithmetic, plan.modulus_bits
    fresh = arithmetic.ring.add(encrypt_zero(public, plan.results), product, arithmetic.threads)
    c0 = _gathered(plan, arithmetic, fresh, covering)
    c1 = np.ascontiguousarray(fresh[:, 1])
    rounded = arithmetic.rns.compress(c1, bits + noise.C1_BITS, arithmetic.threads)
    wanted = arithmetic.rns.compress(c0, bits + noise.C0_BITS, arithmetic.threads)
    return np.concatenate((rounded.reshape(-1), wanted))


def _gathered(
    plan: Plan, arithmetic: Arithmetic, polys: NDArray[np.uint64], plus: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """The first polynomials' coefficients that hold a result, `plus` added: (primes, values).

    polys is (results, primes, N) or, of ciphertexts, (results, 2, primes, N).
    """
    ciphertext, coefficient = plan.places
    start = (ciphertext * polys[0].size + coefficient).reshape(-1)
    return arithmetic.rns.gather_add(polys, start, plus, arithmetic.threads)


def _words(arithmetic: Arithmetic, x: NDArray[np.uint64], bits: int) -> Words:
    """round(2^bits x / Q) modulo 2^bits of x (primes, values)."""
    stream = arithmetic.rns.compress(x, bits, arithmetic.threads)
    return Words.unpacked(stream, x.shape[1], bits)


def _bytes(count: int, bits: int) -> int:
    return (count * bits + 7) // 8
