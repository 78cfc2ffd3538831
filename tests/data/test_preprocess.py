"""Filling and scaling: scikit-learn's own is the oracle, JSON loses no bit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from vfl.data.preprocess import Preprocessor
from vfl.errors import CheckpointError, DataError

NAMES = ("age", "debt", "calls")
SECRET = 771.3331


def columns(rows, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, 3)) * [1, 1e-6, 1e6] + [5, 1e-3, -2e6]
    values[rng.random((rows, 3)) < missing] = np.nan
    return values


def fit(values, **options):
    return Preprocessor.fit(values, NAMES, party="bank", **options)


@pytest.mark.parametrize("impute", [None, "mean", "median", "zero"])
@pytest.mark.parametrize("scale", ["standard", "none"])
def test_it_does_what_scikit_learn_does(impute, scale):
    missing = 0.0 if impute is None else 0.2
    train, later = columns(200, 1, missing), columns(50, 2, missing)
    ours = fit(train, impute=impute, scale=scale)
    expected_train, expected_later = train, later
    if impute is not None:
        strategy = {"zero": "constant"}.get(impute, impute)
        imputer = SimpleImputer(strategy=strategy, fill_value=0.0).fit(train)
        expected_train, expected_later = imputer.transform(train), imputer.transform(later)
    if scale == "standard":
        scaler = StandardScaler().fit(expected_train)
        expected_train = scaler.transform(expected_train)
        expected_later = scaler.transform(expected_later)
    np.testing.assert_allclose(ours.transform(train), expected_train, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.transform(later), expected_later, rtol=1e-9, atol=1e-9)
    assert ours.notes == ()


def test_the_result_is_a_new_contiguous_array():
    values = columns(20)
    for scale in ("standard", "none"):
        out = fit(values, scale=scale).transform(values[::2])
        assert out.dtype == np.float64 and out.flags.c_contiguous and out.flags.writeable
        assert not np.shares_memory(out, values)


def test_later_rows_change_nothing_that_was_fitted():
    train, one = columns(100), columns(1, 9)
    fitted = fit(train)
    beside = fitted.transform(np.vstack([one, 1e9 * columns(5, 3)]))
    np.testing.assert_array_equal(beside[0], fitted.transform(one)[0])


def test_a_gap_in_a_later_row_takes_the_fitted_fill():
    """Also in a column that had no gap in training."""
    train = columns(100)
    gap = np.full((1, 3), np.nan)
    np.testing.assert_allclose(fit(train, impute="mean").transform(gap), 0, atol=1e-9)
    unscaled = fit(train, impute="median", scale="none").transform(gap)
    np.testing.assert_array_equal(unscaled[0], np.median(train, axis=0))


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e9])
def test_a_constant_column_counts_as_zero_and_is_noted(constant):
    values = columns(100)
    values[:, 1] = constant
    fitted = fit(values)
    assert fitted.notes == ("column 'debt' is constant over the training rows and counts as 0",)
    later = columns(10, 3)
    assert not fitted.transform(later)[:, 1].any()
    np.testing.assert_allclose(fitted.transform(values)[:, [0, 2]].std(axis=0), 1)
    untouched = fit(values, scale="none")
    assert untouched.notes == ()
    np.testing.assert_array_equal(untouched.transform(values), values)


def test_a_constant_column_with_gaps_is_still_constant_after_filling():
    """The mean of many copies of 0.1 is not exactly 0.1."""
    values = columns(1000)
    values[:, 1] = 0.1
    values[::3, 1] = np.nan
    assert np.nanmean(values[:, 1]) != 0.1
    assert len(fit(values, impute="mean").notes) == 1


def test_a_gap_without_a_rule_names_column_count_and_remedy():
    values = columns(100)
    values[:4, 2] = np.nan
    values[0, 0] = np.nan
    values[5, 2] = SECRET
    for act in (lambda: fit(values), lambda: fit(columns(100)).transform(values)):
        with pytest.raises(DataError) as caught:
            act()
        message = str(caught.value)
        assert message.startswith("bank: column 'calls' has no value in 4 of 100 rows (2 such")
        assert "impute: mean" in message and "drop: [calls]" in message
        assert str(SECRET) not in message


@pytest.mark.parametrize("impute", ["mean", "median"])
def test_a_column_without_any_value_has_no_mean(impute):
    values = columns(10)
    values[:, 1] = np.nan
    with pytest.raises(DataError, match=rf"bank: column 'debt' .* no {impute}; drop: \[debt\]"):
        fit(values, impute=impute)
    assert fit(values, impute="zero").notes  # all zeros: constant


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_a_column_whose_square_is_no_float_is_refused(unit):
    with pytest.raises(DataError, match=r"bank: column 'age' is too large or too .*drop: \[age\]"):
        fit(columns(10) * [unit, 1, 1])
    assert fit(np.full((10, 3), unit)).notes[0].startswith("column 'age' is constant")


def test_another_number_of_columns_is_refused():
    with pytest.raises(DataError, match=r"bank: the rows have 2 columns .* on 3: age, debt, calls"):
        fit(columns(10)).transform(columns(10)[:, :2])


finite = st.floats(-1e100, 1e100).map(lambda x: x if abs(x) > 1e-100 else 0.0)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=finite),
    st.sampled_from([None, "mean", "median", "zero"]),
    st.sampled_from(["standard", "none"]),
)
def test_json_loses_no_bit_and_the_result_is_always_finite(values, impute, scale):
    fitted = fit(values, impute=impute, scale=scale)
    again = Preprocessor.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again == fitted
    out = fitted.transform(values)
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(again.transform(values), out)


@given(arrays(np.float64, (12, 3), elements=finite))
def test_standardised_training_columns_have_mean_0_and_spread_1_or_0(values):
    out = fit(values).transform(values)
    spread, size = values.std(axis=0), np.abs(values).max(axis=0)
    ratio = np.divide(size, spread, out=np.zeros(3), where=spread > 1e-12 * size)
    tolerance = 1e-14 * ratio + 1e-12  # cancellation in x - mean
    assert (np.abs(out.mean(axis=0)) <= tolerance).all()
    spread = out.std(axis=0)
    assert (np.minimum(np.abs(spread - 1), spread) <= tolerance).all()


@pytest.mark.parametrize(
    "damage",
    [
        {"centre": [0.0]},
        {"factor": [1.0, 1.0, float("nan")]},
        {"fill": [0.0]},
        {"centre": None},
        {"centre": ["x", 1, 1]},
        {"names": 3},
    ],
)
def test_a_damaged_store_is_refused(damage):
    stored = fit(columns(10), impute="mean").to_dict()
    assert Preprocessor.from_dict(stored) == fit(columns(10), impute="mean")
    with pytest.raises(CheckpointError, match="fit it again"):
        Preprocessor.from_dict(stored | damage)
    del stored["fill"]
    with pytest.raises(CheckpointError):
        Preprocessor.from_dict(stored)
