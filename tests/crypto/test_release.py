"""The door: it counts, floods, rounds, and is the only way out."""

import copy
import math
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfl_crypto import release
from vfl_crypto.errors import ReleaseBudgetError, ReleaseError
from vfl_crypto.release import MAX_SIGNIFICANT_BITS, Decrypted, Door, os_gaussian

FINITE = st.floats(-1e200, 1e200)


@given(st.lists(FINITE, min_size=1, max_size=30), st.integers(1, 16))
def test_what_leaves_has_no_more_significant_bits_than_asked(values, bits):
    values = np.array(values)
    released = Door(100).release(Decrypted(values), bits).values
    largest = np.abs(values).max()
    if largest == 0.0:
        assert not released.any()
        return
    exponent = math.frexp(largest)[1] - bits
    units = np.ldexp(released, -exponent)
    assert np.array_equal(units, np.round(units))
    assert np.abs(units).max() <= 2**bits
    assert np.abs(np.ldexp(values, -exponent) - units).max() <= 0.5


def test_more_bits_than_the_door_opens_are_refused():
    door = Door(100)
    for bits in (0, -1, MAX_SIGNIFICANT_BITS + 1):
        with pytest.raises(ReleaseError, match="significant bits"):
            door.release(Decrypted(np.ones(2)), bits)
    assert door.left == 100


def test_past_the_budget_nothing_opens_and_nothing_is_counted():
    door = Door(5)
    door.release(Decrypted(np.ones(3)))
    with pytest.raises(ReleaseBudgetError, match="rotate the key"):
        door.release(Decrypted(np.ones(3)))
    assert door.left == 2
    door.release(Decrypted(np.ones(2)))
    assert door.left == 0


def test_the_same_values_opened_twice_count_twice():
    door, decrypted = Door(4), Decrypted(np.ones(2))
    door.release(decrypted)
    door.release(decrypted)
    assert door.left == 0


def test_threads_cannot_open_more_than_the_budget():
    door, results, start = Door(1000), [], threading.Barrier(8)

    def opener():
        start.wait()
        for _ in range(100):
            try:
                results.append(len(door.release(Decrypted(np.ones(3))).values))
            except ReleaseBudgetError:
                results.append(0)

    threads = [threading.Thread(target=opener) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 800
    assert sum(results) == door.opened == 999


def test_the_flood_has_the_variance_that_was_asked_for(monkeypatch):
    monkeypatch.setattr(release, "NOISE_STEPS", 1e-6)  # to see it under the rounding
    count, std = 40000, 3.0
    values = np.zeros(count)
    flooded = Door(count).release(Decrypted(values, flood_std=std)).values
    assert abs(flooded.mean()) < 7 * std / math.sqrt(count)
    assert abs(flooded.std() / std - 1) < 7 / math.sqrt(2 * count)
    assert abs((flooded**4).mean() / std**4 - 3) < 7 * math.sqrt(96 / count)  # Gaussian tails


def test_digits_below_the_flood_are_not_opened():
    """Steps of at least twelve deviations, so a zero is opened as zero."""
    values = np.concatenate([np.zeros(5000), [1000.0, -500.0]])
    released = Door(10_000).release(Decrypted(values, flood_std=1.0))
    assert 12.0 <= released.quantum <= 24.0
    assert not released.values[:-2].any()
    assert np.abs(released.values[-2:] - values[-2:]).max() <= released.quantum
    assert (released.values % released.quantum == 0).all()


def test_floods_are_drawn_anew_for_every_release(monkeypatch):
    monkeypatch.setattr(release, "NOISE_STEPS", 1e-6)
    door, decrypted = Door(4000), Decrypted(np.zeros(2000), flood_std=1.0)
    first, second = (door.release(decrypted).values for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 7 / math.sqrt(2000)
    assert not np.array_equal(first, second)


def test_an_exact_cipher_is_not_flooded():
    released = Door(10).release(Decrypted(np.array([1.0, -0.5])))
    assert released.flood_std == 0.0 and released.values.tolist() == [1.0, -0.5]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_gaussian_draws_come_in_any_number(count):
    assert os_gaussian(count).shape == (count,)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_never_open(bad):
    with pytest.raises(ReleaseError, match="not finite"):
        Door(10).release(Decrypted(np.array([1.0, bad])))


def test_a_decrypted_value_cannot_be_read_past_the_door():
    secret = 123456.789
    decrypted = Decrypted(np.array([secret]))
    for read in (
        np.asarray, np.array, lambda d: d + np.ones(1), lambda d: np.ones(1) * d, pickle.dumps,
        copy.copy, copy.deepcopy,
    ):  # fmt: skip
        with pytest.raises((ReleaseError, TypeError)):
            read(decrypted)
    for read in (float, iter, lambda d: d[0], lambda d: d.values, vars):
        with pytest.raises((TypeError, AttributeError)):
            read(decrypted)
    for text in (repr(decrypted), str(decrypted), f"{decrypted}"):
        assert "123456" not in text and "1 decrypted values" in text


def test_numpy_itself_is_refused_by_name():
    with pytest.raises(ReleaseError, match="only through release"):
        np.asarray(Decrypted(np.ones(1)))
    with pytest.raises(ReleaseError, match="never pickled"):
        pickle.dumps(Decrypted(np.ones(1)))


def test_a_budget_error_holds_no_value():
    with pytest.raises(ReleaseBudgetError) as caught:
        Door(0).release(Decrypted(np.array([98765.4321])))
    assert "98765" not in str(caught.value)
