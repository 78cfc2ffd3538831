"""The matrix out of the noise: a product of p and an encryption with noise e has noise p e.

The key holder knows e. Fresh randomness is small and a mask on the message is a multiple of Delta:
both leave p e to be read, and rounds add up. A mask uniform modulo Q leaves nothing, nor does a
flood.
"""

import numpy as np
import pytest

from lattice_products import (
    ARITHMETIC,
    PUBLIC,
    SECRET,
    centred,
    coefficients,
    correlation,
    product,
    returned_c1,
    spectrum,
    upload,
)
from vfl_crypto.lattice import masking, noise
from vfl_crypto.lattice.arithmetic import fresh_seed
from vfl_crypto.lattice.encryption import (
    encrypt_zero,
    phase,
    times_secret,
)
from vfl_crypto.lattice.parameters import COMPACT, WIDE, ParameterSet
from vfl_crypto.lattice.plan import Plan
from vfl_crypto.lattice.tiles import Tile

RNG = np.random.default_rng(0)
FRESH = noise.encrypted(COMPACT, public=False)


def off_messages(residues: np.ndarray, plan: Plan) -> np.ndarray:
    """How far residues (..., primes, values) are from the next multiple of Delta."""
    p, bits = plan.parameters, plan.modulus_bits
    rns, q = ARITHMETIC[p.name].rns, np.array(p.primes, dtype=np.uint64)[:, None]
    multiple = rns.scale_up(rns.scale_down(np.ascontiguousarray(residues), bits), bits)
    return centred((residues + (q - multiple)) % q, p)


def own_noise(c: np.ndarray, plan: Plan) -> np.ndarray:
    """e (inner, N) of uploaded ciphertexts, and what rounding Q d / t left out of them."""
    p, t = plan.parameters, 1 << plan.modulus_bits
    secret = SECRET[p.name]
    polys = phase(secret, c.reshape(-1, *c.shape[2:]))
    messages = secret.arithmetic.rns.scale_down(polys, plan.modulus_bits)
    part = (messages * np.uint64(p.q % t) & np.uint64(t - 1)) / t  # of Q d / t
    return off_messages(polys, plan) + np.rint(part) - part


# One feature over N rows: p has N coefficients, and each round shows N coefficients of p e.
ROW = Plan(COMPACT, 1, 4096, 1, Tile(4096, 1, 4096, 1), 0, 12, 36, FRESH)
X = RNG.integers(-2048, 2048, (1, 4096))
PLAIN = ROW.tile.encode_plain(X)[0, 0]


