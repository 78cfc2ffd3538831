"""The share faces of the mock: the rules that every cipher with shares keeps."""

from __future__ import annotations

import numpy as np
import pytest

from vfl_crypto.errors import CryptoError, KeyMismatchError, ReleaseBudgetError, ReleaseError
from vfl_crypto.oracles.mock import MockScheme
from vfl_crypto.words import IntegerMatrix, Words

BITS = 96


@pytest.fixture
def sides():
    holder = MockScheme().share_holder()
    return holder, MockScheme().evaluator(holder.public_key)


def test_shares_add_up_to_the_product(sides):
    holder, evaluator = sides
    rng = np.random.default_rng(1)
    matrix = IntegerMatrix(rng.integers(-1000, 1000, (5, 7)).astype(float), 12)
    words = Words.uniform(7, BITS)
    masked, own = evaluator.multiply(matrix, holder.encrypt_words(words))
    assert masked.fresh
    assert (holder.share(masked) + own).to_list() == (matrix @ words).to_list()
    again, _ = evaluator.multiply(matrix, holder.encrypt_words(words))
    assert holder.share(again).to_list() != holder.share(masked).to_list()


def test_a_share_is_opened_without_its_low_bits(sides):
    holder, _ = sides
    share = Words.uniform(4000, BITS)
    opened = holder.open_share(share, 20)
    off = (opened - share).signed()
    assert all(value % (1 << 20) == 0 for value in opened.to_list())
    assert np.abs(off).max() < 1 << 20
    assert abs(off.mean()) < 7 * (1 << 20) / np.sqrt(6 * len(off))
    with pytest.raises(ReleaseError, match="12 or more"):
        holder.open_share(share, 11)
    with pytest.raises(ReleaseBudgetError):
        MockScheme(openings=3).share_holder().open_share(share[:4], 20)


def test_foreign_and_misplaced_ciphertexts_are_refused(sides):
    holder, evaluator = sides
    words, matrix = holder.encrypt_words(Words.zeros(2, BITS)), IntegerMatrix(np.ones((1, 2)), 4)
    with pytest.raises(KeyMismatchError, match="of masked was expected"):
        holder.share(words)
    with pytest.raises(KeyMismatchError, match="another key"):
        MockScheme().share_holder().evaluator.multiply(matrix, words)
    with pytest.raises(KeyMismatchError, match="of words was expected"):
        evaluator.multiply(matrix, evaluator.encrypt(np.zeros(2)))
    holder.close()
    with pytest.raises(CryptoError, match="closed"):
        holder.encrypt_words(Words.zeros(1, BITS))
