"""The CKKS kernels against Python integers, definitions and hashlib."""

import hashlib
import math
import struct

import numpy as np
import pytest

from vfl_crypto import _native, portable
from vfl_crypto._native import CkksRing, Embedding, Ring
from vfl_crypto.ckks.parameters import Parameters

N = 1024
CHAIN = Parameters.of_bits(32768, [50, 36, 60, 49]).primes  # primes of every degree
DATA, SPECIAL = CHAIN[:3], CHAIN[3]
RNG = np.random.default_rng(0)


def numbers(words, primes):
    """Residues (k, n) -> integers in (-Q/2, Q/2), by the Chinese remainder theorem."""
    Q = math.prod(primes)
    total = np.zeros(words.shape[-1], dtype=object)
    for limb, q in zip(words, primes, strict=True):
        total = total + limb.astype(object) * (Q // q) * pow(Q // q, -1, q)
    return np.array([v - Q if 2 * v > Q else v for v in (int(t) % Q for t in total)], dtype=object)


def times(a, b):
    """The product modulo X^n + 1 of integers, term by term."""
    n = len(a)
    wide = np.zeros(2 * n, dtype=object)
    for i, x in enumerate(a):
        if x:
            wide[i : i + n] += int(x) * b
    return wide[:n] - wide[n:]


def random_words(primes, n=N):
    return np.stack([RNG.integers(0, q, n, dtype=np.uint64) for q in primes])


@pytest.mark.parametrize("n", [1024, 8192])
def test_slots_are_the_values_at_powers_of_zeta(n):
    coefficients = RNG.normal(size=(2, n))
    found = Embedding(n).slots(coefficients, 3.0)
    places = [0, 1, 2, n // 4, n // 2 - 1]
    exponents = np.array([pow(3, j, 2 * n) for j in places])
    turns = np.outer(exponents, np.arange(n)) % (2 * n)
    wanted = 3.0 * coefficients @ np.exp(1j * np.pi * turns / n).T
    np.testing.assert_allclose(found[:, places], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [1024, 2048, 32768])
def test_coefficients_are_the_rounded_inverse_of_slots(n):
    embedding = Embedding(n)
    slots = RNG.normal(size=(3, n // 2)) + 1j * RNG.normal(size=(3, n // 2))
    found = embedding.coefficients(slots, 2.0**40)
    assert found.dtype == np.int64
    back = embedding.slots(found.astype(np.float64), 2.0**-40)
    assert np.abs(back - slots).max() < 8 * math.sqrt(n / 12) * 2.0**-40
    constant = embedding.coefficients(np.full((1, n // 2), 2.5 + 0j), 4.0)
    assert constant[0, 0] == 10
    assert not constant[0, 1:].any()
    repeated = np.tile([[1.0, 2.0, 3.0]], n)[:, : n // 2]
    for short in (np.array([[1.0, 2.0, 3.0]]), repeated, repeated + 0j):
        np.testing.assert_array_equal(
            embedding.coefficients(short, 2.0**30), embedding.coefficients(repeated + 0j, 2.0**30)
        )
    half_turn = embedding.coefficients(np.full((1, n // 2), 1j) * signs(n), 8.0)
    assert half_turn[0, n // 2] == 8  # X^(n/2) is i at exponents 1 mod 4, -i at 3 mod 4
    assert np.count_nonzero(half_turn) == 1


def signs(n):
    return np.array([1 if pow(3, j, 4) == 1 else -1 for j in range(n // 2)])


def test_coefficients_that_do_not_fit_are_refused():
    embedding = Embedding(N)
    for bad in (2.0**62, np.inf, np.nan):
        slots = np.zeros((2, N // 2), dtype=np.complex128)
        slots[1, 3] = bad * N
        with pytest.raises(OverflowError):
            embedding.coefficients(slots, 1.0)
    edge = np.full((1, N // 2), 2.0**61, dtype=np.complex128)
    assert embedding.coefficients(edge, 1.0)[0, 0] == 2**61


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_encryption_is_the_rounded_quotient_of_integers(level, levels):
    """round((u k + e) / P) + (m, 0), u k by the schoolbook."""
    primes = (*DATA[:levels], SPECIAL)
    ring, key_ring = CkksRing(N, DATA, SPECIAL), Ring(N, primes)
    key = np.stack([random_words(primes) for _ in range(2)])  # coefficient form
    transformed = key_ring.forward(key)
    inverse = [pow(SPECIAL, -1, q) for q in DATA[:levels]]
    scaled = key_ring.scale(transformed, np.array([*inverse, 1], dtype=np.uint64))
    u = RNG.integers(-1, 2, (2, N))
    u[:, 16:] = 0  # for the schoolbook's sake
    errors = RNG.integers(-21, 22, (2, 2, N))
    messages = RNG.integers(-(2**61), 2**61, (2, N))
    found = ring.encrypt(scaled, messages, u, errors, 2)
    words = Ring(N, DATA[:levels]).inverse(found)
    Q = math.prod(DATA[:levels])
    for j in range(2):
        for side in range(2):
            product = times(u[j], numbers(key[side], primes)) + errors[j, side].astype(object)
            product = np.array([_centred(int(v), Q * SPECIAL) for v in product], dtype=object)
            wanted = (2 * product + SPECIAL) // (2 * SPECIAL)
            if side == 0:
                wanted = wanted + messages[j].astype(object)
            difference = (numbers(words[j, side], DATA[:levels]) - wanted) % Q
            assert not difference.any()


def _centred(v, modulus):
    v %= modulus
    return v - modulus if 2 * v > modulus else v


@pytest.mark.parametrize("levels", [2, 3])
def test_a_division_by_the_last_prime_rounds(level, levels):
    primes = DATA[:levels]
    coefficients = np.stack([random_words(primes) for _ in range(3)])
    found = CkksRing(N, DATA, SPECIAL).divide_last(Ring(N, primes).forward(coefficients), 2)
    back = Ring(N, primes[:-1]).inverse(found)
    last = primes[-1]
    for j in range(3):
        wanted = (2 * numbers(coefficients[j], primes) + last) // (2 * last)
        difference = (numbers(back[j], primes[:-1]) - wanted) % math.prod(primes[:-1])
        assert not difference.any()


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_numbers_come_out_of_residues_without_cancellation(level, levels):
    primes = DATA[:levels]
    Q = math.prod(primes)
    drawn = [int(x) for x in RNG.integers(-(2**48), 2**48, N)]
    drawn[:6] = [0, 1, -1, Q // 2, -(Q // 2), primes[0] // 2 + 1]
    if levels > 1:
        drawn[6:8] = [-(2**75), 2**75 + 2**40]
    words = np.array([[v % q for v in drawn] for q in primes], dtype=np.uint64)
    found = CkksRing(N, DATA, SPECIAL).compose(words[None])[0]
    signed = [v if 2 * abs(v) < Q else _centred(v, Q) for v in drawn]
    np.testing.assert_allclose(found, np.array([float(v) for v in signed]), rtol=2**-50)


def results(ring, arguments, threads):
    c = ring.encrypt(*arguments, threads)
    flat = c.reshape(-1, 3, N)
    lower = ring.encrypt(np.ascontiguousarray(arguments[0][:, [0, 3]]), *arguments[1:], threads)
    return c, lower, ring.divide_last(flat, threads), ring.compose(flat, threads)


def test_results_do_not_depend_on_level_or_threads_and_are_the_twins():
    key = np.stack([Ring(N, CHAIN).forward(random_words(CHAIN)) for _ in range(2)])
    arguments = (
        key, RNG.integers(-9, 9, (5, N)), RNG.integers(-1, 2, (5, N)),
        RNG.integers(-9, 9, (5, 2, N)),
    )  # fmt: skip
    before, found = _native.cpu_level(), []
    for name in _native.cpu_levels():
        _native.set_cpu_level(name)
        ring = CkksRing(N, DATA, SPECIAL)
        found += [results(ring, arguments, threads) for threads in (1, 3)]
    _native.set_cpu_level(before)
    found.append(results(portable.CkksRing(N, DATA, SPECIAL), arguments, 1))
    for others in found[1:]:
        for got, first in zip(others, found[0], strict=True):
            np.testing.assert_array_equal(got, first)


IV = [
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
]  # fmt: skip


def compress(h, block, count, last):
    """BLAKE2b's compression function, RFC 7693 section 3.2, word by word."""
    mask = 2**64 - 1
    sigma = [
        "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8",
        "905724afe1bc683d", "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a",
        "6fe9b308c2d714a5", "a2847615fb9e3cd0",
    ]  # fmt: skip
    m = struct.unpack("<16Q", block)
    v = h + IV
    v[12] ^= count
    if last:
        v[14] ^= mask

    def mix(a, b, c, d, x, y):
        for word, (turn_d, turn_b) in ((x, (32, 24)), (y, (16, 63))):
            v[a] = (v[a] + v[b] + word) & mask
            v[d] ^= v[a]
            v[d] = (v[d] >> turn_d | v[d] << (64 - turn_d)) & mask
            v[c] = (v[c] + v[d]) & mask
            v[b] ^= v[c]
            v[b] = (v[b] >> turn_b | v[b] << (64 - turn_b)) & mask

    for turn in range(12):
        s = [int(x, 16) for x in sigma[turn % 10]]
        for i in range(4):
            mix(i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]])
        for i in range(4):
            mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4,
                m[s[8 + 2 * i]], m[s[9 + 2 * i]])  # fmt: skip
    return [x ^ v[i] ^ v[i + 8] for i, x in enumerate(h)]


def blake2b(data, parameters):
    """The digest (64 bytes) of `data` after a parameter block of 64 bytes."""
    h = [x ^ y for x, y in zip(IV, struct.unpack("<8Q", parameters), strict=True)]
    blocks = [data[i : i + 128] for i in range(0, max(len(data), 1), 128)]
    count = 0
    for i, block in enumerate(blocks):
        count += len(block)
        h = compress(h, block.ljust(128, b"\0"), count, i == len(blocks) - 1)
    return struct.pack("<8Q", *h)


def block_of(digest, key, fanout, depth, leaf, node, stream, inner):
    return struct.pack(
        "<BBBBIIIBB46x", digest, key, fanout, depth, leaf, node, stream, 0, inner
    )  # fmt: skip


def test_the_second_opinion_on_blake2b_is_hashlibs():
    data, key = bytes(range(200)), bytes(range(64))
    assert blake2b(data, block_of(64, 0, 1, 1, 0, 0, 0, 0)) == hashlib.blake2b(data).digest()
    keyed = blake2b(key.ljust(128, b"\0") + data, block_of(64, 64, 1, 1, 0, 0, 0, 0))
    assert keyed == hashlib.blake2b(data, key=key).digest()


def blake2xb(key, word, nbytes):
    """By the paper: a root that knows the length, and a digest of it for every 64 bytes."""
    root = blake2b(
        key.ljust(128, b"\0") + struct.pack("<Q", word),
        block_of(64, 64, 1, 1, 0, 0, nbytes, 0),
    )
    parts = []
    for i, at in enumerate(range(0, nbytes, 64)):
        length = min(64, nbytes - at)
        parts.append(blake2b(root, block_of(length, 0, 0, 0, 64, i, nbytes, 64))[:length])
    return b"".join(parts)


@pytest.mark.parametrize("nbytes", [1, 64, 100, 4096])
@pytest.mark.parametrize("word", [0, 1, 2**40])
def test_blake2xb_is_that_of_the_paper(level, nbytes, word):
    key = RNG.bytes(64)
    assert _native.blake2xb(key, word, nbytes).tobytes() == blake2xb(key, word, nbytes)


def test_uniform_polynomials_follow_the_stream_and_its_redrawn_words(level):
    n, primes, seed = 32768, DATA, RNG.bytes(64)
    found = _native.seal_uniform(np.frombuffer(seed, dtype=np.uint8)[None], primes, n, 2)[0]
    stream = np.concatenate(
        [_native.blake2xb(seed, i, 4096).view(np.uint64) for i in range(n * 3 // 512 + 1)]
    )
    words, later = stream[: 3 * n].reshape(3, n).copy(), iter(stream[3 * n :].tolist())
    for limb, q in enumerate(primes):
        row = words[limb]
        limit = 2**64 - 1 - (2**64 - 1) % q - 1
        for i in np.flatnonzero(row >= np.uint64(limit)):
            row[i] = next(word for word in later if word < limit)
        words[limb] = row % np.uint64(q)
    np.testing.assert_array_equal(found, words)


def test_a_small_limit_shows_that_words_are_drawn_again_in_order():
    n, q, seed = 1024, 2**63 + 29, bytes(64)
    found = _native.seal_uniform(np.zeros((1, 64), dtype=np.uint8), [q], n)[0, 0]
    stream = np.concatenate([_native.blake2xb(seed, i, 4096).view(np.uint64) for i in range(8)])
    words, later = stream[:n].tolist(), iter(stream[n:].tolist())
    limit = 2**64 - 1 - (2**64 - 1) % q - 1
    wanted = [w if w < limit else next(x for x in later if x < limit) for w in words]
    assert found.tolist() == wanted
    assert sum(w >= limit for w in words) > 400


@pytest.mark.parametrize("kernels", [_native, portable])
def test_arrays_of_other_shapes_are_refused(kernels):
    ring, x = kernels.CkksRing(N, DATA, SPECIAL), np.zeros((2, 3, N), dtype=np.uint64)
    for bad in (x[:, :1], np.zeros((1, 4, N), np.uint64), np.zeros((1, 2, N // 2), np.uint64)):
        with pytest.raises(ValueError):
            ring.divide_last(np.ascontiguousarray(bad))
    small = np.zeros((1, N), dtype=np.int64)
    for key, errors in ((x[:, :1], np.zeros((1, 2, N))), (x, np.zeros((1, 1, N)))):
        with pytest.raises(ValueError):
            ring.encrypt(np.ascontiguousarray(key), small, small, errors.astype(np.int64))
    for primes, special in (([], SPECIAL), (DATA, DATA[0]), ([DATA[0] + 2], SPECIAL)):
        with pytest.raises(ValueError):
            kernels.CkksRing(N, primes, special)
    for slots in (np.zeros((1, N // 2 + 1)), np.zeros((1, 0))):
        with pytest.raises(ValueError):
            Embedding(N).coefficients(slots, 1.0)
    with pytest.raises(ValueError):
        Embedding(1000)
    with pytest.raises(ValueError):
        _native.blake2xb(bytes(63), 0, 64)
