"""What every cipher with shares does alike: products add up, leave masked, and are checked."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
    ReleaseBudgetError,
    ReleaseError,
    WireError,
)
from vfl_crypto.lattice import LatticeScheme
from vfl_crypto.oracles.mock import MockScheme
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.words import IntegerMatrix, Words

BITS = 96
SCHEMES = {
    "mock": MockScheme(),
    "lattice": LatticeScheme(threads=2, levels=6),
    "paillier": PaillierScheme(2048, threads=2, window=5),
}
MALFORMED = (WireError, KeyMismatchError, EncodingOverflowError, InsecureParametersError)


@pytest.fixture(scope="module", params=SCHEMES.values(), ids=SCHEMES.keys())
def scheme(request):
    return request.param


@pytest.fixture(scope="module")
def holder(scheme):
    return scheme.share_holder()


@pytest.fixture(scope="module")
def evaluator(scheme, holder):
    return scheme.evaluator(holder.public_key)


def matrix_of(rng: np.random.Generator, shape: tuple[int, int], bits: int, *, extreme: bool):
    most = (1 << (bits - 1)) - 1
    drawn = rng.choice([-most, most], shape) if extreme else rng.integers(-most, most + 1, shape)
    return IntegerMatrix(drawn.astype(float), bits)


def units_off(total: Words, exact: Words) -> set[float]:
    return set((total - exact).signed().tolist())


class TestShares:
    @settings(max_examples=12)
    @given(
        rows=st.integers(1, 40), inner=st.integers(1, 40), plain_bits=st.integers(2, 26),
        bits=st.integers(4, BITS), seed=st.integers(0, 2**32 - 1), extreme=st.booleans(),
    )  # fmt: skip
    def test_shares_add_up_to_the_product(
        self, holder, evaluator, rows, inner, plain_bits, bits, seed, extreme
    ):
        """Modulo 2^B, for words of all sizes: what the plain integers give, or one unit off."""
        rng = np.random.default_rng(seed)
        matrix = matrix_of(rng, (rows, inner), plain_bits, extreme=extreme)
        words = Words.uniform(inner, bits)
        sent = holder.encrypt_words(words)
        masked, own = evaluator.multiply(matrix, sent)
        theirs = holder.share(masked)
        assert sent.fresh and masked.fresh
        assert (sent.layout, masked.layout) == (f"words-{bits}", f"masked-{bits}")
        assert (sent.count, masked.count, own.bits, theirs.bits) == (inner, rows, bits, bits)
        integers = matrix.values.astype(np.int64).astype(object) @ np.array(
            words.to_list(), dtype=object
        )
        assert units_off(own + theirs, Words.of_list(integers, bits)) <= {-1.0, 0.0, 1.0}

    def test_masks_are_new_at_every_call(self, holder, evaluator):
        matrix = IntegerMatrix(np.ones((3, 2)), 4)
        sent = holder.encrypt_words(Words.zeros(2, BITS))
        answers = [evaluator.multiply(matrix, sent) for _ in range(4)]
        shares = [share for _, own in answers for share in own.to_list()]
        theirs = [share for masked, _ in answers for share in holder.share(masked).to_list()]
        assert len({masked.body.tobytes() for masked, _ in answers}) == 4
        assert len(set(shares)) == len(set(theirs)) == 12

    @pytest.mark.parametrize("side", ["own", "theirs"])
    def test_one_share_alone_is_uniform(self, holder, evaluator, side):
        """All words are 1 and so is the product: the top bits of a share are still fair coins."""
        n = 900
        matrix = IntegerMatrix(np.eye(n)[:, :30], 2)
        sent = holder.encrypt_words(Words.of_list([1] * 30, BITS))
        masked, own = evaluator.multiply(matrix, sent)
        share = own if side == "own" else holder.share(masked)
        tops = np.array(share.to_list(), dtype=object)
        for bit in (1, BITS // 2, BITS - 2, BITS - 1):
            ones = int(sum(value >> bit & 1 for value in tops))
            assert abs(ones - n / 2) < 7 * np.sqrt(n) / 2

    def test_a_share_is_opened_without_its_low_bits(self, holder):
        share = Words.uniform(1000, BITS)
        opened = holder.open_share(share, 20)
        off = (opened - share).signed()
        assert all(value % (1 << 20) == 0 for value in opened.to_list())
        assert np.abs(off).max() < 1 << 20
        assert abs(off.mean()) < 7 * (1 << 20) / np.sqrt(6 * len(off))
        with pytest.raises(ReleaseError, match="12 or more"):
            holder.open_share(share, 11)

    def test_openings_are_counted(self, scheme):
        holder = scheme.share_holder()
        before = holder.openings_left
        holder.open_share(Words.uniform(3, BITS), 16)
        assert holder.openings_left == before - 3
        holder._door.opened = holder._door.budget - 2
        with pytest.raises(ReleaseBudgetError, match="rotate"):
            holder.open_share(Words.uniform(3, BITS), 16)
        assert holder.openings_left == 2

    def test_what_does_not_fit_is_refused(self, scheme, holder, evaluator):
        words = holder.encrypt_words(Words.zeros(2, BITS))
        matrix = IntegerMatrix(np.ones((1, 2)), 4)
        masked, _ = evaluator.multiply(matrix, words)
        stranger = scheme.share_holder()
        for call in (
            lambda: holder.share(words),
            lambda: evaluator.multiply(IntegerMatrix(np.ones((1, 1)), 4), masked),
            lambda: evaluator.multiply(IntegerMatrix(np.ones((1, 3)), 4), words),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, layout="rows")),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, layout="words-0")),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, layout="words-129")),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, layout="words-096")),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, terms=2)),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, scheme="ckks")),
            lambda: evaluator.multiply(matrix, dataclasses.replace(words, scale_bits=1)),
            lambda: stranger.evaluator.multiply(matrix, words),
            lambda: stranger.share(masked),
            lambda: holder.share(dataclasses.replace(masked, layout="sums")),
        ):
            with pytest.raises(KeyMismatchError):
                call()

    def test_malformed_bytes_are_refused(self, holder, evaluator):
        matrix = IntegerMatrix(np.ones((3, 5)), 4)
        words = holder.encrypt_words(Words.zeros(5, 90))
        masked, _ = evaluator.multiply(matrix, words)
        for good, use in (
            (words, lambda c: evaluator.multiply(matrix, c)),
            (masked, holder.share),
        ):
            for body in (
                good.body[:-1],
                good.body[:0],
                good.body.astype(np.float64),
                good.body[None],
                np.full_like(good.body, np.iinfo(good.body.dtype).max),
            ):
                with pytest.raises(MALFORMED):
                    use(dataclasses.replace(good, body=body))
            for count in (-1, 0, 2**62 + 5):
                with pytest.raises(MALFORMED):
                    use(dataclasses.replace(good, count=count))

    def test_a_closed_key_opens_nothing_and_no_key_is_copied(self, scheme):
        holder = scheme.share_holder()
        words = holder.encrypt_words(Words.zeros(1, BITS))
        masked, _ = holder.evaluator.multiply(IntegerMatrix(np.ones((1, 1)), 4), words)
        with pytest.raises(ReleaseError):
            pickle.dumps(holder)
        holder.close()
        for call in (
            lambda: holder.encrypt_words(Words.zeros(1, BITS)),
            lambda: holder.share(masked),
        ):
            with pytest.raises(CryptoError, match="closed"):
                call()

    def test_public_keys_are_read_or_refused(self, scheme, holder, evaluator):
        assert evaluator.info == holder.evaluator.info
        for bad in (b"", holder.public_key[:-1], holder.public_key + b"0"):
            with pytest.raises(WireError):
                scheme.evaluator(bad)
