"""Encrypted vectors: values, exact scales, levels, noise, and the doors they leave by."""

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.ckks import noise, parameters
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.evaluator import Evaluator
from vfl_crypto.ckks.holder import Holder
from vfl_crypto.ckks.keys import SecretKey
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
    ReleaseBudgetError,
    ReleaseError,
)
from vfl_crypto.release import Decrypted

SCALE = 2.0**40
CHAINS = {
    "short": Parameters.of_bits(8192, [50, 40, 40, 50]),
    "long": Parameters.of_bits(8192, [60, 40, 40, 60]),
    "small": Parameters.of_bits(4096, [36, 30, 36]),
    "uneven": Parameters.of_bits(8192, [49, 36, 49, 49]),
}
HOLDERS = {name: Holder(SecretKey(Arithmetic(p, 2))) for name, p in CHAINS.items()}
RNG = np.random.default_rng(0)


def opened(holder, vectors):
    return holder.decrypt(vectors)._values


PEAK = noise.peak(8192)  # the noisiest slot by the mean one


def deviations(holder, vectors, want):
    """How far the decryption is off, in deviations that the vectors declare."""
    return (opened(holder, vectors) - np.asarray(want).reshape(-1)) / vectors.error


@pytest.fixture(params=HOLDERS)
def holder(request):
    return HOLDERS[request.param]


def scale_of(holder):
    return 2.0**24 if holder is HOLDERS["small"] else SCALE


@pytest.mark.parametrize("public", [True, False])
def test_fresh_noise_is_what_is_declared(holder, public):
    values = RNG.uniform(-1, 1, (3, holder.evaluator._parameters.slots))
    face = holder.evaluator if public else holder
    vectors = face.encrypt(values, scale_of(holder))
    off = deviations(holder, vectors, values)
    # of one key: |s|^2 is exponentially distributed over the slots, the kurtosis 6
    assert abs(off.std() - 1) < 6 * math.sqrt(5 / (4 * holder.evaluator._parameters.slots))
    assert np.abs(off).max() < 7 * PEAK
    assert (vectors.seeds is None) == public
    assert vectors.fresh


