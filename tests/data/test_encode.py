"""One-hot columns: scikit-learn's encoder is the oracle, and every row has a defined code."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from vfl.data.encode import Coding, encode, fit_codings
from vfl.data.table import read_table
from vfl.errors import DataError
from vfl.protocols.guards import leverage

SECRET = "Xanadu"


def table(**columns):
    rows = len(next(iter(columns.values())))
    return read_table({"id": np.arange(rows), **columns}, party="shop", id="id", categorical="text")


def fitted(cells, batches=None, min_rows=1, max_levels=32):
    """The coding of one column."""
    made = table(city=cells)
    batches = batches or [slice(0, len(cells))]
    (coding,) = fit_codings(made, batches, min_rows=min_rows, max_levels=max_levels)
    return coding


def columns_of(coding, cells):
    return encode(table(city=cells), [coding])[0]


def some(*counts, names="abcdefgh"):
    return [name for name, count in zip(names, counts, strict=False) for _ in range(count)]


def test_the_most_frequent_level_is_the_reference_and_the_others_follow_by_name():
    coding = fitted(some(2, 5, 3))
    assert coding == Coding("city", ("b", "a", "c"), other=False) and coding.width == 2
    np.testing.assert_array_equal(columns_of(coding, ["b", "a", "c"]), [[0, 0], [1, 0], [0, 1]])
    assert fitted(some(4, 4)).levels == ("a", "b")  # of two alike the first by name


def test_rare_levels_share_a_column_where_they_are_enough_together():
    coding = fitted(some(9, 5, 2, 1), min_rows=3)
    assert coding == Coding("city", ("a", "b"), other=True)
    np.testing.assert_array_equal(
        columns_of(coding, ["a", "b", "c", "d", SECRET, None]),
        [[0, 0], [1, 0], [0, 1], [0, 1], [0, 1], [0, 1]],
    )


def test_rare_levels_that_are_too_few_together_count_as_the_reference():
    coding = fitted(some(9, 5, 1, 1), min_rows=3)
    assert coding == Coding("city", ("a", "b"), other=False)
    np.testing.assert_array_equal(columns_of(coding, ["c", SECRET, None, "b"]).T, [[0, 0, 0, 1]])


def test_a_level_needs_its_rows_in_every_batch():
    cells = some(6, 4) + some(6, 0, 4)
    halves = [slice(0, 10), slice(10, 20)]
    assert fitted(cells, min_rows=4).levels == ("a", "b", "c")
    assert fitted(cells, halves, min_rows=4) == Coding("city", ("a",), other=True)


def test_rows_outside_the_batches_are_not_looked_at():
    assert fitted(some(3, 3, 9), [slice(0, 6)]) == fitted(some(3, 3))


def test_the_number_of_levels_is_bounded():
    many = [f"v{k}" for k in range(100) for _ in range(k + 1)]
    coding = fitted(many, max_levels=4)
    assert coding == Coding("city", ("v99", "v96", "v97", "v98"), other=True)


def test_a_missing_cell_is_a_level_of_its_own():
    coding = fitted([*some(5, 3), None, "", "n/a"], min_rows=3)
    assert coding == Coding("city", ("a", "", "b"), other=False)
    np.testing.assert_array_equal(columns_of(coding, ["a", "NULL", "b"]), [[0, 0], [1, 0], [0, 1]])


def test_a_column_of_one_level_has_no_columns():
    assert fitted(some(5)).width == 0
    values, origins = encode(table(city=["a", SECRET], x=[1, 2]), [fitted(some(5))])
    assert origins == ["x"]
    np.testing.assert_array_equal(values, [[1], [2]])


def test_columns_of_numbers_stay_where_they_are():
    made = table(x=[1.0, 2.0, np.nan], city=["a", "b", "a"], y=[7, 8, 9])
    values, origins = encode(made, fit_codings(made, [slice(0, 3)], min_rows=1, max_levels=9))
    assert origins == ["x", "city", "y"] and values.flags.c_contiguous
    np.testing.assert_array_equal(values, [[1, 0, 7], [2, 1, 8], [np.nan, 0, 9]])
    plain = table(x=[1.0, 2.0])
    np.testing.assert_array_equal(encode(plain, [])[0], plain.values)


def test_a_column_of_names_is_refused_with_counts_alone():
    with pytest.raises(DataError) as caught:
        fitted([SECRET + "abcdefghij"[k] for k in range(10)], min_rows=2)
    message = str(caught.value)
    assert message.startswith("shop, the dict: column 'city' has 10 categories in 10 rows")
    assert "drop: [city]" in message and "min_rows" in message and SECRET not in message


cells = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", None]), min_size=1, max_size=60)


@given(train=cells, later=cells, min_rows=st.integers(1, 6), max_levels=st.integers(2, 8))
def test_it_does_what_scikit_learn_does(train, later, min_rows, max_levels):
    """With the same reference dropped; its infrequent columns are our "other"."""
    train = [*train, *["a"] * 61]  # a is the most frequent, so it is the reference
    coding = fitted(train, min_rows=min_rows, max_levels=max_levels)

    def names(some):
        return np.array([name or "missing" for name in some], dtype=object)[:, None]

    kept = [name or "missing" for name in coding.levels]
    named = np.where(np.isin(names(train), kept), names(train), "rest")
    rest = (named == "rest").sum()
    assert coding.other == (rest >= min_rows) and kept[0] == "a"
    counts = {n: (names(train) == n).sum() for n in set(names(train)[:, 0])}
    enough = sorted((n for n in counts if counts[n] >= min_rows), key=lambda n: -counts[n])
    assert len(kept) == min(len(enough), max_levels)
    assert min(counts[n] for n in kept) >= max([counts[n] for n in enough if n not in kept] or [0])

    oracle = OneHotEncoder(
        categories=[[*kept, "rest"]] if coding.other else [kept],
        handle_unknown="ignore", sparse_output=False,
    ).fit(names(["a"]))  # fmt: skip
    for rows in (train, later):
        known = np.isin(names(rows), kept)
        expected = oracle.transform(np.where(known, names(rows), "rest"))[:, 1:]
        np.testing.assert_array_equal(columns_of(coding, [*rows, "a"])[:-1], expected)


@given(train=cells, later=cells, min_rows=st.integers(1, 4), max_levels=st.integers(2, 5))
def test_every_row_has_one_code_whatever_else_is_in_its_table(train, later, min_rows, max_levels):
    coding = fitted([*train, *"aaaa"], min_rows=min_rows, max_levels=max_levels)
    coding = msgspec.json.decode(msgspec.json.encode(coding), type=Coding)
    together = columns_of(coding, [*later, "a", "never seen"])
    assert set(np.unique(together)) <= {0.0, 1.0} and (together.sum(axis=1) <= 1).all()
    assert together.shape[1] == coding.width <= max_levels
    for cell, row in zip(later, together, strict=False):
        np.testing.assert_array_equal(columns_of(coding, [cell, "a"])[0], row)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=40, max_size=90),
    st.integers(2, 12), st.integers(1, 2),
)  # fmt: skip
def test_no_row_has_more_leverage_than_min_rows_allow(cells, min_rows, count):
    """Within the columns of one category, in every batch: the promise of the module."""
    cells = [*cells, *["a"] * 30] * 2
    edges = np.linspace(0, len(cells), count + 1).astype(int)
    batches = [slice(a, b) for a, b in itertools.pairwise(edges)]
    coding = fitted(cells, batches, min_rows=min_rows)
    X = columns_of(coding, cells)
    centred = X - X.mean(axis=0)
    for rows in batches:
        assert leverage(X[rows]).max(initial=0) <= 1 / min_rows + 1e-9
        assert leverage(centred[rows]).max(initial=0) <= 1 / min_rows + 1e-9
