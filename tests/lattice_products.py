"""Keys of both parameter sets, products under them beside the integer product, and what they show.

Shared by the tests of the lattice and by the attacks on it.
"""

import numpy as np

from vfl_crypto.lattice import noise
from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.encryption import (
    decrypt,
    encrypt_public,
    encrypt_seeded,
    expand_seeded,
)
from vfl_crypto.lattice.keys import SecretKey
from vfl_crypto.lattice.parameters import SETS, ParameterSet
from vfl_crypto.lattice.plan import Plan
from vfl_crypto.lattice.product import Tiles, evaluate
from vfl_crypto.words import Words

ARITHMETIC = {p.name: Arithmetic(p, threads=2) for p in SETS.values()}
SECRET = {name: SecretKey(arithmetic) for name, arithmetic in ARITHMETIC.items()}
PUBLIC = {name: secret.publish() for name, secret in SECRET.items()}


# products


def entries(rng: np.random.Generator, shape: tuple[int, int], bits: int, extreme: bool):
    """Signed integers of `bits` bits, all or only the least and the largest."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if extreme:
        return rng.choice([low, high], shape)
    return rng.integers(low, high + 1, shape)


def modulo(integers: np.ndarray, bits: int) -> np.ndarray:
    return integers.astype(np.uint64) & np.uint64((1 << bits) - 1)


def signed(residues: np.ndarray, bits: int) -> np.ndarray:
    """Residues modulo 2^bits as integers around zero."""
    shift = 64 - bits
    return (residues << np.uint64(shift)).view(np.int64) >> np.int64(shift)


def words_of(residues: np.ndarray, bits: int) -> Words:
    """uint64 or int64 of any shape as Words modulo 2^bits, row after row."""
    return Words.of(residues.reshape(-1).view(np.int64), bits)


def residues_of(words: Words) -> np.ndarray:
    """Words of at most 64 bits as uint64 (count,)."""
    return np.array(words.to_list(), dtype=np.uint64)


def upload(plan: Plan, C: np.ndarray, public: bool = False) -> np.ndarray:
    """The key holder's ciphertexts (inner blocks, column blocks, 2, primes, N) of C modulo t."""
    name = plan.parameters.name
    messages = plan.tile.encode_data(C).reshape(-1, plan.parameters.n)
    if public:
        polys = encrypt_public(PUBLIC[name], messages, plan.modulus_bits)
    else:
        seed, b = encrypt_seeded(SECRET[name], messages, plan.modulus_bits)
        polys = expand_seeded(ARITHMETIC[name], seed, b)
    return polys.reshape(plan.inner_blocks, plan.column_blocks, *polys.shape[1:])


def product(plan: Plan, P: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Ciphertexts (results, 2, primes, N), before anything protects them."""
    name = plan.parameters.name
    return evaluate(PUBLIC[name], Tiles(plan, ARITHMETIC[name], P), c)


def run(plan: Plan, P: np.ndarray, C: np.ndarray, public: bool = False) -> np.ndarray:
    """The product (rows, columns) modulo t, encrypted, computed and decrypted."""
    packed = product(plan, P, upload(plan, C, public))
    messages = decrypt(SECRET[plan.parameters.name], packed, plan.modulus_bits)
    place, coefficient = plan.places
    return messages[place, coefficient]


def expected(plan: Plan, P: np.ndarray, C: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return modulo(P.astype(np.uint64) @ C, plan.modulus_bits)


# what they show


def centred(residues: np.ndarray, p: ParameterSet) -> np.ndarray:
    """(..., primes, values) -> floats in (-Q/2, Q/2), by the Chinese remainder theorem."""
    primes = np.array(p.primes)[:, None]
    small = residues[..., :1, :].astype(np.int64)
    small = np.where(small > primes[0] // 2, small - primes[0], small)
    if np.array_equal(small % primes, residues):  # noise fits a single prime
        return small[..., 0, :].astype(np.float64)
    total = 0
    for i, prime in enumerate(p.primes):
        rest = p.q // prime
        total = total + residues[..., i, :].astype(object) * (rest * pow(rest, -1, prime))
    total = total % p.q
    return np.where(total > p.q // 2, total - p.q, total).astype(np.float64)


def returned_c1(plan: Plan, sent: np.ndarray) -> np.ndarray:
    """c1 (results, primes, N) as the key holder gets it."""
    p, bits = plan.parameters, plan.modulus_bits + noise.C1_BITS
    edge = plan.results * p.n * bits // 8
    rows = sent[:edge].reshape(plan.results, -1)
    return ARITHMETIC[p.name].rns.decompress(rows, bits, p.n)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(np.ravel(a).astype(float), np.ravel(b).astype(float))[0, 1])


def spectrum(x: np.ndarray) -> np.ndarray:
    """Values at the roots of X^N + 1: a negacyclic product is a product of spectra."""
    n = x.shape[-1]
    return np.fft.fft(x * np.exp(1j * np.pi * np.arange(n) / n))


def coefficients(spectra: np.ndarray) -> np.ndarray:
    n = spectra.shape[-1]
    return (np.fft.ifft(spectra) * np.exp(-1j * np.pi * np.arange(n) / n)).real
