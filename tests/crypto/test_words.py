"""Integers modulo 2^bits against Python's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError
from vfl_crypto.words import HEADROOM_BITS, IntegerMatrix, Words

BITS = st.integers(1, 128)


def signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


@st.composite
def two(draw):
    bits = draw(BITS)
    number = st.integers(-(1 << 130), 1 << 130)
    length = draw(st.integers(1, 5))
    lists = [draw(st.lists(number, min_size=length, max_size=length)) for _ in range(2)]
    return bits, *lists


@given(two(), st.integers(-(2**31) + 1, 2**31 - 1), st.integers(0, 140), BITS)
def test_arithmetic_is_that_of_integers(given_, factor, by, other):
    bits, a, b = given_
    x, y = Words.of_list(a, bits), Words.of_list(b, bits)

    def mod(values):
        return [v % (1 << bits) for v in values]

    assert x.to_list() == mod(a)
    assert (x + y).to_list() == mod(i + j for i, j in zip(a, b, strict=True))
    assert (x - y).to_list() == mod(i - j for i, j in zip(a, b, strict=True))
    assert (-x).to_list() == mod(-i for i in a)
    assert x.times(factor).to_list() == mod(factor * i for i in a)
    assert x.shifted(by).to_list() == mod(signed(i, bits) >> by for i in a)
    assert x.join(y)[len(a) :].to_list() == y.to_list()
    assert x.modulo(other).to_list() == [
        (i % (1 << other)) if other <= bits else signed(i, bits) % (1 << other) for i in a
    ]
    exact = [signed(i, bits) for i in a]
    assert x.signed(3) == pytest.approx([i / 8 for i in exact], rel=1e-15)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6), BITS)
def test_machine_integers_keep_their_sign(values, bits):
    words = Words.of(np.array(values, dtype=np.int64), bits)
    assert words.to_list() == [v % (1 << bits) for v in values]


@given(
    st.integers(1, 5), st.integers(1, 70), st.integers(2, 40), st.integers(1, 128),
    st.integers(0, 2**32),
)  # fmt: skip
@example(1, 1, 22, 32, 1)  # pieces of 31 bits would fit the sums and not the factor
def test_a_matrix_product_is_exact(rows, inner, plain_bits, bits, seed):
    rng = np.random.default_rng(seed)
    most = (1 << (plain_bits - 1)) - 1
    matrix = rng.integers(-most, most + 1, (rows, inner))
    words = Words.uniform(inner, bits)
    product = IntegerMatrix(matrix.astype(np.float64), plain_bits) @ words
    exact = matrix.astype(object) @ np.array(words.to_list(), dtype=object)
    assert product.to_list() == [int(v) % (1 << bits) for v in exact]


@given(st.lists(st.integers(0, 2**128), min_size=1, max_size=9), BITS)
def test_a_bit_stream_holds_the_words_one_after_the_other(values, bits):
    words = Words.of_list(values, bits)
    stream = words.packed()
    whole = sum((v % (1 << bits)) << bits * i for i, v in enumerate(values))
    assert int.from_bytes(stream.tobytes(), "little") == whole
    assert len(stream) == -(-bits * len(values) // 8)
    assert Words.unpacked(stream, len(values), bits).to_list() == words.to_list()


def test_shares_with_headroom_may_be_shifted():
    bits, by, rng = 96, 20, np.random.default_rng(0)
    values = rng.integers(-(1 << (bits - HEADROOM_BITS - 1)) + 1, 1 << 55, 4096)
    x = Words.of(values, bits)
    mask = Words.uniform(len(values), bits)
    total = (x - mask).shifted(by) + mask.shifted(by)
    off = np.array([signed(t, bits) for t in total.to_list()]) - (values >> by)
    assert set(off.tolist()) <= {0, -1}


def test_shares_without_headroom_may_not():
    x = Words.of(np.full(64, 1 << 62, dtype=np.int64), 64)
    mask = Words.uniform(64, 64)
    total = (x - mask).shifted(8) + mask.shifted(8)
    assert any(abs(signed(t, 64) - (1 << 54)) > 1 for t in total.to_list())


def test_what_does_not_fit_is_refused():
    with pytest.raises(EncodingOverflowError, match=r"2\^129"):
        Words.zeros(1, 129)
    with pytest.raises(KeyMismatchError, match="not below"):
        Words(np.array([[2]], dtype=np.uint32), 1)
    with pytest.raises(KeyMismatchError, match=r"uint32 \(count, 2\)"):
        Words(np.zeros((3, 1), dtype=np.uint32), 33)
    with pytest.raises(KeyMismatchError, match="modulo"):
        Words.zeros(2, 8) + Words.zeros(3, 8)
    with pytest.raises(EncodingOverflowError, match="31 bits"):
        Words.zeros(1, 8).times(1 << 31)
    with pytest.raises(EncodingOverflowError, match=r"2\^3"):
        IntegerMatrix(np.full((1, 1), 8.0), 4)
    for bits in (0, 46):
        with pytest.raises(EncodingOverflowError, match=f"{bits} bits"):
            IntegerMatrix(np.zeros((1, 1)), bits)
    with pytest.raises(EncodingOverflowError, match="not an integer"):
        IntegerMatrix(np.full((1, 1), 0.5), 4)
    with pytest.raises(EncodingOverflowError, match="not within"):
        IntegerMatrix(np.full((1, 1), np.nan), 4)


@pytest.mark.parametrize("entry", [(0, 0), (411, 307), (699, 399)])
@pytest.mark.parametrize("value", [0.5, 2.0**20, np.nan])
@pytest.mark.parametrize("layout", ["rows", "columns", "part of a wider one"])
def test_every_entry_is_looked_at_as_it_lies_in_memory(entry, value, layout):
    wide = np.zeros((400, 1000))
    values = {"rows": wide.T[:700].copy(), "columns": np.zeros((400, 700)).T}.get(
        layout, wide[:, 300:].T
    )
    matrix = IntegerMatrix(values, 12)
    assert np.shares_memory(matrix.values, values) and not matrix.values.flags.writeable
    values[entry] = value
    with pytest.raises(EncodingOverflowError):
        IntegerMatrix(values, 12)


def test_a_transposed_part_of_a_matrix_multiplies_as_its_copy():
    wide = np.random.default_rng(5).integers(-999, 999, (40, 100)).astype(float)
    words = Words.uniform(40, 96)
    part = IntegerMatrix(wide[:, :70].T, 12) @ words
    assert part.to_list() == (IntegerMatrix(wide[:, :70].T.copy(), 12) @ words).to_list()
