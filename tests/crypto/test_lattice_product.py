"""Encrypted products equal integer products, before any mask, whatever the shape and the values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lattice_products import PUBLIC, SECRET, entries, expected, modulo, run, upload
from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
)
from vfl_crypto.lattice.keys import PublicKey
from vfl_crypto.lattice.parameters import COMPACT, WIDE
from vfl_crypto.lattice.plan import Plan, choose, modulus_bits
from vfl_crypto.lattice.product import TileBudget, Tiles, evaluate
from vfl_crypto.lattice.tiles import Tile


@settings(max_examples=60)
@given(
    rows=st.integers(1, 40),
    inner=st.one_of(st.integers(1, 300), st.integers(3000, 9000)),
    columns=st.integers(1, 5),
    bits=st.tuples(st.integers(2, 12), st.integers(2, 10)),
    extreme=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_product_is_exact_for_every_shape_and_value(rows, inner, columns, bits, extreme, seed):
    rng = np.random.default_rng(seed)
    P, C = (
        entries(rng, (rows, inner), bits[0], extreme),
        entries(rng, (inner, columns), bits[1], extreme),
    )
    log_t = modulus_bits(inner, *bits)
    plan = choose(COMPACT, (rows, inner, columns), plain_bits=bits[0], modulus_bits=log_t)
    C = modulo(C, log_t)
    assert np.array_equal(run(plan, P, C), expected(plan, P, C))


SHAPES = {
    "XTD, many rows": (24, 6000, 1),
    "XTD, several outputs": (70, 700, 3),
    "XW": (600, 20, 2),
    "EW, full columns": (5, 9, 4096),
    "EW, short batch": (6, 17, 300),
    "one value": (1, 1, 1),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_every_tile_and_split_gives_the_same_product(shape):
    rng = np.random.default_rng(1)
    rows, inner, columns = shape
    P = entries(rng, (rows, inner), 8, extreme=False)
    log_t = modulus_bits(inner, 8, 8)
    C = modulo(entries(rng, (inner, columns), 8, extreme=False), log_t)
    tried = set()
    for i in range(0, 13, 3):
        for j in range(0, 13 - i, 4):
            for split in (0, 2):
                tile = Tile(4096, 4096 >> i + j, 1 << i, 1 << j)
                try:
                    plan = Plan(COMPACT, rows, inner, columns, tile, split, 8, log_t, 3.3)
                except InsecureParametersError:
                    continue
                if split > min(i, plan.row_blocks.bit_length() - 1) or plan.products > 400:
                    continue
                assert np.array_equal(run(plan, P, C), expected(plan, P, C)), plan
                tried.add((i, j, split))
    assert len(tried) >= 3


def test_an_x_of_18_bits_times_full_range_shares():
    """Shares modulo 2^64 are uniform: nothing about the encrypted factor is small."""
    rng = np.random.default_rng(2)
    P = entries(rng, (50, 3000), 18, extreme=False)
    C = rng.integers(0, 2**64, (3000, 2), dtype=np.uint64)
    plan = choose(WIDE, (50, 3000, 2), plain_bits=18, modulus_bits=64)
    assert np.array_equal(run(plan, P, C), expected(plan, P, C))
    assert np.array_equal(run(plan, P, C, public=True), expected(plan, P, C))


def test_a_plan_without_room_for_its_noise_does_not_exist():
    """B = 16 N with split 3 and 4, which the recipe measured at 5.2 and 2.6 deviations."""
    tile = Tile(4096, 1, 4096, 1)
    good = Plan(COMPACT, 300, 16 * 4096, 1, tile, 1, 12, 40, 3.3)
    assert good.room > 0
    for split in (3, 4):
        with pytest.raises(InsecureParametersError, match="no room for noise"):
            Plan(COMPACT, 300, 16 * 4096, 1, tile, split, 12, 40, 3.3)
    with pytest.raises(InsecureParametersError, match="no room for noise"):
        choose(COMPACT, (300, 4096, 1), plain_bits=18, modulus_bits=60)


@pytest.mark.parametrize(
    ("tile", "split"),
    [(Tile(4096, 2, 4096, 1), 0), (Tile(4096, 3, 512, 1), 0), (Tile(4096, 512, 8, 1), 4)],
    ids=["too large", "no powers of two", "split beyond the tile"],
)
def test_a_plan_without_a_meaning_does_not_exist(tile, split):
    with pytest.raises(InsecureParametersError, match="no plan has a tile"):
        Plan(COMPACT, 10, 100, 1, tile, split, 8, 30, 3.3)


def test_counts_are_those_of_the_recipe():
    tile = Tile(4096, 1, 4096, 1)
    plan = Plan(COMPACT, 300, 4096, 1, tile, 4, 12, 36, 3.3)
    assert (plan.key_switches, plan.products, plan.levels) == (36, 304, 9)
    small = Plan(COMPACT, 64, 1024, 1, Tile(4096, 4, 1024, 1), 2, 12, 34, 3.3)
    assert (small.key_switches, small.products) == (6, 16)


def test_tiles_are_kept_within_the_budget_and_given_back():
    rng = np.random.default_rng(3)
    plan = choose(COMPACT, (20, 4096, 1), plain_bits=12, modulus_bits=36)
    P = entries(rng, (20, 4096), 12, extreme=False)
    budget, none = TileBudget(), TileBudget(0)
    arithmetic = SECRET["compact"].arithmetic
    tiles, poor = Tiles(plan, arithmetic, P, budget), Tiles(plan, arithmetic, P, none)
    first = [chunk.copy() for chunk in tiles.chunks()]
    assert budget.used == sum(chunk.nbytes for chunk in first) > 0
    assert all(a is b for a, b in zip(tiles.chunks(), tiles.chunks(), strict=True))
    assert none.used == 0
    for a, b in zip(first, poor.chunks(), strict=True):
        assert np.array_equal(a, b)
    del tiles
    assert budget.used == 0


def test_what_does_not_fit_is_refused():
    plan = choose(COMPACT, (4, 100, 1), plain_bits=8, modulus_bits=30)
    arithmetic = SECRET["compact"].arithmetic
    with pytest.raises(EncodingOverflowError, match="2\\^7"):
        Tiles(plan, arithmetic, np.full((4, 100), 129))
    with pytest.raises(KeyMismatchError, match="shape"):
        Tiles(plan, arithmetic, np.ones((4, 99), dtype=np.int64))
    tiles = Tiles(plan, arithmetic, np.ones((4, 100), dtype=np.int64))
    with pytest.raises(KeyMismatchError, match="ciphertexts of shape"):
        evaluate(PUBLIC["compact"], tiles, np.zeros((1, 2, 2, 2, 4096), dtype=np.uint64))
    poor = PublicKey.from_bytes(SECRET["compact"].publish(levels=0).packed)
    plan = choose(COMPACT, (300, 4096, 1), plain_bits=8, modulus_bits=30)
    tiles = Tiles(plan, arithmetic, np.ones((300, 4096), dtype=np.int64))
    c = upload(plan, np.zeros((4096, 1), dtype=np.uint64))
    with pytest.raises(CryptoError, match="packs in"):
        evaluate(poor, tiles, c)
