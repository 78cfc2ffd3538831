"""Canonical ids: one person, one byte string, whatever type each file gave the id."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl.data.ids import canonical_id, canonical_ids, refuse_repeated
from vfl.errors import AlignmentError, DataError


@pytest.mark.parametrize(
    "value",
    [1, "1", 1.0, "1.0", " 1 ", "\t1.000\n", np.int8(1), np.uint64(1), np.float32(1), np.str_("1")],
)
def test_every_form_of_one_is_one(value):
    assert canonical_id(value) == b"1"


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_an_integer_a_float_and_their_texts_agree(number):
    expected = str(number).encode()
    for form in (number, float(number), str(number), f" {number}.00 ", np.int64(number)):
        assert canonical_id(form) == expected
    assert canonical_id(str(float(number))) == expected  # what a CSV writer makes of a float column


@given(st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_canonical_id_read_back_as_text_stays_the_same(value):
    try:
        once = canonical_id(value)
    except DataError:
        return
    assert canonical_id(once.decode()) == once


@given(st.integers(), st.integers())
def test_different_integers_stay_different(left, right):
    assert (canonical_id(left) == canonical_id(right)) == (left == right)
    assert (canonical_id(str(left)) == canonical_id(right)) == (left == right)


@pytest.mark.parametrize(
    "text", ["007", "+7", "7e3", "7.", ".0", "7.5", "0x7", "1_000", "1,000", "١", "--1", "-", "1 2"]
)
def test_other_text_stays_text(text):
    assert canonical_id(f" {text} ") == text.encode()


def test_minus_zero_is_zero():
    assert {canonical_id(v) for v in (0, -0.0, "-0", "-0.0", "0.0", "0")} == {b"0"}


@given(st.text(min_size=1))
def test_composed_and_decomposed_text_agree(text):
    try:
        expected = canonical_id(text)
    except DataError:
        return
    assert canonical_id(unicodedata.normalize("NFD", text)) == expected
    assert canonical_id(f"\n {text}\t") == expected


def test_composed_text_is_what_is_hashed():
    assert canonical_id("Zoe\u0308") == "Zo\u00eb".encode()


@pytest.mark.parametrize(
    "value", [2.0**53, -(2.0**53), 1e300, 1.5, np.float32(2**24), np.float16(2**11), 0.1]
)
def test_a_float_that_may_stand_for_another_id_is_refused(value):
    with pytest.raises(DataError, match="floats skip"):
        canonical_id(value)


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_a_missing_id_is_refused(value):
    with pytest.raises(DataError, match="missing"):
        canonical_id(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        (" \t", "empty"),
        (float("inf"), "floats skip"),
        (-np.inf, "floats skip"),
        (True, "truth value"),
        (np.False_, "truth value"),
        (b"1", "type bytes"),
        ((1,), "type tuple"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_what_is_not_an_id_is_refused(value, reason):
    with pytest.raises(DataError, match=reason):
        canonical_id(value)


@pytest.mark.parametrize(
    "column",
    [
        [7, 12, 30],
        ["7", " 12", "30.0"],
        np.array([7, 12, 30], np.int32),
        np.array([7, 12, 30], np.uint64),
        np.array([7.0, 12.0, 30.0]),
        np.array(["7", "12", "30"]),
        pd.Series([7, 12, 30]),
        pd.Series([7, 12, 30], dtype="Int64"),
        pd.Series(["7", "12", "30"], dtype="string"),
        pd.Categorical(["7", "12", "30"]),
    ],
    ids=lambda column: f"{type(column).__name__}-{getattr(column, 'dtype', '')}",
)
def test_a_column_of_any_kind_gives_the_same_ids(column):
    assert canonical_ids(column, where="bank", row_numbers=range(3)) == [b"7", b"12", b"30"]


@pytest.mark.parametrize(
    "column",
    [
        ["secret-41", None],
        np.array([4141.0, np.nan]),
        [1, True],
    ],
)
def test_a_bad_row_is_named_and_no_id_is_printed(column):
    with pytest.raises(DataError, match=r"bank: bank\.csv \(row 9\): the id is") as caught:
        canonical_ids(column, where="bank: bank.csv", row_numbers=[7, 9])
    assert "41" not in str(caught.value)


def test_a_column_of_truth_values_is_refused():
    with pytest.raises(DataError, match=r"row 1\): the id is a truth value"):
        canonical_ids(np.array([True, False]), where="bank", row_numbers=[1, 2])


def test_an_id_that_is_not_unicode_is_not_printed_by_the_traceback():
    with pytest.raises(DataError) as caught:
        canonical_id("secret\ud800")
    assert caught.value.__suppress_context__


def test_repeated_ids_are_refused_with_counts_alone():
    ids = canonical_ids([1, 2, 3, "1", "2.0", 1.0], where="bank", row_numbers=range(6))
    with pytest.raises(AlignmentError, match=r"bank: bank\.csv: 2 of 6 ids occur more than once"):
        refuse_repeated(ids, "bank", "bank.csv")
    refuse_repeated(ids[:3], "bank", "bank.csv")
