"""Whole products as bytes: the four shapes a vertical model needs."""

import numpy as np
import pytest

from lattice_products import PUBLIC, SECRET, entries, residues_of, signed, words_of
from vfl_crypto.errors import KeyMismatchError, WireError
from vfl_crypto.lattice import exchange, masking
from vfl_crypto.lattice.parameters import COMPACT
from vfl_crypto.lattice.plan import choose, modulus_bits
from vfl_crypto.lattice.product import Tiles
from vfl_crypto.words import Words

SECRET_KEY, PUBLIC_KEY = SECRET["compact"], PUBLIC["compact"]


def product(P: np.ndarray, C: np.ndarray, bits: int) -> np.ndarray:
    """P C by shares that travelled as bytes, signed."""
    log_t = modulus_bits(P.shape[1], bits, bits)
    shape = (*P.shape, C.shape[1])
    plan = choose(COMPACT, shape, plain_bits=bits, modulus_bits=log_t, rounded=True)
    up = exchange.upload(plan.tile, SECRET_KEY, words_of(C, log_t), C.shape)
    down, own = exchange.answer(Tiles(plan, SECRET_KEY.arithmetic, P), PUBLIC_KEY, up)
    theirs = masking.open_share(plan, SECRET_KEY, down)
    assert up.nbytes == plan.upload_bytes and down.nbytes <= plan.download_bytes + 2
    return signed(residues_of(own + theirs), log_t).reshape(plan.rows, plan.columns)


@pytest.mark.parametrize(
    ("name", "batch", "inner", "outer"),
    [
        ("gradient of several outputs, X^T [[D]]", 2000, 30, 3),
        ("embeddings by weights, [[E]] W", 4096, 12, 5),
        ("embeddings of a short batch, [[E]] W", 100, 40, 7),
        ("scores, X [[W]]", 900, 25, 2),
    ],
)
def test_the_products_of_a_vertical_model(name, batch, inner, outer):
    rng = np.random.default_rng(len(name))
    X = entries(rng, (batch, inner), 10, extreme=False)
    W = entries(rng, (inner, outer), 10, extreme=False)
    D = entries(rng, (batch, outer), 10, extreme=False)
    if "X^T" in name:
        got, want = product(np.ascontiguousarray(X.T), D, 10), X.T @ D
    elif "[[E]]" in name:  # the encrypted factor on the left: transposed
        got = product(np.ascontiguousarray(W.T), np.ascontiguousarray(X.T), 10).T
        want = X @ W
    else:
        got, want = product(X, W, 10), X @ W
    assert np.abs(got - want).max() <= 1


def test_what_does_not_fit_the_plan_is_refused():
    plan = choose(COMPACT, (3, 20, 1), plain_bits=8, modulus_bits=21, rounded=True)
    tiles = Tiles(plan, SECRET_KEY.arithmetic, np.ones((3, 20), dtype=np.int64))
    ones = Words.of_list([1] * 20, 21)
    with pytest.raises(KeyMismatchError, match="no matrix"):
        exchange.upload(plan.tile, SECRET_KEY, ones, (20, 2))
    up = exchange.upload(plan.tile, SECRET_KEY, ones, (20, 1))
    for bad in (up[:-1], up.astype(np.int64), np.append(up, up[:1])):
        with pytest.raises(WireError, match="bytes"):
            exchange.answer(tiles, PUBLIC_KEY, bad)
    whole = choose(COMPACT, (3, 20, 1), plain_bits=8, modulus_bits=21)
    with pytest.raises(KeyMismatchError, match="not rounded"):
        exchange.answer(Tiles(whole, SECRET_KEY.arithmetic, tiles.matrix), PUBLIC_KEY, up)
