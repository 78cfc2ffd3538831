"""Shares of Paillier products: exact, hidden from both sides, and apart from products of reals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vfl_crypto.errors import CryptoError, EncodingOverflowError, KeyMismatchError
from vfl_crypto.paillier import PaillierScheme, shares
from vfl_crypto.paillier.limbs import from_limbs
from vfl_crypto.words import IntegerMatrix, Words

SCHEME = PaillierScheme(key_bits=2048, threads=2, window=5)
HOLDER = SCHEME.share_holder()
EVALUATOR = SCHEME.evaluator(HOLDER.public_key)


@pytest.mark.parametrize(("bits", "plain_bits", "inner"), [(128, 40, 1000), (96, 26, 300)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_largest_products_are_exact(bits, plain_bits, inner, sign):
    matrix = IntegerMatrix(np.full((15, inner), sign * (2.0 ** (plain_bits - 1) - 1)), plain_bits)
    words = Words.of_list([1 << (bits - 1)] * inner, bits)  # -2^(B - 1), the largest magnitude
    masked, own = EVALUATOR.multiply(matrix, HOLDER.encrypt_words(words))
    assert (own + HOLDER.share(masked)).to_list() == (matrix @ words).to_list()


def test_masks_fill_their_range_and_are_new_every_time():
    """64 bits more than the product: sums of 400 top bits are those of fair coins."""
    values = shares.masks(400, 90)
    assert len(set(values)) == 400
    assert max(values).bit_length() == 90 + 48 + 64
    for bit in (0, 80, 201):
        assert abs(sum(v >> bit & 1 for v in values) - 200) < 70  # seven deviations


def test_the_key_holder_reads_the_product_without_a_mask_and_not_with_it(monkeypatch):
    values = np.arange(-200.0, 200.0)
    matrix = IntegerMatrix(values[:, None], 9)
    sent = HOLDER.encrypt_words(Words.of_list([1], 96))

    def opened() -> list[int]:
        masked, _ = EVALUATOR.multiply(matrix, sent)
        slots, _, rows = EVALUATOR.masked_rows(masked)
        return slots.split(HOLDER._private.decrypt(rows, 2), 400)

    assert all(v >> 140 for v in opened())  # a mask is shorter in 2^-59 of all cases
    correlation = np.corrcoef(np.array(opened(), dtype=float), values)[0, 1]
    assert abs(correlation) < 6 / np.sqrt(400)
    monkeypatch.setattr(shares, "masks", lambda count, bits: [0] * count)
    assert opened() == values.tolist()


@pytest.mark.parametrize("protected", [False, True])
def test_the_randomness_gives_the_matrix_unless_it_is_new(protected, monkeypatch):
    """Whoever made c and knows the mask tries all x: the answer is c^x times the mask."""
    if not protected:
        monkeypatch.setattr(EVALUATOR._products, "blind", lambda rows, fresh: rows)
    secret, n = -37, HOLDER._public.n
    sent = HOLDER.encrypt_words(Words.of_list([12345], 64))
    masked, own = EVALUATOR.multiply(IntegerMatrix(np.full((1, 1), float(secret)), 8), sent)
    ((base,), (goal,)) = from_limbs(sent.body), from_limbs(masked.body)
    slots, _, rows = EVALUATOR.masked_rows(masked)
    (plain,) = slots.split(HOLDER._private.decrypt(rows, 1), 1)
    residual = [
        x for x in range(-64, 64)
        if pow(base, x, n * n) * (1 + (plain - 12345 * x) % n * n) % (n * n) == goal
    ]  # fmt: skip
    assert residual == ([] if protected else [secret])
    assert (own + HOLDER.share(masked)).signed().tolist() == [12345 * secret]


def test_what_departs_is_blinded_in_full(monkeypatch):
    drawn = []
    full = EVALUATOR._blinding.full
    monkeypatch.setattr(
        EVALUATOR._blinding, "full", lambda n, threads: drawn.append(n) or full(n, threads)
    )
    sent = HOLDER.encrypt_words(Words.zeros(2, 96))
    masked, _ = EVALUATOR.multiply(IntegerMatrix(np.ones((20, 2)), 4), sent)
    assert drawn == [len(masked.body)] == [3]


def test_matrices_that_outgrow_a_slot_are_refused():
    sent = HOLDER.encrypt_words(Words.zeros(33, 8))
    EVALUATOR.multiply(IntegerMatrix(np.ones((1, 33)), 44), sent)
    with pytest.raises(EncodingOverflowError, match="48 bits"):
        EVALUATOR.multiply(IntegerMatrix(np.ones((1, 33)), 45), sent)


def test_integers_and_reals_do_not_mix():
    """Faces of one key: what was made for the one is refused by the other."""
    holder = SCHEME.holder(HOLDER._private)
    encryptor = holder.encryptor
    words = HOLDER.encrypt_words(Words.zeros(2, 64))
    masked, _ = EVALUATOR.multiply(IntegerMatrix(np.eye(2), 4), words)
    rows = encryptor.encrypt(np.zeros(2))
    for call in (
        lambda: holder.decrypt(words),
        lambda: holder.decrypt(masked),
        lambda: encryptor.add(words, words),
        lambda: encryptor.rmatmul(np.eye(2), words),
        lambda: encryptor.encrypt(np.zeros(2), onto=masked),
        lambda: encryptor.pack(masked),
        lambda: EVALUATOR.multiply(IntegerMatrix(np.eye(2), 4), rows),
        lambda: HOLDER.share(encryptor.pack(encryptor.rmatmul(np.eye(2), rows))),
    ):
        with pytest.raises(KeyMismatchError):
            call()


def test_a_share_of_another_modulus_overflows_its_slots():
    sent = HOLDER.encrypt_words(Words.zeros(1, 96))
    masked, _ = EVALUATOR.multiply(IntegerMatrix(np.ones((1, 1)), 4), sent)
    with pytest.raises(CryptoError, match="exceeds its slots"):
        HOLDER.share(dataclasses.replace(masked, layout="masked-52"))


def test_a_pool_serves_shares_too_and_ends_with_the_key():
    holder = PaillierScheme(2048, threads=1, window=5, pool=8).share_holder()
    matrix, words = IntegerMatrix(np.ones((2, 3)), 4), Words.of_list([1, 2, 3], 32)
    masked, own = holder.evaluator.multiply(matrix, holder.encrypt_words(words))
    assert (own + holder.share(masked)).to_list() == [6, 6]
    holder.close()
