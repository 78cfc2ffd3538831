"""The CKKS scheme computes X^T d, keeps keys apart, and survives foreign words."""

import functools
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.ckks.formats import Formats
from vfl_crypto.ckks.scheme import CkksPublic, CkksScheme
from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
    ReleaseBudgetError,
    ReleaseError,
    WireError,
)

SCHEME = CkksScheme()
HOLDER = SCHEME.generate()
OTHER = SCHEME.generate()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)
P = Formats()


def tolerance(ciphertext, terms=1):
    """Seven deviations of a departed result before the door's flood."""
    layout = PUBLIC.layout(ciphertext)
    return 7 * terms * P.flood(P.sums_deviation(layout.classes, layout.total))


def problem(rows, features, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, features)), rng.normal(size=rows), rng.normal(size=features) * 9


def opened(ciphertext):
    return HOLDER.decrypt(ciphertext)._values


@pytest.mark.parametrize(
    ("rows", "features"),
    [(1, 1), (1, 40), (2, 3), (3, 40), (100, 7), (1024, 9), (2047, 4), (2048, 5), (2049, 5),
     (4096, 10), (4097, 1), (10000, 12)],
)  # fmt: skip
def test_a_departed_product_is_the_matrix_product_plus_the_added_values(rows, features):
    X, d, v = problem(rows, features)
    product = PUBLIC.rmatmul(X, PUBLIC.encrypt(d))
    departed = PUBLIC.encrypt(v, onto=product)
    assert np.abs(opened(departed) - (X.T @ d + v)).max() < tolerance(departed)
    released = HOLDER.release(HOLDER.decrypt(departed))
    off = np.abs(released.values - (X.T @ d + v)).max()
    assert off < 2 * tolerance(departed) + released.quantum / 2


