"""One encrypted matrix product between a key holder and an evaluator, as bytes.

    key holder                         evaluator
    C (K, L)   ── upload ──────────▶   P (M, K)
    share      ◀────────── answer ──   share

Matrices of integers modulo t = 2^B travel as `Words`, row after row. An upload is the seed of a,
and b in as many bits as products need (`noise.upload_bits`). Rounding follows encryption and uses
nothing secret, so it shows nothing.

For a product with the encrypted factor on the left, [[E]] W with E (B, d) and W (d, o), take
C = E^T, P = W^T: the shares are those of (E W)^T. With whole columns of E in one polynomial no
transform and no switching key is needed at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import KeyMismatchError, WireError
from vfl_crypto.lattice import masking, noise
from vfl_crypto.lattice.bodies import SEED_BYTES
from vfl_crypto.lattice.encryption import encrypt_scaled, expand_seeded
from vfl_crypto.lattice.product import Tiles, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.lattice.keys import PublicKey, SecretKey
    from vfl_crypto.lattice.tiles import Tile
    from vfl_crypto.words import Words


def upload(tile: Tile, secret: SecretKey, data: Words, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """C (inner, columns) = shape, in tiles, seeded and rounded."""
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
    bits = noise.upload_bits(arithmetic.parameters, data.bits, -(-inner // tile.inner))
    packed = arithmetic.rns.compress(b, bits, arithmetic.threads)
    return np.concatenate((np.frombuffer(seed, dtype=np.uint8), packed.reshape(-1)))


def answer(
    tiles: Tiles, public: PublicKey, uploaded: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], Words]:
    """The masked product, and the evaluator's share (rows * columns,).

    Raises `WireError` for an upload of another length, `KeyMismatchError` for a plan that leaves
    no room for its rounding.
    """
    plan, arithmetic = tiles.plan, public.arithmetic
    if plan.upload_bits is None:
        raise KeyMismatchError("this plan is for factors whose b is not rounded")
    if uploaded.dtype != np.uint8 or uploaded.shape != (plan.upload_bytes,):
        raise WireError(
            f"an upload of this plan has {plan.upload_bytes} bytes, not {uploaded.shape}"
        )
    blocks = plan.inner_blocks, plan.column_blocks
    packed = uploaded[SEED_BYTES:].reshape(math.prod(blocks), -1)
    b = arithmetic.rns.decompress(packed, plan.upload_bits, plan.parameters.n, arithmetic.threads)
    c = expand_seeded(arithmetic, uploaded[:SEED_BYTES].tobytes(), b)
    c = c.reshape(*blocks, *c.shape[1:])
    return masking.mask(plan, public, evaluate(public, tiles, c))
