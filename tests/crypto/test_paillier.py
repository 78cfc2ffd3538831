"""Our Paillier behind `LinearScheme`: exact, checked, and silent about secrets."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    KeyMismatchError,
    ReleaseBudgetError,
    WireError,
)
from vfl_crypto.paillier import PaillierScheme, blinding
from vfl_crypto.paillier.limbs import from_limbs, to_limbs
from vfl_crypto.paillier.scheme import DATA, PLAIN

SCHEME = PaillierScheme(key_bits=2048, threads=1, window=5)


@pytest.fixture(scope="session")
def holder():
    return SCHEME.generate()


@pytest.fixture(scope="session")
def stranger():
    return SCHEME.generate()


def opened(holder, ciphertext):
    """The exact decryption, past the door: what only a test may do."""
    return holder.decrypt(ciphertext)._values


def fixed(form, values):
    return form.encode(np.asarray(values, dtype=np.float64)).astype(object)


reals = st.floats(-(2.0**20), 2.0**20)
entries = st.floats(-(2.0**9), 2.0**9)


@settings(max_examples=15)
@given(data=st.data(), n=st.integers(1, 6), f=st.integers(1, 4))
def test_a_product_is_the_integer_product(holder, data, n, f):
    d = np.array(data.draw(st.lists(reals, min_size=n, max_size=n)))
    X = np.array(data.draw(st.lists(entries, min_size=n * f, max_size=n * f))).reshape(n, f)
    product = holder.encryptor.rmatmul(X, holder.encryptor.encrypt(d))
    exact = fixed(PLAIN, X).T @ fixed(DATA, d)  # Python integers
    scale = DATA.fraction_bits + PLAIN.fraction_bits
    assert (product.scale_bits, product.layout, product.fresh) == (scale, "sums", False)
    assert opened(holder, product).tolist() == [math.ldexp(float(m), -scale) for m in exact]


@settings(max_examples=15)
@given(pairs=st.lists(st.tuples(reals, reals), min_size=1, max_size=5))
def test_a_sum_is_the_integer_sum(holder, pairs):
    a, b = np.array(pairs).T
    encryptor = holder.encryptor
    total = encryptor.add(encryptor.encrypt(a), encryptor.encrypt(b))
    onto = encryptor.encrypt(b, onto=encryptor.encrypt(a))
    exact = [math.ldexp(float(m), -DATA.fraction_bits) for m in fixed(DATA, a) + fixed(DATA, b)]
    assert opened(holder, total).tolist() == opened(holder, onto).tolist() == exact
    assert (total.fresh, onto.fresh) == (False, True)


def test_a_mask_far_beyond_the_data_range_cancels_exactly(holder):
    product = holder.encryptor.rmatmul(
        np.ones((2, 3)), holder.encryptor.encrypt(np.array([1.5, 2.0]))
    )
    mask = np.array([2.0**120, -(2.0**90) - 2.0**60, 0.25])
    masked = holder.encryptor.encrypt(mask, onto=product)
    back = holder.encryptor.encrypt(-mask, onto=masked)
    assert masked.layout == "sums"
    assert opened(holder, masked)[:2].tolist() == mask[:2].tolist()
    assert opened(holder, back).tolist() == [3.5, 3.5, 3.5]


def test_the_other_side_needs_only_the_public_bytes(holder):
    other = SCHEME.encryptor(holder.public_key)
    assert other.info == holder.encryptor.info
    assert (other.info.parameters, other.info.security_bits) == ("n: 2048 bit", 112)
    values = np.array([0.0, -1.0, 2.0**-30])
    assert opened(holder, other.encrypt(values)).tolist() == values.tolist()


def test_threads_and_windows_change_nothing(holder):
    other = PaillierScheme(2048, threads=3, window=9).encryptor(holder.public_key)
    d, X = np.linspace(-9, 9, 7), np.arange(35.0).reshape(7, 5) - 17
    c = other.encrypt(d)
    ours, theirs = holder.encryptor.rmatmul(X, c), other.rmatmul(X, c)
    assert np.array_equal(ours.body, theirs.body)
    assert opened(holder, theirs).tolist() == (X.T @ np.round(d * 2**30) / 2**30).tolist()


def test_equal_values_never_look_equal(holder):
    encryptor = holder.encryptor
    zeros = np.zeros(6)
    c = encryptor.encrypt(zeros)
    batches = [c, encryptor.encrypt(zeros), *(encryptor.encrypt(zeros, onto=c) for _ in "ab")]
    seen = [row for batch in batches for row in from_limbs(batch.body)]
    assert len(set(seen)) == len(seen) == 24


def test_values_out_of_range_are_refused(holder):
    encryptor = holder.encryptor
    c = encryptor.encrypt(np.zeros(1))
    for bad in (2.0**24, -(2.0**30), math.inf, math.nan):
        with pytest.raises(EncodingOverflowError):
            encryptor.encrypt(np.array([bad]))
    for bad in (2.0**10, math.nan):
        with pytest.raises(EncodingOverflowError):
            encryptor.rmatmul(np.array([[bad]]), c)
    for bad in (2.0**500, math.inf, math.nan):
        with pytest.raises(EncodingOverflowError):
            encryptor.encrypt(np.array([bad]), onto=c)


def test_a_ciphertext_of_another_key_scheme_scale_or_length_is_refused(holder, stranger):
    encryptor = holder.encryptor
    c = encryptor.encrypt(np.zeros(2))
    foreign = stranger.encryptor.encrypt(np.zeros(2))
    product = encryptor.rmatmul(np.eye(2), c)
    calls = [
        lambda: encryptor.add(c, foreign),
        lambda: encryptor.encrypt(np.zeros(2), onto=foreign),
        lambda: encryptor.rmatmul(np.eye(2), foreign),
        lambda: holder.decrypt(foreign),
        lambda: holder.decrypt(dataclasses.replace(c, scheme="mock")),
        lambda: encryptor.add(c, product),
        lambda: encryptor.add(c, encryptor.encrypt(np.zeros(3))),
        lambda: encryptor.encrypt(np.zeros(3), onto=c),
        lambda: encryptor.rmatmul(np.eye(3), c),
        lambda: encryptor.encrypt(np.zeros((2, 1))),
    ]
    for call in calls:
        with pytest.raises(KeyMismatchError):
            call()


def test_malformed_bodies_are_refused_before_they_are_used(holder):
    encryptor = holder.encryptor
    c = encryptor.encrypt(np.zeros(2))
    n = encryptor.key.n
    rows = from_limbs(c.body)
    bodies = [
        c.body[:1],
        c.body[:, :-1],
        c.body.astype(np.int64),
        to_limbs([rows[0], 0], 64),
        to_limbs([rows[0], n * n], 64),
    ]
    for body in bodies:
        bad = dataclasses.replace(c, body=body)
        for call in (holder.decrypt, lambda x: encryptor.add(c, x)):
            with pytest.raises(WireError):
                call(bad)
    with pytest.raises(WireError):
        holder.decrypt(dataclasses.replace(c, scale_bits=-1))


def test_a_row_that_shares_a_factor_with_the_key_is_refused(holder):
    p = holder._private.primes[0]
    c = holder.encryptor.encrypt(np.zeros(1))
    bad = dataclasses.replace(c, body=to_limbs([p], 64))
    with pytest.raises(CryptoError, match="shares a factor"):
        holder.decrypt(bad)
    with pytest.raises(WireError, match="shares a factor"):
        holder.encryptor.rmatmul(np.array([[-1.0]]), bad)


def test_a_decryption_with_the_wrong_key_is_an_error_not_a_number(holder, stranger):
    """Even when the key id lies: a wrong decryption is uniform, far outside the declared range."""
    c = holder.encryptor.encrypt(np.ones(3))
    n = stranger.encryptor.key.n
    body = to_limbs([x % (n * n) for x in from_limbs(c.body)], 64)
    forged = dataclasses.replace(c, key_id=stranger.encryptor.info.key_id, body=body)
    with pytest.raises(CryptoError, match="wrong key"):
        stranger.decrypt(forged)


def test_a_product_without_fresh_randomness_reveals_the_matrix(holder):
    """Whoever knows [[d]] tries all x: c^x is the product. One encryption on top stops it."""
    encryptor = holder.encryptor
    secret = -37
    c = encryptor.encrypt(np.array([0.5]))
    product = encryptor.rmatmul(np.array([[secret * 2.0**-16]]), c)
    departing = encryptor.encrypt(np.zeros(1), onto=product)
    square = encryptor.key.n**2

    def search(target):
        """The x for which c^x is the target."""
        (base,), (goal,) = from_limbs(c.body), from_limbs(target.body)
        return [x for x in range(-64, 64) if pow(base, x, square) == goal]

    assert search(product) == [secret]
    assert search(departing) == []
    assert opened(holder, product).tolist() == opened(holder, departing).tolist()


def test_blinding_of_a_product_is_longer_than_the_key(holder, monkeypatch):
    """The key holder can strip short exponents; those of a departing product drown the group."""
    drawn = []
    draw = blinding.random_limbs
    monkeypatch.setattr(
        blinding, "random_limbs", lambda n, bits: drawn.append(bits) or draw(n, bits)
    )
    encryptor = SCHEME.encryptor(holder.public_key)
    c = encryptor.encrypt(np.zeros(1))
    assert drawn == [1024]
    encryptor.encrypt(np.zeros(1), onto=c)  # no matrix in it: an encryption on top will do
    assert drawn == [1024, 1024]
    product = encryptor.rmatmul(np.ones((1, 1)), c)
    encryptor.encrypt(np.zeros(1), onto=product)
    assert sum(drawn[2:]) == 2048 + 64
    drawn.clear()
    holder.encryptor.encrypt(np.zeros(1), onto=product)
    assert drawn == [1024 + 64] * 2  # modulo each prime


def test_private_keys_and_holders_are_never_pickled_and_print_nothing(holder):
    p, q = holder._private.primes
    for secret in (holder, holder._private):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(CryptoError, match="never pickled"):
                attempt(secret)
        assert str(p) not in repr(secret) + str(secret)
        assert str(q) not in repr(secret) + str(secret)


def test_the_door_counts_and_a_closed_holder_opens_nothing(monkeypatch):
    holder = SCHEME.generate()
    c = holder.encryptor.encrypt(np.array([1.0, math.pi]))
    assert holder.openings_left == 2**20
    released = holder.release(holder.decrypt(c), significant_bits=8)
    assert released.values.tolist() == [1.0, 3.140625]
    assert released.flood_std == 0.0
    assert holder.openings_left == 2**20 - 2
    holder._door.opened = 2**20 - 1
    with pytest.raises(ReleaseBudgetError):
        holder.release(holder.decrypt(c))
    holder.close()
    with pytest.raises(CryptoError, match="closed"):
        holder.decrypt(c)
