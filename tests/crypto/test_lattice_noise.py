"""Measured noise of every stage beside its formula."""

import numpy as np
import pytest

from lattice_products import PUBLIC, SECRET, centred, entries, expected, modulo, upload
from vfl_crypto.errors import InsecureParametersError
from vfl_crypto.lattice import noise
from vfl_crypto.lattice.encryption import (
    encrypt_public,
    encrypt_seeded,
    encrypt_zero,
    expand_seeded,
    phase,
)
from vfl_crypto.lattice.parameters import COMPACT, SETS, WIDE, ParameterSet
from vfl_crypto.lattice.plan import Plan, choose
from vfl_crypto.lattice.product import Tiles, evaluate
from vfl_crypto.lattice.tiles import Tile
from vfl_crypto.security import LOG2_QP_LIMIT


def noise_of(secret, polys, messages, bits):
    ring = secret.arithmetic.ring
    scaled = secret.arithmetic.rns.scale_up(messages, bits)
    return centred(ring.subtract(phase(secret, polys), scaled), secret.arithmetic.parameters)


@pytest.mark.parametrize("parameters", SETS.values(), ids=str)
def test_fresh_encryptions(parameters):
    secret, public = SECRET[parameters.name], PUBLIC[parameters.name]
    messages = np.random.default_rng(0).integers(0, 2**30, (8, parameters.n), dtype=np.uint64)
    seed, b = encrypt_seeded(secret, messages, 30)
    own = noise_of(secret, expand_seeded(secret.arithmetic, seed, b), messages, 30)
    assert own.std() == pytest.approx(noise.encrypted(parameters, public=False), rel=0.03)
    theirs = noise_of(secret, encrypt_public(public, messages, 30), messages, 30)
    assert theirs.std() == pytest.approx(noise.encrypted(parameters, public=True), rel=0.08)


@pytest.mark.parametrize("bits", [100, 136, 142, 144, 147])
def test_rounded_uploads(bits):
    """Of 147 bits nothing is lost; with 142, rounding is three times as loud as the encryption."""
    secret, rns = SECRET["wide"], SECRET["wide"].arithmetic.rns
    messages = np.random.default_rng(0).integers(0, 2**30, (8, WIDE.n), dtype=np.uint64)
    seed, b = encrypt_seeded(secret, messages, 30)
    back = rns.decompress(rns.compress(b, bits), bits, WIDE.n)
    measured = noise_of(secret, expand_seeded(secret.arithmetic, seed, back), messages, 30)
    assert measured.std() == pytest.approx(noise.uploaded(WIDE, bits), rel=0.03)
    assert np.array_equal(back, b) == (bits == 147)


@pytest.mark.parametrize("parameters", SETS.values(), ids=str)
def test_one_key_switch(parameters):
    secret, public = SECRET[parameters.name], PUBLIC[parameters.name]
    arithmetic, k = secret.arithmetic, parameters.n // 4 + 1
    c = encrypt_zero(public, 8)
    switched = arithmetic.switch.switch(c, public.switching_key(k), k)
    before = arithmetic.ring.automorphism(phase(secret, c), k)
    change = centred(arithmetic.ring.subtract(phase(secret, switched), before), parameters)
    assert change.std() == pytest.approx(noise.key_switch(parameters), rel=0.08)