@settings(max_examples=15)
@given(rows=st.integers(1, 10000), features=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_every_shape_multiplies_like_numpy(rows, features, seed):
    X, d, _ = problem(rows, features, seed)
    product = PUBLIC.rmatmul(X, PUBLIC.encrypt(d))
    layout = PUBLIC.layout(product)
    bound = 7 * P.sums_deviation(layout.classes, layout.total) + 2**-44 * rows
    assert product.count == features
    assert np.abs(opened(product) - X.T @ d).max() < bound


@given(rows=st.integers(1, 5000), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_rows_decrypt_to_what_was_encrypted_and_added(rows, seed):
    _, d, _ = problem(rows, 1, seed)
    total = PUBLIC.add(PUBLIC.encrypt(d), PUBLIC.encrypt(3 * d))
    again = PUBLIC.encrypt(d, onto=total)
    bound = 7 * P.rows_deviation(PUBLIC.layout(total).padded_blocks) + 2**-46
    assert np.abs(opened(total) - 4 * d).max() < bound
    assert np.abs(opened(again) - 5 * d).max() < bound


def test_results_of_several_parties_add_up():
    X, d, v = problem(300, 6)
    c = PUBLIC.encrypt(d)
    both = PUBLIC.add(PUBLIC.rmatmul(X, c), PUBLIC.rmatmul(2 * X, c))
    departed = PUBLIC.encrypt(v, onto=both)
    assert np.abs(opened(departed) - (3 * X.T @ d + v)).max() < tolerance(departed)


def test_a_matrix_with_zero_columns_gives_zeros():
    _, d, v = problem(5000, 3)
    X = np.zeros((5000, 3))
    product = PUBLIC.rmatmul(X, PUBLIC.encrypt(d))
    assert np.array_equal(opened(product), np.zeros(3))
    departed = PUBLIC.encrypt(v, onto=product)
    assert np.abs(opened(departed) - v).max() < tolerance(departed)
    X[4999, 1] = 2.0  # all zero in the first blocks only
    assert np.abs(opened(PUBLIC.rmatmul(X, PUBLIC.encrypt(d))) - X.T @ d).max() < 1e-6


def test_the_largest_admitted_values_do_not_overflow():
    """Sixteen of the largest vectors in one sum, the largest columns, the largest addend."""
    rows = 2048
    d = np.full(rows, 2.0**P.value_bits - 2**-20)
    X = np.full((rows, 4), 2.0**P.column_bits)
    total = PUBLIC.encrypt(d)
    for _ in range(14):
        total = PUBLIC.add(total, PUBLIC.encrypt(d))
    total = PUBLIC.encrypt(d, onto=total)
    product = PUBLIC.rmatmul(X, total)
    top = rows * (2.0 ** (P.integer_bits + P.column_bits) - 2**-20)
    departed = PUBLIC.encrypt(np.full(4, top), onto=product)
    assert np.abs(opened(departed) - (16 * X.T @ d + top)).max() < tolerance(departed)


@pytest.mark.parametrize("signs", [(1, 1, 1, 1), (1, -1, 1, 1)])
@pytest.mark.parametrize("departures", [0, 1, 3])
def test_four_of_the_largest_results_do_not_wrap(signs, departures):
    """Two features share a complex slot: with these signs a coefficient is sqrt(2) times a mean."""
    rows, bits = 2048, P.integer_bits + P.column_bits
    d = np.full(rows, np.nextafter(2.0**P.value_bits, 0))
    total = functools.reduce(PUBLIC.add, (PUBLIC.encrypt(d) for _ in range(16)))
    signs = np.array(signs, dtype=np.float64)
    X = np.full((rows, 4), 2.0**P.column_bits) * signs
    product = PUBLIC.rmatmul(X, total)
    top = rows * np.nextafter(2.0**bits, 0) * signs
    result = functools.reduce(PUBLIC.add, [product] * (4 - departures))
    for _ in range(departures):
        result = PUBLIC.encrypt(top, onto=result)
    assert np.abs(opened(result) - 4 * top).max() < tolerance(result, terms=2) + 1e-3


def test_formats_whose_primes_leave_no_room_for_the_flood_are_refused():
    assert CkksScheme(Formats(statistical_bits=60)).generate().openings_left == P.openings
    with pytest.raises(EncodingOverflowError, match="no room"):
        CkksScheme(Formats(statistical_bits=70))


def test_a_sum_that_could_leave_the_range_is_refused():
    c = PUBLIC.encrypt(np.ones(3))
    for _ in range(4):
        c = PUBLIC.add(c, c)
    for refused in (lambda: PUBLIC.add(c, c), lambda: PUBLIC.encrypt(np.ones(3), onto=c)):
        with pytest.raises(EncodingOverflowError, match=r"(17|32) ciphertexts"):
            refused()
    product = PUBLIC.rmatmul(np.ones((3, 2)), c)
    four = PUBLIC.add(PUBLIC.add(product, product), PUBLIC.add(product, product))
    with pytest.raises(EncodingOverflowError, match="5 ciphertexts"):
        PUBLIC.encrypt(np.ones(2), onto=four)


def test_only_what_encrypt_made_is_fresh():
    X, d, v = problem(10, 2)
    c = PUBLIC.encrypt(d)
    product = PUBLIC.rmatmul(X, c)
    assert c.fresh and PUBLIC.encrypt(d, onto=c).fresh and PUBLIC.encrypt(v, onto=product).fresh
    assert not (product.fresh or PUBLIC.add(c, c).fresh or PUBLIC.add(product, product).fresh)


@pytest.mark.parametrize("encryptor", [PUBLIC, HOLDER.encryptor])
def test_the_same_values_never_encrypt_to_the_same_words(encryptor):
    first, second = (encryptor.encrypt(np.ones(4)) for _ in range(2))
    words = [PUBLIC.rows(c, PUBLIC.layout(c)) for c in (first, second)]
    assert not (words[0] == words[1]).any()


def test_a_body_is_one_contiguous_array_that_a_frame_can_hold():
    X, d, v = problem(3000, 5)
    c = PUBLIC.encrypt(d)
    r = PUBLIC.encrypt(v, onto=PUBLIC.rmatmul(X, c))
    seeded = HOLDER.encryptor.encrypt(d)
    for ciphertext in (c, seeded, r):
        assert ciphertext.body.dtype == np.uint8 and ciphertext.body.flags.c_contiguous
        assert ciphertext.body.ndim == 1
    assert c.nbytes == 8 + 2 * 2 * (32 + 32 + 50) * 8192 // 8
    assert seeded.nbytes == 8 + 2 * (64 + (32 + 32 + 50) * 8192 // 8)
    assert r.nbytes == 8 + 2 * (32 + 32) * (8192 + 4) // 8


def test_info_names_the_ring_the_level_and_the_key():
    assert PUBLIC.info == HOLDER.encryptor.info
    assert PUBLIC.info.parameters == "N = 8192, log2 QP = 164"
    assert PUBLIC.info.security_bits == 128
    assert PUBLIC.info.key_id != OTHER.encryptor.info.key_id


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2.0**P.value_bits, -(2.0**P.value_bits)])
def test_values_outside_the_range_are_refused(bad):
    with pytest.raises(EncodingOverflowError, match="scale the values down"):
        PUBLIC.encrypt(np.array([1.0, bad]))


def test_columns_and_departing_values_outside_the_range_are_refused():
    c = PUBLIC.encrypt(np.ones(4))
    for bad in (np.nan, 2.0**P.column_bits * 1.001):
        with pytest.raises(EncodingOverflowError, match="1 of 2 columns"):
            PUBLIC.rmatmul(np.column_stack((np.ones(4), np.full(4, bad))), c)
    product = PUBLIC.rmatmul(np.ones((4, 2)), c)
    with pytest.raises(EncodingOverflowError):
        PUBLIC.encrypt(np.array([0.0, 4 * 2.0 ** (P.integer_bits + P.column_bits)]), onto=product)
    with pytest.raises(EncodingOverflowError):
        PUBLIC.encrypt(np.empty(0))


def test_what_does_not_belong_together_is_refused():
    X, d, _ = problem(10, 2)
    c = PUBLIC.encrypt(d)
    product = PUBLIC.rmatmul(X, c)
    foreign = OTHER.encryptor.encrypt(d)
    wrong = [
        lambda: PUBLIC.add(c, foreign),
        lambda: PUBLIC.rmatmul(X, foreign),
        lambda: PUBLIC.encrypt(d, onto=foreign),
        lambda: HOLDER.decrypt(foreign),
        lambda: HOLDER.decrypt(replace(c, scheme="paillier")),
        lambda: PUBLIC.add(c, PUBLIC.encrypt(d[:9])),
        lambda: PUBLIC.add(c, product),
        lambda: PUBLIC.add(product, PUBLIC.rmatmul(X[:5], PUBLIC.encrypt(d[:5]))),
        lambda: PUBLIC.encrypt(d[:9], onto=c),
        lambda: PUBLIC.encrypt(d, onto=product),
        lambda: PUBLIC.rmatmul(X[:9], c),
        lambda: PUBLIC.rmatmul(X[:, :0], c),
        lambda: PUBLIC.rmatmul(X[:, 0], c),
        lambda: PUBLIC.rmatmul(X[:2], product),
        lambda: PUBLIC.encrypt(X),
        lambda: HOLDER.decrypt(replace(c, scale_bits=c.scale_bits - 1)),
        lambda: HOLDER.decrypt(replace(product, scale_bits=99)),
        lambda: HOLDER.decrypt(replace(c, layout="columns")),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(KeyMismatchError):
            call()


def test_bodies_that_are_not_what_they_should_be_are_refused():
    X, d, _ = problem(10, 2)
    c, seeded = PUBLIC.encrypt(d), HOLDER.encryptor.encrypt(d)
    product = PUBLIC.rmatmul(X, c)
    other_kind, other_header = c.body.copy(), c.body.copy()
    other_kind[0], other_header[5] = 9, 1
    wrong = [
        replace(product, scale_bits=product.scale_bits - 1),
        replace(product, count=10**9),
        replace(product, count=0),
        replace(c, count=5000, scale_bits=P.row_bits(4)),
        replace(c, terms=0),
        replace(c, body=c.body.astype(np.int64)),
        replace(c, body=c.body[:-1]),
        replace(c, body=c.body[:7]),
        replace(c, body=np.append(c.body, np.uint8(0))),
        replace(c, body=c.body[None]),
        replace(c, body=other_kind),
        replace(c, body=other_header),
        replace(c, body=product.body),
        replace(product, body=c.body),
        replace(seeded, body=seeded.body[:-1]),
    ]
    for ciphertext in wrong:
        with pytest.raises(WireError):
            HOLDER.decrypt(ciphertext)


def test_mutated_words_are_refused_or_harmless():
    X, d, _ = problem(50, 3)
    c = PUBLIC.encrypt(d)
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        body = c.body.copy()
        for at in rng.integers(0, body.size, size=3):
            body[at] ^= rng.integers(1, 256)
        mutated = replace(c, body=body)
        try:
            PUBLIC.rmatmul(X, mutated)
            HOLDER.decrypt(mutated)
        except WireError:
            refused += 1
    assert refused < 60  # most flips give another ciphertext, as random as this one


def test_threads_share_an_encryptor_and_a_holder():
    X, d, v = problem(200, 5)

    def one(k):
        departed = PUBLIC.encrypt(v, onto=PUBLIC.rmatmul(X, PUBLIC.encrypt(k / 8 * d)))
        return np.abs(opened(departed) - (k / 8 * X.T @ d + v)).max() / tolerance(departed)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(one, range(1, 9))) < 1


def test_a_ciphertext_without_randomness_is_refused():
    c = PUBLIC.encrypt(np.ones(4))
    body = c.body.copy()
    body[8 + (body.size - 8) // 2 :] = 0
    with pytest.raises(WireError, match="without randomness"):
        PUBLIC.rmatmul(np.ones((4, 1)), replace(c, body=body))


def test_damaged_public_keys_are_refused():
    good = msgspec.msgpack.decode(HOLDER.public_key, type=CkksPublic)

    def encoded(**changes):
        fields = {"formats": good.formats, "seed": good.seed, "b": good.b}
        return msgspec.msgpack.encode(CkksPublic(**(fields | changes)))

    above_the_prime = encoded(b=b"\xff" * len(good.b))
    without_randomness = encoded(b=bytes(len(good.b)))
    short, seedless = encoded(b=good.b[:-8]), encoded(seed=good.seed[:-1])
    wrong = (short, seedless, above_the_prime, without_randomness)
    for bad in (b"", bytes(40), HOLDER.public_key[:-1], *wrong):
        with pytest.raises(WireError):
            SCHEME.encryptor(bad)
    with pytest.raises(KeyMismatchError):
        SCHEME.encryptor(encoded(formats=Formats(integer_bits=7)))


def test_a_public_key_below_the_floor_is_refused():
    raw = msgspec.msgpack.decode(HOLDER.public_key)
    raw["formats"]["n"] = 4096
    with pytest.raises(InsecureParametersError, match="106 bits at N = 4096"):
        SCHEME.encryptor(msgspec.msgpack.encode(raw))


def test_the_secret_key_is_neither_pickled_nor_printed():
    with pytest.raises(ReleaseError):
        pickle.dumps(HOLDER)
    assert repr(HOLDER).startswith("<CKKS secret key ")
    assert len(repr(HOLDER)) < 60


def test_a_key_stops_opening_at_its_budget_and_after_close():
    holder = CkksScheme(Formats(openings=10)).generate()
    c = holder.encryptor.encrypt(np.ones(6))
    assert holder.openings_left == 10
    holder.release(holder.decrypt(c))
    assert holder.openings_left == 4
    with pytest.raises(ReleaseBudgetError, match="rotate the key"):
        holder.release(holder.decrypt(c))
    assert holder.openings_left == 4
    holder.close()
    with pytest.raises(CryptoError, match="closed"):
        holder.decrypt(c)
    assert holder.encryptor.encrypt(np.ones(2)).fresh
