"""The key stream against OpenSSL, the samplers against a plain reading of it and against chance."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from vfl_crypto import _native

SEED = bytes(range(32))
PRIMES = [34359697409, 1152921504606830593, 576460752303439873, 536903681]
SIZES = [0, 1, 7, 63, 64, 65, 511, 512, 513, 1000, 4096]

pytestmark = pytest.mark.usefixtures("level")


def openssl(seed, stream, index, nbytes):
    nonce = stream.to_bytes(4, "little") + index.to_bytes(8, "little")
    encryptor = Cipher(algorithms.ChaCha20(seed, bytes(4) + nonce), mode=None).encryptor()
    return encryptor.update(bytes(nbytes))


def model_uniform(seed, stream, q, index, n):
    """The first n words below q, each masked to q's bits, of OpenSSL's key stream."""
    words = np.frombuffer(openssl(seed, stream, index, 8 * (3 * n + 200)), dtype="<u8")
    words = words & np.uint64(2 ** q.bit_length() - 1)
    return words[words < q][:n]


def model_ternary(seed, stream, index, n):
    stream = np.frombuffer(openssl(seed, stream, index, 2 * n + 100), dtype=np.uint8)
    return stream[stream < 255][:n].astype(np.int64) % 3 - 1


def model_binomial(seed, stream, index, n):
    bits = np.unpackbits(
        np.frombuffer(openssl(seed, stream, index, 8 * n), dtype=np.uint8), bitorder="little"
    ).reshape(n, 64)
    return bits[:, :21].sum(axis=1, dtype=np.int64) - bits[:, 21:42].sum(axis=1, dtype=np.int64)


def test_the_block_function_gives_the_vector_of_rfc_8439():
    # Appendix A.1, test vectors 1 and 2: zero key and nonce, blocks 0 and 1.
    stream = _native.chacha20(bytes(32), 0, 0, 128)
    assert stream.dtype == np.uint8
    assert stream.tobytes().hex() == (
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )


@pytest.mark.parametrize("nbytes", [*SIZES, 100_000])
def test_the_key_stream_is_openssl_s(nbytes):
    seed = np.random.default_rng(nbytes).bytes(32)
    stream = _native.chacha20(seed, 0x89ABCDEF, 0x0123456789ABCDEF, nbytes)
    assert stream.tobytes() == openssl(seed, 0x89ABCDEF, 0x0123456789ABCDEF, nbytes)


@settings(max_examples=60)
@given(
    seed=st.binary(min_size=32, max_size=32),
    stream=st.integers(0, 2**32 - 1),
    index=st.integers(0, 2**64 - 1),
    nbytes=st.integers(0, 1500),
)
def test_every_seed_and_nonce_gives_openssl_s_stream(seed, stream, index, nbytes):
    assert _native.chacha20(seed, stream, index, nbytes).tobytes() == openssl(
        seed, stream, index, nbytes
    )


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("threads", [1, 3])
def test_samples_are_a_plain_reading_of_the_key_stream(n, threads):
    uniform = _native.sample_uniform(SEED, 7, PRIMES, n, 3, threads)
    assert uniform.shape == (3, 4, n) and uniform.dtype == np.uint64
    for j in range(3):
        for i, q in enumerate(PRIMES):
            assert np.array_equal(uniform[j, i], model_uniform(SEED, 7, q, 4 * j + i, n))
    for sample, model in [
        (_native.sample_ternary, model_ternary),
        (_native.sample_binomial, model_binomial),
    ]:
        drawn = sample(SEED, 8, n, 3, threads)
        assert drawn.shape == (3, n) and drawn.dtype == np.int64
        for j in range(3):
            assert np.array_equal(drawn[j], model(SEED, 8, j, n))


def test_half_of_all_words_rejected_is_no_trouble():
    # The extreme of rejection: just above a power of two.
    q = 2**40 + 15
    drawn = _native.sample_uniform(SEED, 0, [q], 4096, 1)
    assert np.array_equal(drawn[0, 0], model_uniform(SEED, 0, q, 0, 4096))


def test_uniform_residues_fill_all_cells_evenly():
    for q in (PRIMES[0], PRIMES[2]):
        drawn = _native.sample_uniform(SEED, 1, [q], 2**18, 4).ravel()
        assert drawn.max() < q
        counts = np.bincount((drawn // np.uint64(q // 256 + 1)).astype(np.int64), minlength=256)
        assert chisquare(counts).pvalue > 1e-9
        low = np.bincount((drawn & np.uint64(255)).astype(np.int64), minlength=256)
        assert chisquare(low).pvalue > 1e-9


def test_ternary_digits_are_equally_likely_and_neighbours_independent():
    drawn = _native.sample_ternary(SEED, 2, 2**18, 4).ravel()
    pairs = np.bincount(3 * (drawn[::2] + 1) + drawn[1::2] + 1, minlength=9)
    assert len(pairs) == 9
    assert chisquare(pairs).pvalue > 1e-9


def test_binomial_coins_have_their_variance_and_their_shape():
    drawn = _native.sample_binomial(SEED, 3, 2**18, 4).ravel()
    assert abs(drawn.mean()) < 5 * np.sqrt(10.5 / drawn.size)
    # The variance of a squared binomial of 42 coins: kurtosis 3 - 2 / 42.
    assert abs(drawn.var() - 10.5) < 5 * 10.5 * np.sqrt((2 - 2 / 42) / drawn.size)
    coins = np.ones(1)
    for _ in range(42):
        coins = np.convolve(coins, [0.5, 0.5])
    counts = np.bincount(drawn + 21, minlength=43)
    assert len(counts) == 43
    centre = slice(8, 35)  # cells with enough draws
    tail = counts.sum() - counts[centre].sum()
    cells = np.append(counts[centre], tail)
    likely = np.append(coins[centre], 1 - coins[centre].sum())
    assert chisquare(cells, likely * drawn.size).pvalue > 1e-9


def test_streams_and_indices_differ():
    drawn = [
        _native.sample_uniform(SEED, stream, PRIMES[:2], 64, 2).tobytes() for stream in range(4)
    ]
    assert len(set(drawn)) == 4
    four = _native.sample_uniform(SEED, 0, PRIMES[:1], 64, 4)
    assert len({row.tobytes() for row in four}) == 4


def test_wrong_seeds_and_sizes_are_refused():
    for call in (
        lambda seed: _native.chacha20(seed, 0, 0, 1),
        lambda seed: _native.sample_uniform(seed, 0, PRIMES, 4, 1),
        lambda seed: _native.sample_ternary(seed, 0, 4, 1),
        lambda seed: _native.sample_binomial(seed, 0, 4, 1),
    ):
        for length in (0, 31, 33):
            with pytest.raises(ValueError, match="32 bytes"):
                call(bytes(length))
    for n, count in [(2**20, 2**20), (2**63, 4), (2**63, 0), (2**64 - 1, 2**64 - 1)]:
        for call in (
            lambda n, count: _native.sample_uniform(SEED, 0, PRIMES, n, count),
            lambda n, count: _native.sample_ternary(SEED, 0, n, count),
            lambda n, count: _native.sample_binomial(SEED, 0, n, count),
        ):
            with pytest.raises(ValueError, match=r"2\^36"):
                call(n, count)
    with pytest.raises(ValueError, match=r"2\^36"):
        _native.chacha20(SEED, 0, 0, 2**40)
    with pytest.raises(ValueError, match="above 1"):
        _native.sample_uniform(SEED, 0, [0], 4, 1)
