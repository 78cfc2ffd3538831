"""Pairwise masks: the sum is exact, and one masked vector says nothing."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, UnsafeDepartureError
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.secagg import SCORES, PairwiseMasker, round_context, unmask_sum

ROUND = round_context("job", 1, 0, "scores")


def session(*names, fixed=SCORES):
    maskers = {name: PairwiseMasker(name, fixed) for name in names}
    for name, masker in maskers.items():
        masker.agree({n: m.public_key for n, m in maskers.items() if n != name})
    return maskers


def byte_p_value(masked):
    """p-value of the hypothesis that all bytes are equally likely."""
    return chisquare(np.bincount(masked.view(np.uint8), minlength=256)).pvalue


@settings(max_examples=40)
@given(
    st.integers(2, 10),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6),
    st.integers(0, 2**32),
)
def test_the_sum_is_exactly_that_of_the_rounded_values(parties, first, seed):
    rng = np.random.default_rng(seed)
    names = [f"p{i}" for i in range(parties)]
    values = {n: rng.uniform(-1e6, 1e6, len(first)) for n in names}
    values["p0"] = np.array(first)
    maskers = session(*names)
    masked = [maskers[n].mask(values[n], ROUND) for n in names]
    # the oracle: Python integers, no modulus
    expected = [
        sum(round(float(v) * 2**32) for v in column) / 2**32
        for column in zip(*(values[n] for n in names), strict=True)
    ]
    assert unmask_sum(masked).tolist() == expected
    assert unmask_sum(masked[::-1]).tolist() == expected


def test_one_masked_vector_looks_uniform_and_without_masks_it_does_not():
    values = np.random.default_rng(3).normal(size=50_000)
    assert byte_p_value(SCORES.encode(values).view(np.uint64)) < 1e-100
    maskers = session("a", "b", "c")
    for name in maskers:
        assert byte_p_value(maskers[name].mask(values, ROUND)) > 1e-9


def test_all_but_one_masked_vectors_still_look_uniform_in_sum():
    maskers = session("a", "b", "c", "d")
    masked = [m.mask(np.zeros(50_000), ROUND) for m in maskers.values()]
    for some in itertools.combinations(masked, 3):
        assert byte_p_value(np.add.reduce(some)) > 1e-9
        with pytest.raises(KeyMismatchError, match="do not cancel"):
            unmask_sum(some)


def test_a_mask_used_twice_shows_the_difference_so_a_context_is_used_once():
    maskers = session("a", "b")
    before, after = np.array([1.0, 2.0]), np.array([4.0, -1.5])
    first = maskers["a"].mask(before, ROUND)
    with pytest.raises(UnsafeDepartureError, match="new attempt"):
        maskers["a"].mask(after, ROUND)
    maskers["a"]._used.clear()  # protection off: the attack reads the change
    second = maskers["a"].mask(after, ROUND)
    assert SCORES.decode((second - first).view(np.int64)).tolist() == [3.0, -3.5]
    # protection on: a new attempt has new masks
    third = maskers["a"].mask(after, round_context("job", 1, 1, "scores"))
    assert not np.allclose(SCORES.decode((third - first).view(np.int64)), [3.0, -3.5])


def test_a_context_is_used_once_whatever_the_set():
    maskers = session("a", "b", "c")
    maskers["a"].mask(np.ones(3), ROUND)
    with pytest.raises(UnsafeDepartureError):
        maskers["a"].mask(np.ones(3), ROUND, ["a", "b"])


def test_a_refused_call_does_not_use_the_context_up():
    maskers = session("a", "b")
    with pytest.raises(EncodingOverflowError):
        maskers["a"].mask(np.array([1e9]), ROUND)
    assert unmask_sum(
        [maskers["a"].mask(np.array([1.0]), ROUND), maskers["b"].mask(np.array([2.0]), ROUND)]
    ).tolist() == [3.0]


def test_a_smaller_set_opens_if_all_of_it_agree_on_it():
    maskers = session("a", "b", "c")
    masked = [maskers[n].mask(np.full(4, 1.5), ROUND, ["b", "a"]) for n in "ab"]
    assert unmask_sum(masked).tolist() == [3.0] * 4


def test_vectors_of_two_sets_contexts_or_sessions_do_not_open():
    values = np.ones(20)
    maskers = session("a", "b", "c")
    masked = maskers["a"].mask(values, ROUND)
    with pytest.raises(KeyMismatchError, match="do not cancel"):  # set {a, b, c} and set {a, b}
        unmask_sum([masked, maskers["b"].mask(values, ROUND, ["a", "b"])])
    pair = session("a", "b")
    masked = pair["a"].mask(values, round_context("job", 2, 0, "scores"))
    with pytest.raises(KeyMismatchError, match="do not cancel"):
        unmask_sum([masked, pair["b"].mask(values, round_context("job", 2, 1, "scores"))])
    with pytest.raises(KeyMismatchError, match="do not cancel"):
        unmask_sum([masked, session("a", "b")["b"].mask(values, ROUND)])


PARTS = st.tuples(
    st.text("a1", max_size=3), st.integers(0, 12), st.integers(0, 12), st.text("a1", max_size=3)
)


@given(PARTS, PARTS)
def test_no_two_rounds_have_one_context(here, there):
    assert (round_context(*there) == round_context(*here)) == (there == here)
    assert round_context("a", 1, 11, "x") != round_context("a", 11, 1, "x")


def test_a_single_contributor_must_say_that_its_values_show():
    alone = session("a")["a"]
    with pytest.raises(UnsafeDepartureError, match="only contributor"):
        alone.mask(np.array([2.5]), ROUND)
    shown = alone.mask(np.array([2.5]), ROUND, alone=True)
    assert SCORES.decode(shown.view(np.int64)).tolist() == [2.5]  # the receiver reads it
    assert unmask_sum([shown]).tolist() == [2.5]
    with pytest.raises(UnsafeDepartureError, match="2 contributors"):
        session("a", "b")["a"].mask(np.array([2.5]), ROUND, alone=True)


@pytest.mark.parametrize("bad", [2.0**20, -(2.0**20), np.nan, np.inf])
def test_a_value_out_of_range_is_refused(bad):
    with pytest.raises(EncodingOverflowError, match="1 of 2"):
        session("a", "b")["a"].mask(np.array([0.0, bad]), ROUND)


def test_the_largest_values_of_the_most_contributors_still_add_up():
    fixed = FixedPoint(integer_bits=20, fraction_bits=40)
    largest = np.nextafter(2.0**20, 0)
    four = session("a", "b", "c", "d", fixed=fixed)
    masked = [m.mask(np.array([-largest]), ROUND) for m in four.values()]
    assert unmask_sum(masked, fixed).tolist() == [-4 * largest]
    five = session("a", "b", "c", "d", "e", fixed=fixed)
    with pytest.raises(EncodingOverflowError, match="sum of 5 values"):
        five["a"].mask(np.array([0.0]), ROUND)


def test_unusable_public_keys_are_refused():
    own = PairwiseMasker("a")
    other = PairwiseMasker("b").public_key
    with pytest.raises(KeyMismatchError, match="key of b is not usable"):
        own.agree({"b": bytes(32)})  # low order
    with pytest.raises(KeyMismatchError, match="key of b is not usable"):
        own.agree({"b": other[:31]})
    with pytest.raises(KeyMismatchError, match="same public key"):
        own.agree({"b": other, "c": other})
    with pytest.raises(KeyMismatchError, match="same public key"):
        own.agree({"b": own.public_key})
    with pytest.raises(KeyMismatchError, match="own peers"):
        own.agree({"a": other})
    own.agree({"b": other})
    with pytest.raises(KeyMismatchError, match="already"):
        own.agree({"b": other})


def test_names_without_a_key_and_sets_without_oneself_are_refused():
    maskers = session("a", "b")
    with pytest.raises(KeyMismatchError, match="no key was agreed with z"):
        maskers["a"].mask(np.ones(1), ROUND, ["a", "z"])
    with pytest.raises(KeyMismatchError, match="not among the contributors"):
        maskers["a"].mask(np.ones(1), ROUND, ["b"])
    with pytest.raises(EncodingOverflowError, match="shape"):
        maskers["a"].mask(np.ones((2, 2)), ROUND)


def test_only_vectors_of_one_shape_and_dtype_are_summed():
    for bad in (
        [],
        [np.zeros(2, np.uint64), np.zeros(3, np.uint64)],
        [np.zeros(2, np.int64), np.zeros(2, np.int64)],
    ):
        with pytest.raises(KeyMismatchError, match="one length"):
            unmask_sum(bad)


def test_a_masker_drops_its_secret_key_and_is_not_printed_pickled_or_copied():
    masker = session("a", "b")["a"]
    assert masker._key is None
    assert masker._shared["b"].hex() not in repr(masker)
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            leave(masker)
