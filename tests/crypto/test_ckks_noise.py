"""The security line, the static noise bound against measured noise, and the floods over it."""

import functools
import math

import numpy as np
import pytest

from vfl_crypto import _native
from vfl_crypto.ckks import CkksScheme
from vfl_crypto.ckks.formats import ENCRYPTIONS_ADDED, Formats
from vfl_crypto.ckks.noise import peak
from vfl_crypto.errors import EncodingOverflowError, InsecureParametersError
from vfl_crypto.security import LOG2_QP_LIMIT, check_ring

P = Formats()
HOLDER = CkksScheme().generate()
PUBLIC = CkksScheme().encryptor(HOLDER.public_key)


@pytest.mark.parametrize(("n", "limit"), [(1024, 26), (2048, 53), (4096, 106), (8192, 214),
                                          (16384, 430), (32768, 868)])  # fmt: skip
def test_the_2024_limits_are_accepted_and_one_bit_more_is_refused(n, limit):
    assert LOG2_QP_LIMIT[n] == limit
    assert check_ring(n, [limit - 20, 20]) == 128
    with pytest.raises(InsecureParametersError, match=f"limit of {limit} bits at N = {n}"):
        check_ring(n, [limit - 20, 21])


def test_a_refusal_names_the_remedy():
    with pytest.raises(InsecureParametersError, match="use N = 16384"):
        check_ring(8192, [60, 60, 60, 40])
    with pytest.raises(InsecureParametersError, match="fewer or shorter"):
        check_ring(32768, [60] * 15)
    with pytest.raises(InsecureParametersError, match="no security estimate"):
        check_ring(3000, [20])
    with pytest.raises(InsecureParametersError, match="at least one prime"):
        check_ring(8192, [])


def test_every_prime_counts_the_special_one_too():
    """218 bits pass SEAL's own 2018 table; they do not pass here."""
    with pytest.raises(InsecureParametersError, match="at N = 4096"):
        Formats(n=4096, prime_bits=(24, 24, 30, 30))
    with pytest.raises(InsecureParametersError, match="218 is above"):
        check_ring(8192, [60, 60, 60, 38])


@pytest.mark.parametrize("change", [{"openings": 0}, {"statistical_bits": 29}])
def test_a_key_that_would_not_flood_is_refused(change):
    with pytest.raises(InsecureParametersError):
        Formats(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"integer_bits": 30},
        {"column_bits": -1},
        {"prime_bits": (32, 32, 51, 50)},
        {"prime_bits": (33, 32, 50, 50)},
        {"prime_bits": (32, 32, 23, 50)},
    ],
)
def test_ranges_without_precision_are_refused(change):
    with pytest.raises(EncodingOverflowError):
        Formats(**change)


def rms(errors):
    return math.sqrt(float(np.mean(np.square(errors))))


def test_the_noise_of_encrypted_rows_stays_below_its_bound_and_near_the_formula():
    d = np.random.default_rng(0).uniform(-1, 1, size=3 * 2048)
    total = PUBLIC.encrypt(d)
    for _ in range(ENCRYPTIONS_ADDED - 1):
        total = PUBLIC.add(total, PUBLIC.encrypt(np.zeros_like(d)))
    noise = rms(HOLDER.decrypt(total)._values - d)
    bound = P.rows_deviation(4)  # three blocks and one more
    # each row averages two slots, so sqrt(2) below, and the bound is the noisiest slot's
    assert 0.5 < noise * peak(P.n) / bound < 1


@pytest.mark.parametrize(("rows", "features"), [(3, 64), (60, 64), (2048, 40), (9000, 40)])
def test_the_noise_of_a_product_stays_below_its_bound_and_not_far(rows, features):
    """Of sixteen vectors and of the largest columns: the bound is one for all data."""
    rng = np.random.default_rng(rows)
    vectors = rng.choice([-1.0, 1.0], size=(ENCRYPTIONS_ADDED, rows)) * 2.0 ** (P.value_bits - 1)
    total = functools.reduce(PUBLIC.add, map(PUBLIC.encrypt, vectors))
    errors = []
    for _ in range(3):
        X = rng.uniform(-1, 1, size=(rows, features)) * 2.0**P.column_bits
        product = PUBLIC.rmatmul(X, total)
        errors.append(HOLDER.decrypt(product)._values - X.T @ vectors.sum(axis=0))
    layout = PUBLIC.layout(product)
    bound = P.sums_deviation(layout.classes, layout.total)
    assert 0.08 * bound < rms(errors) < bound


def test_a_departing_result_carries_noise_as_wide_as_the_flood():
    """Under it the noise of the product, a linear map of X, is 2^24 times smaller."""
    rng = np.random.default_rng(2)
    X, d = rng.normal(size=(100, 64)), rng.normal(size=100)
    product = PUBLIC.rmatmul(X, PUBLIC.encrypt(d))
    errors = [
        HOLDER.decrypt(PUBLIC.encrypt(np.zeros(64), onto=product))._values - X.T @ d
        for _ in range(6)
    ]
    layout = PUBLIC.layout(product)
    deviation = P.sums_deviation(layout.classes, layout.total)
    ratio = rms(errors) / P.flood(deviation)
    assert abs(ratio - 1) < 5 / math.sqrt(2 * 384)
    assert P.flood(deviation) / deviation == pytest.approx(math.sqrt(12 * 2**14) * 2**15)


def test_the_key_holder_asks_the_door_for_the_flood_of_the_formula():
    c = PUBLIC.encrypt(np.ones(100))
    assert HOLDER.decrypt(c)._flood_std == P.flood(P.rows_deviation(1))
    product = PUBLIC.rmatmul(np.ones((100, 1)), c)
    assert HOLDER.decrypt(product)._flood_std == P.flood(P.sums_deviation(32, 128))
    assert HOLDER.release(HOLDER.decrypt(product)).flood_std > 0


def test_a_sum_over_4096_rows_keeps_useful_precision():
    opened = math.sqrt(2) * P.flood(P.sums_deviation(2, 4096))
    assert opened < 2**-3
    assert opened == pytest.approx(0.0600, rel=0.01)


def test_the_noisiest_slot_of_a_key_is_several_times_the_mean_and_within_the_peak():
    """|s(zeta)|^2 is exponentially distributed: the largest of N/2 is near ln(N/2) means."""
    s = _native.sample_ternary(bytes(32), 0, P.n, 64).astype(np.float64)
    power = np.abs(_native.Embedding(P.n).slots(s, 1.0)) ** 2
    largest = power.max(axis=1) / power.mean(axis=1)
    assert abs(largest.mean() - (math.log(P.n / 2) + 0.577)) < 6 * 1.283 / math.sqrt(64)
    assert np.median(largest) < peak(P.n) ** 2 / 2 + 1
    assert largest.max() < peak(P.n) ** 2