def noise_of_product(plan: Plan, P: np.ndarray, *, public: bool, results: int = 2400) -> float:
    """Standard deviation of the packed product's noise, in the coefficients that hold a result.

    Taken over as many uploads as make `results` of those: they share images, so that one upload
    tells it to 10-17 % only, and all of them to 1-2 %.
    """
    parameters, log_t = plan.parameters, plan.modulus_bits
    rng = np.random.default_rng(1)
    C = modulo(entries(rng, (plan.inner, plan.columns), 12, extreme=False), log_t)
    secret = SECRET[parameters.name]
    tiles = Tiles(plan, secret.arithmetic, P)
    place, coefficient = (index.ravel() for index in plan.places)
    scaled = secret.arithmetic.rns.scale_up(expected(plan, P, C).ravel(), log_t).T
    primes = np.array(parameters.primes, dtype=np.uint64)

    def one_upload() -> np.ndarray:
        packed = evaluate(PUBLIC[parameters.name], tiles, upload(plan, C, public))
        values = phase(secret, packed)[place, :, coefficient]
        return centred(((values + primes - scaled) % primes)[:, :, None], parameters)

    return float(np.std([one_upload() for _ in range(results // plan.rows)]))


CASES = {
    "plain tree": (COMPACT, (24, 4096, 1), 0, 12, 36, False),
    "split": (COMPACT, (100, 4096, 1), 4, 12, 36, False),
    "several rows a tile": (COMPACT, (64, 1024, 1), 2, 12, 34, False),
    "blocks": (COMPACT, (40, 3 * 4096, 1), 3, 12, 38, False),
    "wide": (WIDE, (60, 8192, 1), 3, 18, 64, False),
    "wide, public key": (WIDE, (60, 8192, 1), 2, 18, 64, True),
}


def arranged(plan: Plan) -> np.ndarray:
    """Extreme entries whose row blocks are shifts of one another: all of them meet one image.

    p_b = X^(-step b / kappa) p_0, so that sigma_kappa(p_b) X^(step b) is the same for all b.
    """
    n, most = plan.parameters.n, 1 << (plan.plain_bits - 1)
    inverse = pow(plan.image_exponents()[-1], -1, 2 * n)
    base = np.random.default_rng(2).choice([-most, most], n)
    matrix = np.empty((plan.rows, n), dtype=np.int64)
    for row in range(plan.rows):
        place = np.arange(n) - plan.joined * (row % plan.images) * inverse
        place %= 2 * n
        poly = np.empty(n, dtype=np.int64)
        poly[place % n] = np.where(place >= n, -base, base)
        matrix[row] = np.append(poly[0], -poly[:0:-1])  # the row of which it is the tile
    return matrix


def test_the_bound_holds_for_a_matrix_made_to_reach_it():
    n = COMPACT.n
    fresh = noise.encrypted(COMPACT, public=False)
    plan = Plan(COMPACT, 64, n, 1, Tile(n, 1, n, 1), 4, 12, 36, fresh)
    measured = noise_of_product(plan, arranged(plan), public=False, results=6400)
    assert 0.85 < measured / plan.noise_std() < 1.15
    assert plan.noise_std() > 1.4 * plan.noise_std(2.0**11)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_packed_product(case):
    """The bound holds, and its formula tells within a fifth what uniform entries show."""
    parameters, (rows, inner, columns), split, bits, log_t, public = case
    side = min(parameters.n, 1 << (inner - 1).bit_length())
    fresh = noise.encrypted(parameters, public=public)
    tile = Tile(parameters.n, parameters.n // side, side, 1)
    plan = Plan(parameters, rows, inner, columns, tile, split, bits, log_t, fresh)
    rng = np.random.default_rng(1)
    P = entries(rng, (rows, inner), bits, extreme=False)
    measured = noise_of_product(plan, P, public=public)
    uniform = 2.0 ** (bits - 1) / np.sqrt(3)
    predicted = plan.noise_std(uniform)
    assert 0.8 * predicted < measured < 1.2 * predicted
    assert plan.noise_std() > measured


def test_the_sets_keep_the_limits_of_2024():
    assert (COMPACT.log2_qp, WIDE.log2_qp) == (106, 196)
    for parameters in SETS.values():
        assert parameters.log2_qp <= LOG2_QP_LIMIT[parameters.n]
        assert all(is_prime(p) and p % (2 * parameters.n) == 1 for p in parameters.moduli)
    with pytest.raises(InsecureParametersError, match="above the limit"):
        ParameterSet("bad", 4096, (*COMPACT.primes, WIDE.primes[0]), COMPACT.special)
    with pytest.raises(InsecureParametersError, match="no modulus"):
        ParameterSet("bad", 4096, (COMPACT.primes[0] + 2,), COMPACT.special)


def is_prime(p: int) -> bool:
    """Miller and Rabin with bases that decide below 3.3e24."""
    d, r = p - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41):
        x = pow(base, d, p)
        if x not in (1, p - 1) and all((x := x * x % p) != p - 1 for _ in range(r - 1)):
            return False
    return True


def test_plans_choose_the_split_the_recipe_recommends_for_many_blocks():
    """B = 16 N: few levels on the input are both the cheapest and the quietest."""
    plan = choose(COMPACT, (300, 16 * 4096, 1), plain_bits=12, modulus_bits=40)
    assert plan.split <= 2