@settings(max_examples=20)
@given(length=st.integers(1, 4096), count=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_arithmetic_is_that_of_vectors(length, count, seed):
    holder = HOLDERS["short"]
    e, rng = holder.evaluator, np.random.default_rng(seed)
    x, y, w = (rng.uniform(-2, 2, (count, length)) for _ in range(3))
    a, b = holder.encrypt(x, SCALE), e.encrypt(y, SCALE)
    product = e.rescale(e.multiply(a, b))
    weighted = e.rescale(e.multiply_plain(b, w))
    for vectors, want in (
        (e.add(a, b), x + y),
        (product, x * y),
        (weighted, w * y),
        (e.rescale(e.multiply_plain(product, w)), x * y * w),
        (e.rescale(e.multiply(weighted, e.add(a, a))), 2 * w * x * y),
        (e.sum(b), y.sum(axis=0)),
        (e.add(e.add(a, a), weighted), 2 * x + w * y),
    ):
        assert np.abs(deviations(holder, vectors, want)).max() < 7 * PEAK
        assert vectors.lengths == (length,) * len(vectors)
        assert not vectors.fresh


def test_one_factor_for_a_whole_batch():
    holder, x, w = HOLDERS["short"], RNG.normal(size=(4, 100)), RNG.normal(size=100)
    e = holder.evaluator
    product = e.rescale(e.multiply_plain(e.encrypt(x, SCALE), w))
    assert np.abs(deviations(holder, product, x * w)).max() < 7 * PEAK


def test_noise_of_products_is_what_is_declared_or_less(holder):
    """At the bound everywhere, where the declared noise is nearly the measured one."""
    e, slots = holder.evaluator, holder.evaluator._parameters.slots
    x, y = (RNG.choice([-1.0, 1.0], size=(4, slots)) for _ in range(2))
    scale = scale_of(holder)
    a, b = e.encrypt(x, scale, 1.0), e.encrypt(y, scale, 1.0)
    for product in (e.multiply(a, b), e.multiply_plain(a, y, bound=1.0)):
        for vectors in (product, e.rescale(product)):
            ratio = deviations(holder, vectors, x * y).std()
            assert 0.6 < ratio < 1.05


def test_scales_are_exact_whatever_prime_is_divided_out():
    """Where TenSEAL writes its global scale: with [49, 36, 49 | 49] it is off by 2^-9."""
    holder = HOLDERS["uneven"]
    e, x = holder.evaluator, RNG.normal(size=50)
    a = e.encrypt(x, SCALE)
    product = e.rescale(e.multiply(a, a))
    assert product.scale == SCALE * SCALE / CHAINS["uneven"].data[2]
    assert product.level == 2
    assert np.abs(deviations(holder, product, x * x)).max() < 7 * PEAK
    weighted = e.rescale(e.multiply_plain(a, x))
    assert weighted.scale == SCALE  # by default a factor takes the prime as its scale
    with pytest.raises(KeyMismatchError, match="scales"):
        e.add(product, weighted)
    missing = product.scale * CHAINS["uneven"].data[1] / SCALE
    aligned = e.rescale(e.multiply_plain(weighted, np.ones(50), scale=missing))
    total = e.add(e.rescale(e.multiply_plain(product, np.ones(50))), aligned)
    assert np.abs(deviations(holder, total, 2 * x * x)).max() < 7 * PEAK


def test_the_chain_ends_with_an_error():
    holder = HOLDERS["small"]
    e = holder.evaluator
    a = e.encrypt(np.ones(4), 2.0**24)
    lowest = e.rescale(e.multiply_plain(a, np.ones(4)))
    assert lowest.level == 1
    with pytest.raises(EncodingOverflowError, match="no prime is left"):
        e.rescale(lowest)
    with pytest.raises(EncodingOverflowError, match="do not fit the 1 primes"):
        e.multiply_plain(lowest, np.ones(4))


def test_values_that_do_not_fit_are_refused():
    e = HOLDERS["small"].evaluator
    with pytest.raises(EncodingOverflowError, match="do not fit the 2 primes"):
        e.encrypt(np.full(4, 2.0**10), 2.0**50, bound=2.0**17)
    with pytest.raises(EncodingOverflowError, match="62 bits"):
        e.encrypt(np.full(4, 2.0**20), 2.0**44)
    for bad in (np.nan, np.inf, 2.0):
        with pytest.raises(EncodingOverflowError):
            e.encrypt(np.array([0.5, bad]), 2.0**24, bound=1.0)
    with pytest.raises(EncodingOverflowError, match="1 to 2048 values"):
        e.encrypt(np.zeros(2049), 2.0**24)
    with pytest.raises(KeyMismatchError):
        e.encrypt(np.zeros((2, 0)), 2.0**24)
    c = e.encrypt(np.ones(4), 2.0**50)
    for _ in range(13):
        c = e.add(c, c)
    with pytest.raises(EncodingOverflowError, match="do not fit"):
        e.add(c, c)


def test_what_does_not_belong_together_is_refused():
    e = HOLDERS["short"].evaluator
    a, b = e.encrypt(np.ones(4), SCALE), e.encrypt(np.ones(5), SCALE)
    other = Holder(SecretKey(Arithmetic(CHAINS["short"]))).evaluator.encrypt(np.ones(4), SCALE)
    for call in (
        lambda: e.add(a, b),
        lambda: e.add(a, other),
        lambda: e.multiply(a, b),
        lambda: e.multiply(other, a),
        lambda: e.multiply_plain(a, np.ones(5)),
        lambda: e.multiply_plain(other, np.ones(4)),
        lambda: e.multiply_plain(a, np.ones((2, 4))),
        lambda: e.sum(replace(e.encrypt(np.ones((2, 4)), SCALE), lengths=(4, 3))),
        lambda: e.rescale(other),
        lambda: e.depart(other),
        lambda: HOLDERS["short"].decrypt(other),
        lambda: Evaluator(e.public).multiply(a, a),
    ):
        with pytest.raises(KeyMismatchError):
            call()


def test_what_departs_has_randomness_and_noise_of_its_own():
    holder = HOLDERS["long"]
    e = holder.evaluator
    x, w = RNG.normal(size=(2, 4096)), RNG.normal(size=(2, 4096))
    product = e.rescale(e.multiply_plain(e.encrypt(x, SCALE), w))
    first, second = e.depart(product), e.depart(product)
    assert first.fresh
    assert not (first.words == second.words).any()
    flood = noise.flood(PEAK * product.deviation, noise.OPENINGS, noise.STATISTICAL_BITS)
    assert first.cover == flood
    zero = noise.slot(8192, noise.encryption(8192, public=True), product.scale)
    assert first.deviation == math.hypot(product.deviation, zero)
    off = deviations(holder, first, x * w)
    assert abs(off.std() - 1) < 6 / math.sqrt(2 * off.size)


def test_what_departed_is_opened_with_one_flood_more_and_usable():
    """Not with a flood over the departure's own: 2^24 times as wide."""
    holder = HOLDERS["long"]
    e, x, w = holder.evaluator, RNG.uniform(-64, 64, 64), RNG.uniform(-1, 1, 64)
    product = e.rescale(e.multiply_plain(e.encrypt(x, SCALE), w))
    departed = e.depart(product)
    released = holder.release(holder.decrypt(departed))
    assert released.flood_std < 1.5 * departed.cover
    assert released.quantum <= 4  # of 64
    assert np.abs(released.values - x * w).max() < released.quantum


def test_cover_is_counted_as_noise_wherever_it_goes():
    holder = HOLDERS["long"]
    e, x = holder.evaluator, RNG.choice([-1.0, 1.0], size=(4, 4096))
    departed = e.depart(e.encrypt(x, SCALE, 1.0))
    doubled, total = e.add(departed, departed), e.sum(departed)
    assert doubled.cover == 2 * departed.cover and total.cover == 4 * departed.cover
    weighted = e.multiply_plain(departed, x, bound=1.0)
    squared = e.multiply(departed, departed)
    for product in (weighted, squared):  # it depends on the factor now: flooded when opened
        assert product.cover == 0.0
        assert holder.decrypt(product)._flood_std > noise.flood(departed.cover, 1 << 14, 30)
    for vectors, want in ((doubled, 2 * x), (total, x.sum(axis=0)), (weighted, x * x),
                          (squared, x * x), (e.rescale(weighted), x * x)):  # fmt: skip
        assert np.abs(deviations(holder, vectors, want)).max() < 7


def test_equal_vectors_in_one_sum_stay_within_the_declared_noise():
    """From bytes any number of them can be the same ciphertext."""
    holder = HOLDERS["short"]
    one = holder.evaluator.encrypt(np.ones(4096), SCALE)
    words = np.repeat(one.words, 256, axis=0)
    total = holder.evaluator.sum(replace(one, words=words, lengths=(4096,) * 256))
    assert 0.8 < deviations(holder, total, np.full(4096, 256.0)).std() < 1.2


@pytest.mark.parametrize(("openings", "bits"), [(0, 30), (-1, 30), (1, 29), (1, -60)])
def test_a_departure_without_a_flood_is_refused(openings, bits):
    e = HOLDERS["short"].evaluator
    vectors = e.encrypt(np.ones(4), SCALE)
    with pytest.raises(InsecureParametersError, match="30 statistical bits"):
        e.depart(vectors, openings, bits)
    least = e.depart(replace(vectors, deviation=0.0), 1, 30).cover
    seeded = noise.slot(8192, noise.encryption(8192, public=False), SCALE)
    assert least == noise.flood(PEAK * seeded, 1, 30)


def test_the_factor_is_in_the_randomness_unless_a_fresh_zero_is_added():
    e = HOLDERS["short"].evaluator
    x, w = RNG.normal(size=4096), RNG.normal(size=4096)
    q = CHAINS["short"].data[0]
    a = e.encrypt(x, SCALE)
    product = e.multiply_plain(a, w)
    hidden = e.add(product, e.encrypt(np.zeros(4096), product.scale))  # what `depart` adds
    factor = e.multiply_plain(replace(a, words=np.ones_like(a.words)), w).words[0, 1, 0]
    for vectors, agree in ((product, 8192), (hidden, 0)):
        pairs = zip(vectors.words[0, 1, 0].tolist(), a.words[0, 1, 0].tolist(), strict=True)
        found = np.array([c * pow(d, -1, q) % q for c, d in pairs], dtype=np.uint64)
        assert (found == factor).sum() == agree


def test_values_leave_by_the_door_alone():
    holder = Holder(SecretKey(Arithmetic(CHAINS["short"])), openings=8)
    x = np.array([1.0, -2.0, 3.0])
    sealed = holder.decrypt(holder.encrypt(x, SCALE))
    with pytest.raises(ReleaseError):
        np.asarray(sealed)
    released = holder.release(sealed)
    assert np.abs(released.values - x).max() < 2**-12
    assert released.flood_std == noise.flood(
        PEAK * noise.slot(8192, noise.encryption(8192, public=False), SCALE), 8, 30
    )
    assert holder.openings_left == 5
    holder.release(sealed)
    with pytest.raises(ReleaseBudgetError):
        holder.release(sealed)


@pytest.mark.parametrize("flood", [-1.0, -1e-300, math.nan, math.inf])
def test_a_flood_that_hides_nothing_is_refused(flood):
    with pytest.raises(ReleaseError, match="hides nothing"):
        Decrypted(np.ones(3), flood)
    with pytest.raises(ReleaseError, match="hides nothing"):
        Decrypted(np.ones(3), 1.0, flood)


def test_a_holder_is_neither_copied_nor_printed_and_closes():
    holder = Holder(SecretKey(Arithmetic(CHAINS["small"])))
    for act in (pickle.dumps, copy.deepcopy):
        with pytest.raises(ReleaseError):
            act(holder)
        with pytest.raises(ReleaseError):
            act(holder._secret)
    assert repr(holder).startswith("<CKKS secret key ") and len(repr(holder)) < 60
    assert repr(holder._secret) == "<CKKS secret key, N = 4096, log2 QP = 102>"
    c = holder.encrypt(np.ones(3), 2.0**24)
    holder.close()
    for act in (lambda: holder.decrypt(c), lambda: holder.encrypt(np.ones(3), 2.0**24)):
        with pytest.raises(CryptoError, match="closed"):
            act()


@pytest.mark.parametrize(
    ("n", "bits"),
    [(8192, [60, 40, 40, 60]), (4096, [40, 20, 40]), (16384, [60, 40, 40, 40, 60]), (8192, [30])],
)
def test_limits_and_primes(n, bits):
    if len(bits) < 2:
        with pytest.raises(InsecureParametersError, match="two or more"):
            Parameters.of_bits(n, bits)
        return
    p = Parameters.of_bits(n, bits)
    assert [q.bit_length() for q in p.primes] == bits
    assert str(p) == f"N = {n}, log2 QP = {sum(bits)}"
    assert p.modulus(1) == p.primes[0]


def test_unsafe_or_impossible_chains_are_refused():
    good = CHAINS["short"].primes
    for n, primes, reason in (
        (4096, good, "above the limit of 106 bits"),
        (8192, (*good[:-1], good[0]), "different"),
        (8192, (*good[:-1], good[0] + 2), "not a prime"),
        (8192, (40961, good[0]), "18 to 60 bits"),
    ):
        with pytest.raises(InsecureParametersError, match=reason):
            Parameters(n, primes)
    with pytest.raises(InsecureParametersError, match="18 to 60 bits, not 17"):
        Parameters.of_bits(4096, [40, 17, 40])
    with pytest.raises(InsecureParametersError, match="no 9 primes of 21 bits"):
        Parameters.of_bits(32768, [21] * 9)
    with pytest.raises(InsecureParametersError, match="30 statistical bits"):
        Holder(SecretKey(Arithmetic(CHAINS["small"])), openings=0)


def test_foreign_primes_do_not_fill_the_memory():
    most = parameters._is_modulus.cache_info().maxsize
    for q in range(2**20 + 1, 2**20 + 1 + 2 * (most + 100), 2):
        parameters._is_modulus(1024, q)
    assert parameters._is_modulus.cache_info().currsize <= most <= 1 << 12
