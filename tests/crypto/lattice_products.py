"""Keys of both parameter sets, and products under them beside the integer product."""

import numpy as np

from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.encryption import (
    decrypt,
    encrypt_public,
    encrypt_seeded,
    expand_seeded,
)
from vfl_crypto.lattice.keys import SecretKey
from vfl_crypto.lattice.parameters import COMPACT, WIDE
from vfl_crypto.lattice.plan import Plan
from vfl_crypto.lattice.product import Tiles, evaluate

SECRET = {p.name: SecretKey(Arithmetic(p, threads=2)) for p in (COMPACT, WIDE)}
PUBLIC = {name: secret.publish() for name, secret in SECRET.items()}


def upload(plan: Plan, C: np.ndarray, public: bool = False) -> np.ndarray:
    """Ciphertexts (inner blocks, column blocks, 2, primes, N) of C modulo t."""
    name = plan.parameters.name
    messages = plan.tile.encode_data(C).reshape(-1, plan.parameters.n)
    if public:
        polys = encrypt_public(PUBLIC[name], messages, plan.modulus_bits)
    else:
        seed, b = encrypt_seeded(SECRET[name], messages, plan.modulus_bits)
        polys = expand_seeded(SECRET[name].arithmetic, seed, b)
    return polys.reshape(plan.inner_blocks, plan.column_blocks, *polys.shape[1:])


def opened(plan: Plan, packed: np.ndarray) -> np.ndarray:
    """The product (rows, columns) modulo t."""
    messages = decrypt(SECRET[plan.parameters.name], packed, plan.modulus_bits)
    place, coefficient = plan.places
    return messages[place, coefficient]


def modulo(integers: np.ndarray, bits: int) -> np.ndarray:
    return integers.astype(np.uint64) & np.uint64((1 << bits) - 1)


def run(plan: Plan, P: np.ndarray, C: np.ndarray, public: bool = False) -> np.ndarray:
    name = plan.parameters.name
    tiles = Tiles(plan, SECRET[name].arithmetic, P)
    return opened(plan, evaluate(PUBLIC[name], tiles, upload(plan, C, public)))


def expected(plan: Plan, P: np.ndarray, C: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return modulo(P.astype(np.uint64) @ C, plan.modulus_bits)


def signed(rng: np.random.Generator, shape: tuple[int, int], bits: int, extreme: bool):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if extreme:
        return rng.choice([low, high], shape)
    return rng.integers(low, high + 1, shape)
