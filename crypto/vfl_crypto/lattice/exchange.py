"""One encrypted matrix product between a key holder and an evaluator, as bytes.

    key holder                         evaluator
    C (K, L)   ── upload ──────────▶   P (M, K)
    share      ◀────────── answer ──   share

For a product with the encrypted factor on the left, [[E]] W with E (B, d) and W (d, o), take
C = E^T, P = W^T: the shares are those of (E W)^T. With whole columns of E in one polynomial no
transform and no switching key is needed at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import KeyMismatchError, WireError
from vfl_crypto.lattice import masking
from vfl_crypto.lattice.bodies import SEED_BYTES
from vfl_crypto.lattice.encryption import encrypt_seeded, expand_seeded
from vfl_crypto.lattice.product import Tiles, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.lattice.keys import PublicKey, SecretKey
    from vfl_crypto.lattice.plan import Plan


def upload(plan: Plan, secret: SecretKey, data: NDArray[np.int64]) -> NDArray[np.uint8]:
    """C (inner, columns), integers taken modulo t, seeded: about 8 bytes a value."""
    if data.shape != (plan.inner, plan.columns):
        raise KeyMismatchError(
            f"the plan encrypts a matrix of shape {(plan.inner, plan.columns)}, not {data.shape}"
        )
    words = data.view(np.uint64) & np.uint64((1 << plan.modulus_bits) - 1)
    messages = plan.tile.encode_data(words).reshape(-1, plan.parameters.n)
    seed, b = encrypt_seeded(secret, messages, plan.modulus_bits)
    packed = secret.arithmetic.rns.pack(b, secret.arithmetic.threads)
    return np.concatenate((np.frombuffer(seed, dtype=np.uint8), packed.reshape(-1)))


def answer(
    tiles: Tiles, public: PublicKey, uploaded: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """The masked product, and the evaluator's share (rows, columns). Raises `WireError`."""
    plan, arithmetic = tiles.plan, public.arithmetic
    count = plan.inner_blocks * plan.column_blocks
    size = arithmetic.rns.packed_bytes(plan.parameters.n)
    if uploaded.dtype != np.uint8 or uploaded.shape != (SEED_BYTES + count * size,):
        raise WireError(
            f"an upload of this plan has {SEED_BYTES + count * size} bytes, not {uploaded.shape}"
        )
    seed, packed = uploaded[:SEED_BYTES].tobytes(), uploaded[SEED_BYTES:].reshape(count, size)
    try:
        b = arithmetic.rns.unpack(packed, plan.parameters.n, arithmetic.threads)
    except ValueError as error:
        raise WireError(f"damaged lattice bytes: {error}") from error
    c = expand_seeded(arithmetic, seed, b)
    c = c.reshape(plan.inner_blocks, plan.column_blocks, *c.shape[1:])
    return masking.mask(plan, public, evaluate(public, tiles, c))
