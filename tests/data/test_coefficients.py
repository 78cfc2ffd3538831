"""Coefficients in original units: the scores recomputed from raw cells are the model's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from vfl.data.coefficients import OTHER_LEVEL, OWN_PART, coefficients
from vfl.data.encode import encode, fit_codings
from vfl.data.preprocess import Preprocessor
from vfl.data.table import read_table


def fit(columns, scale="standard", min_rows=2):
    rows = len(next(iter(columns.values())))
    table = read_table({"id": np.arange(rows), **columns}, party="p", id="id", categorical="text")
    codings = fit_codings(table, [slice(0, rows)], min_rows=min_rows, max_levels=4)
    values, origins = encode(table, codings)
    preprocessor = Preprocessor.fit(values, origins, party="p", scale=scale)
    return table, codings, preprocessor, preprocessor.transform(values)


def by_hand(lines, columns):
    """Scores (n,) from cells, as the docstring of `Coefficient` tells a reader to."""
    found = {(name, level): value for name, level, value, _ in lines}
    total = np.full(len(next(iter(columns.values()))), found.pop((OWN_PART, "")))
    for name, cells in columns.items():
        if (name, "") in found:
            total = total + found[name, ""] * np.asarray(cells)
            continue
        other = found.get((name, OTHER_LEVEL), 0.0)
        total = total + [found.get((name, cell or "(missing)"), other) for cell in cells]
    return total


@given(
    st.integers(0, 2**32),
    st.sampled_from(["standard", "none"]),
    st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", None]), min_size=12, max_size=40),
)
def test_scores_from_raw_cells_are_the_models(seed, scale, cities):
    rng = np.random.default_rng(seed)
    rows = len(cities)
    columns = {
        "age": rng.normal(40, 12, rows),
        "city": cities,
        "debt": rng.lognormal(3, 1, rows),
        "same": np.full(rows, 3.25),
    }
    table, codings, preprocessor, X = fit(columns, scale)
    weights = rng.standard_normal(X.shape[1])
    lines = coefficients(table.names, codings, preprocessor, weights, 0.75)
    assert np.abs(by_hand(lines, columns) - (X @ weights + 0.75)).max() < 1e-9
    learnt = [line.standardised for line in lines[:-1] if line.standardised]
    np.testing.assert_array_equal(learnt, weights)
    assert lines[-1].standardised == 0.75


def test_least_squares_on_scaled_columns_gives_the_coefficients_of_raw_ones():
    rng = np.random.default_rng(4)
    raw = rng.standard_normal((200, 3)) * [1, 50, 1e-3] + [5, -300, 0.02]
    y = raw @ [1.5, -0.01, 200] + 3 + rng.standard_normal(200)
    columns = dict(zip(("a", "b", "c"), raw.T, strict=True))
    table, codings, preprocessor, X = fit(columns)
    scaled, direct = LinearRegression().fit(X, y), LinearRegression().fit(raw, y)
    lines = coefficients(table.names, codings, preprocessor, scaled.coef_, scaled.intercept_)
    np.testing.assert_allclose([c.coefficient for c in lines[:-1]], direct.coef_, rtol=1e-9)
    assert lines[-1].coefficient == pytest.approx(direct.intercept_, rel=1e-9)


def test_lines_are_in_the_order_of_the_file_and_name_the_reference():
    cities = ["york"] * 5 + ["bath"] * 3 + [None] * 2 + ["ely", "hull"]
    columns = {"x": np.arange(12.0), "city": cities, "fixed": np.ones(12)}
    table, codings, preprocessor, X = fit(columns)
    lines = coefficients(table.names, codings, preprocessor, np.array([1.0, 2, 3, 4, 5]), 0.5)
    assert X.shape[1] == 5
    assert [(c.name, c.level, c.standardised) for c in lines] == [
        ("x", "", 1), ("city", "york", 0), ("city", "(missing)", 2), ("city", "bath", 3),
        ("city", "(other)", 4), ("fixed", "", 5), (OWN_PART, "", 0.5),
    ]  # fmt: skip
    assert lines[1].coefficient == 0 and lines[5].coefficient == 0  # reference, constant column


def test_a_party_without_columns_has_its_intercept():
    preprocessor = Preprocessor.fit(np.empty((3, 0)), (), party="p")
    assert coefficients((), (), preprocessor, np.empty(0), 0.5) == [(OWN_PART, "", 0.5, 0.5)]
