"""Shares of lattice products at the sizes of training: room, tiles, keys, bytes."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_crypto.errors import CryptoError, InsecureParametersError, KeyMismatchError
from vfl_crypto.lattice import LatticeScheme, levels_for, noise
from vfl_crypto.lattice.parameters import COMPACT, WIDE
from vfl_crypto.lattice.plan import choose
from vfl_crypto.lattice.shares import share_plan
from vfl_crypto.words import IntegerMatrix, Words

SCHEME = LatticeScheme(threads=2, levels=5)
HOLDER = SCHEME.share_holder()
EVALUATOR = SCHEME.evaluator(HOLDER.public_key)


def extreme(shape: tuple[int, int], bits: int = 26) -> IntegerMatrix:
    most = 2.0 ** (bits - 1) - 1
    return IntegerMatrix(np.random.default_rng(0).choice([-most, most], shape), bits)


@pytest.mark.parametrize(
    ("shape", "bits"),
    [((20000, 13), 52), ((13, 20013), 96), ((30, 9000), 96), ((100, 300), 8)],
    ids=str,
)
def test_large_products_of_extreme_entries(shape, bits):
    matrix, words = extreme(shape), Words.uniform(shape[1], bits)
    masked, own = EVALUATOR.multiply(matrix, HOLDER.encrypt_words(words))
    off = (own + HOLDER.share(masked) - matrix @ words).signed()
    assert set(off.tolist()) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(("shape", "bits"), [((100_000, 300), 52), ((300, 100_300), 96)], ids=str)
def test_the_wide_set_has_room_for_large_tables(shape, bits):
    plan = share_plan(WIDE, *shape, plain_bits=26, bits=bits)
    whole = np.hypot(plan.noise_std(), noise.returned(WIDE, bits))
    assert noise.SIGMAS * whole < plan.delta / 2


@pytest.mark.parametrize("plain_bits", [26, 30])
@pytest.mark.parametrize("bits", [52, 96])
@pytest.mark.parametrize("shape", [(1, 2**17), (300, 2**17), (13, 24_013), (24_000, 13)], ids=str)
def test_rounded_uploads_leave_room_as_whole_ones_do(shape, bits, plain_bits):
    """The same plan; of c1's rounding at most a 16th more, as much again with 30 bits."""
    rounded = share_plan(WIDE, *shape, plain_bits, bits)
    whole = choose(WIDE, (*shape, 1), plain_bits=plain_bits, modulus_bits=bits, tile=rounded.tile)
    assert (rounded.split, rounded.levels) == (whole.split, whole.levels)
    more = np.sqrt(rounded.noise_std() ** 2 - whole.noise_std() ** 2)
    assert more < noise.returned(WIDE, bits) / (16 if plain_bits == 26 else 1)


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(2, 26), st.integers(1, 96))
def test_levels_follow_from_the_shape_alone(rows, inner, plain_bits, bits):
    plan = share_plan(WIDE, rows, inner, plain_bits, bits)
    assert levels_for([(rows, inner)]) == plan.levels
    assert levels_for([(1, inner), (rows, inner)]) == plan.levels


def test_a_job_publishes_the_levels_it_needs():
    """24 000 rows and 13 columns: four of nine levels, 2.6 of 5.6 MB."""
    levels = levels_for([(24_000, 13), (13, 24_013)])
    assert levels == 4
    key = LatticeScheme(levels=levels).share_holder().public_key
    assert len(key) < 0.47 * len(LatticeScheme().share_holder().public_key)
    few = LatticeScheme(levels=levels - 1).share_holder()
    with pytest.raises(CryptoError, match="key with more levels"):
        few.evaluator.multiply(extreme((13, 9000)), few.encrypt_words(Words.zeros(9000, 8)))


def test_shapes_without_room_are_refused():
    with pytest.raises(InsecureParametersError, match="at most 2\\^96"):
        HOLDER.encrypt_words(Words.zeros(3, 97))
    with pytest.raises(InsecureParametersError, match="no room for noise"):
        EVALUATOR.multiply(extreme((1, 9000), 45), HOLDER.encrypt_words(Words.zeros(9000, 96)))
    compact = LatticeScheme(COMPACT, levels=1).share_holder()
    with pytest.raises(InsecureParametersError, match="no room for noise"):
        compact.encrypt_words(Words.zeros(3, 96))
    with pytest.raises(KeyMismatchError, match="both sides must agree"):
        SCHEME.evaluator(compact.public_key)


def test_the_compact_set_shares_short_words():
    holder = LatticeScheme(COMPACT, levels=2).share_holder()
    matrix, words = extreme((4, 4000), 12), Words.uniform(4000, 36)
    masked, own = holder.evaluator.multiply(matrix, holder.encrypt_words(words))
    off = (own + holder.share(masked) - matrix @ words).signed()
    assert set(off.tolist()) <= {-1.0, 0.0, 1.0}


def test_a_matrix_is_prepared_once_for_each_modulus_and_for_all_keys():
    scheme = LatticeScheme(threads=2, levels=3)
    first, second = scheme.share_holder(), scheme.share_holder()
    matrix = extreme((8, 500))
    sent = first.encrypt_words(Words.zeros(500, 52))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(first.evaluator.multiply, [matrix] * 16, [sent] * 16))
    once = scheme._budget.used
    assert once > 0
    second.evaluator.multiply(matrix, second.encrypt_words(Words.zeros(500, 52)))
    assert scheme._budget.used == once
    second.evaluator.multiply(matrix, second.encrypt_words(Words.zeros(500, 96)))
    assert scheme._budget.used == 2 * once
    del matrix
    gc.collect()
    assert scheme._budget.used == 0


def test_bytes_of_words_and_of_their_product():
    """Up 136 bits a value, or 91; down 105 bits a coefficient of c1 and 100 a result."""
    short = HOLDER.encrypt_words(Words.zeros(13, 52))
    assert short.nbytes == 8 + 32 + WIDE.n * 91 // 8
    sent = HOLDER.encrypt_words(Words.zeros(3 * WIDE.n, 96))
    assert sent.nbytes == 8 + 32 + 3 * WIDE.n * 136 // 8
    masked, _ = EVALUATOR.multiply(extreme((30, 3 * WIDE.n)), sent)
    assert masked.nbytes == 8 + WIDE.n * 105 // 8 + 30 * 100 // 8