def deconvolved(e: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """p (N,) by least squares from seen = p e + noise, both (rounds, N)."""
    known, values = spectrum(e), spectrum(seen)
    ratio = (noise.encrypted(COMPACT, public=True) / PLAIN.std()) ** 2
    weights = (np.abs(known) ** 2).sum(axis=0) + ratio
    return coefficients((known.conj() * values).sum(axis=0) / weights)


def round_of(uniform: bool) -> tuple[np.ndarray, np.ndarray]:
    """e, and the noise that the key holder reads: a fresh zero, c0 whole, nothing rounded."""
    arithmetic, ring = ARITHMETIC["compact"], ARITHMETIC["compact"].ring
    c = upload(ROW, RNG.integers(0, 4096, (4096, 1), dtype=np.uint64))
    fresh = ring.add(product(ROW, X, c), encrypt_zero(PUBLIC["compact"], 1))
    if uniform:
        pad = arithmetic.uniform(fresh_seed(), 1)
    else:
        pad = arithmetic.rns.scale_up(RNG.integers(0, 2**36, (1, 4096), dtype=np.uint64), 36)
    read = ring.add(phase(SECRET["compact"], fresh), pad)
    return own_noise(c, ROW)[0], off_messages(read, ROW)[0]


@pytest.mark.parametrize("rounds", [1, 16])
def test_a_mask_on_the_message_leaves_the_matrix_in_the_noise(rounds):
    e, seen = np.array([round_of(uniform=False) for _ in range(rounds)]).swapaxes(0, 1)
    found = deconvolved(e, seen)
    assert correlation(found, PLAIN) > (0.999 if rounds == 1 else 0.99999)
    assert rounds == 1 or (np.rint(found) == PLAIN).mean() > 0.8


@pytest.mark.parametrize("rounds", [1, 16])
def test_a_mask_uniform_modulo_q_covers_the_noise(rounds):
    e, seen = np.array([round_of(uniform=True) for _ in range(rounds)]).swapaxes(0, 1)
    assert abs(correlation(deconvolved(e, seen), PLAIN)) < 8 / np.sqrt(4096)


# 16 rows of 32 weights, N columns: every coefficient is wanted, so the bytes hold all of c0.
WEIGHTS = RNG.integers(-2048, 2048, (16, 32))
CHANCE = 8 / np.sqrt(WEIGHTS.size)


def layer(p: ParameterSet, bits: int) -> Plan:
    fresh = noise.encrypted(p, public=False)
    return Plan(p, 16, 32, p.n, Tile(p.n, 1, 1, p.n), 0, 12, bits, fresh)


def round_of_weights(plan: Plan, leave) -> tuple[np.ndarray, np.ndarray]:
    """e (32, N), and the noise (16, N) in what `leave(plan, public, product)` returns."""
    name, n = plan.parameters.name, plan.parameters.n
    c = upload(plan, RNG.integers(0, 4096, (32, n), dtype=np.uint64))
    read = leave(plan, PUBLIC[name], product(plan, WEIGHTS, c))
    return own_noise(c, plan), off_messages(read, plan)


def solved(plan: Plan, leave, rounds: int) -> np.ndarray:
    """Weights (16, 32) by least squares over all rounds."""
    e, seen = zip(*[round_of_weights(plan, leave) for _ in range(rounds)], strict=True)
    return np.linalg.lstsq(np.hstack(e).T, np.hstack(seen).T, rcond=None)[0].T


def read_bytes(plan: Plan, sent: np.ndarray) -> np.ndarray:
    """c0 + c1 s (rows, primes, N) of returned bytes, as `masking.open_returned` has it inside."""
    p, rns = plan.parameters, ARITHMETIC[plan.parameters.name].rns
    edge = len(sent) - plan.rows * p.n * (plan.modulus_bits + noise.C0_BITS) // 8
    c0 = rns.decompress(sent[edge:].reshape(plan.rows, -1), plan.modulus_bits + noise.C0_BITS, p.n)
    half = times_secret(SECRET[p.name], returned_c1(plan, sent))
    return ARITHMETIC[p.name].ring.add(c0, half)


def message_mask(plan, public, bare):
    """Real bytes with a fresh zero, but a pad that is a multiple of Delta."""
    rns = ARITHMETIC[plan.parameters.name].rns
    pad = RNG.integers(0, 2**plan.modulus_bits, bare[:, 0, 0].size, dtype=np.uint64)
    sent = masking._departing(plan, public, bare, rns.scale_up(pad, plan.modulus_bits))
    return read_bytes(plan, sent)


def full_mask(plan, public, bare):
    return read_bytes(plan, masking.mask(plan, public, bare)[0])


@pytest.mark.parametrize("rounds", [1, 16])
def test_a_mask_on_the_message_leaves_the_matrix_in_real_bytes(rounds):
    """Where Delta is just large enough for the noise, rounding c0 and c1 does not bury it."""
    tight = layer(COMPACT, 50)
    found = solved(tight, message_mask, rounds)
    assert correlation(found, WEIGHTS) > (0.95 if rounds == 1 else 0.99)


@pytest.mark.parametrize("rounds", [1, 16])
def test_what_mask_sends_says_nothing_about_the_matrix(rounds):
    assert abs(correlation(solved(layer(COMPACT, 50), full_mask, rounds), WEIGHTS)) < CHANCE


def unrounded(plan, public, bare, covering):
    """`masking._departing` up to its rounding, and the key holder's sum c0 + c1 s."""
    p = plan.parameters
    ring, q = ARITHMETIC[p.name].ring, np.array(p.primes, dtype=np.uint64)[:, None]
    read = phase(SECRET[p.name], ring.add(bare, encrypt_zero(public, plan.results)))
    place, coefficient = plan.places
    rows = read[place.ravel(), :, coefficient.ravel()].T
    return ((rows + covering) % q).reshape(len(p.primes), plan.rows, -1).swapaxes(0, 1)


def flooded(plan, public, bare):
    return masking.flood(plan, public, bare, np.zeros((plan.rows, plan.columns), dtype=np.uint64))


@pytest.mark.parametrize("rounds", [1, 4])
def test_without_a_flood_the_arbiter_reads_the_matrix_in_the_noise(rounds, monkeypatch):
    """Rounding is left out here: with room to flood it buries more than the flood, by accident."""
    monkeypatch.setattr(masking, "_departing", unrounded)
    monkeypatch.setattr(Plan, "flood_bits", 0)
    assert correlation(solved(layer(WIDE, 50), flooded, rounds), WEIGHTS) > 0.99


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_flood_covers_the_noise(rounds, monkeypatch):
    monkeypatch.setattr(masking, "_departing", unrounded)
    assert abs(correlation(solved(layer(WIDE, 50), flooded, rounds), WEIGHTS)) < CHANCE
