"""One encrypted matrix product between a key holder and an evaluator, as bytes.

    key holder                         evaluator
    C (K, L)   ── upload ──────────▶   P (M, K)
    share      ◀────────── answer ──   share

Matrices of integers modulo t = 2^B travel as `Words`, row after row. For a product with the
encrypted factor on the left, [[E]] W with E (B, d) and W (d, o), take C = E^T, P = W^T: the shares
are those of (E W)^T. With whole columns of E in one polynomial no transform and no switching key is
needed at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import KeyMismatchError, WireError
from vfl_crypto.lattice import masking
from vfl_crypto.lattice.bodies import SEED_BYTES
from vfl_crypto.lattice.encryption import encrypt_scaled, expand_seeded
from vfl_crypto.lattice.product import Tiles, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.lattice.keys import PublicKey, SecretKey
    from vfl_crypto.lattice.tiles import Tile
    from vfl_crypto.words import Words


def upload(tile: Tile, secret: SecretKey, data: Words, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """C (inner, columns) = shape, in tiles and seeded: 18.4 bytes a value in the wide set."""
    inner, columns = shape
    if len(data) != inner * columns:
        raise KeyMismatchError(f"{len(data)} integers are no matrix of shape {shape}")
    numbered = np.arange(1, inner * columns + 1, dtype=np.uint64).reshape(shape)
    places = tile.encode_data(numbered).reshape(-1, tile.n)  # 0 where there is none
    limbs = np.concatenate((np.zeros_like(data.limbs, shape=(1, data.limbs.shape[1])), data.limbs))
    stream = type(data)(limbs[places.reshape(-1)], data.bits).packed().reshape(len(places), -1)
    arithmetic = secret.arithmetic
    scaled = arithmetic.rns.decompress(stream, data.bits, tile.n, arithmetic.threads)
    seed, b = encrypt_scaled(secret, scaled)
    packed = arithmetic.rns.pack(b, arithmetic.threads)
    return np.concatenate((np.frombuffer(seed, dtype=np.uint8), packed.reshape(-1)))


def answer(
    tiles: Tiles, public: PublicKey, uploaded: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], Words]:
    """The masked product, and the evaluator's share (rows * columns,). Raises `WireError`."""
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
