"""Cells of categories: one level for one meaning in any kind of file, and nothing guessed."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl.data.categories import coded, is_text
from vfl.data.readers import MISSING_WORDS, read_columns


def names(cells):
    """The level of each cell, None where missing."""
    codes, levels, bad = coded(cells)
    assert bad is None and codes.dtype == np.float64 and list(levels) == sorted(set(levels))
    return [None if np.isnan(code) else levels[int(code)] for code in codes]


def test_text_keeps_its_letters_and_loses_the_space_around_it():
    assert names([" north", "North ", "a b", "Zoe\u0308"]) == ["north", "North", "a b", "Zo\u00eb"]


@pytest.mark.parametrize(
    "cells",
    [
        ["7", "8", ""], [7, 8, None], [7.0, 8.0, np.nan], np.array([7.0, 8.0, np.nan]),
        pd.Series([7, 8, None], dtype="Int64"), pd.Series(["7.0", " 8", pd.NA], dtype="string"),
        pd.Series(["7", "8", None], dtype="category"), [np.int8(7), "8", "n/a"],
    ],
    ids=repr,
)  # fmt: skip
def test_whole_numbers_are_the_same_level_from_every_source(cells):
    assert names(cells) == ["7", "8", None]


def test_truth_values_are_what_pandas_writes_into_a_csv():
    assert names([True, np.bool_(False), "True", None]) == ["True", "False", "True", None]
    assert names([True, 1, 0, False]) == ["True", "1", "0", "False"]


@pytest.mark.parametrize("word", sorted(MISSING_WORDS))
def test_every_missing_word_is_missing(word):
    assert names(["x", f" {word.upper()} "]) == ["x", None]


@pytest.mark.parametrize(
    "cell",
    [0.5, np.inf, 2.0**60, [1], {}, np.ones(2), dt.date(2020, 1, 1), b"x", "\ud800"],
    ids=repr,
)
def test_what_is_no_category_is_pointed_at(cell):
    assert coded(["a", "b", cell, "c"])[2] == 2


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a", "b"], True),
        (["a", "", None, "N/A"], True),
        (np.array(["a", "b"]), True),
        (pd.Series(["a", None], dtype="string"), True),
        (pd.Series(["a", None], dtype="category"), True),
        (["1", "b"], False),
        (["nan", ""], False),
        ([None, np.nan], False),
        (["1e5", "inf"], False),
        ([1, 2], False),
        (["a", 1], False),
        ([True, False], False),
        ([["a"], ["b"]], False),
        ([np.ones(2)], False),
        (np.array([1.0, 2.0]), False),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), False),
    ],
)
def test_text_is_what_holds_words_and_no_number(cells, expected):
    assert is_text(cells) is expected


def test_files_of_all_kinds_give_the_same_levels(tmp_path):
    frame = pd.DataFrame(
        {
            "city": pd.Series(["York", None, "Bath", "York"], dtype="category"),
            "flat": ["1a", "2", "1a", None],
            "code": pd.Series([3, None, 1, 3], dtype="Int64"),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    for source in (tmp_path / "t.csv", tmp_path / "t.parquet", frame, arrow):
        cells = read_columns(source, party="p").cells
        assert names(cells["city"]) == ["York", None, "Bath", "York"]
        assert names(cells["flat"]) == ["1a", "2", "1a", None]
        assert names(cells["code"]) == ["3", None, "1", "3"]


@given(st.lists(st.none() | st.text(max_size=4) | st.integers() | st.booleans(), max_size=30))
def test_a_level_is_again_its_own_name(cells):
    codes, levels, bad = coded(cells)
    if bad is not None:  # a lone surrogate
        return
    again, same, bad = coded([None if np.isnan(c) else levels[int(c)] for c in codes])
    assert bad is None and same == levels
    np.testing.assert_array_equal(again, codes)
