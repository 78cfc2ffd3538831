"""The Numba twins against the native kernels, bit for bit, and against the definition."""

import functools
import runpy

import numpy as np
import pytest

from vfl_crypto import _native, portable
from vfl_crypto.errors import CryptoError

# 35, 49, 50 and 60 bits, 1 modulo 8192
PRIMES = [34359697409, 562949953216513, 1125899906826241, 1152921504606830593]
SPECIAL = 2305843009213554689  # 61 bits
SIZES = [1024, 4096]


twin_ring = functools.cache(lambda n: portable.Ring(n, PRIMES))


@pytest.fixture(params=SIZES)
def rings(request, level):
    return _native.Ring(request.param, PRIMES), twin_ring(request.param)


def edges_and_random(n, primes, leading, seed):
    """Residues (*leading, k, n): zeros, the largest ones, both in turn, the middle; then random."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.integers(0, q, (*leading, n), dtype=np.uint64) for q in primes], axis=-2)
    rows = x.reshape(-1, len(primes), n)
    top = np.array(primes, dtype=np.uint64)[:, None] - np.uint64(1)
    patterns = [0 * top, top, top * (np.arange(n, dtype=np.uint64) % np.uint64(2)), top // 2]
    for row, pattern in zip(rows, patterns, strict=False):
        row[:] = pattern
    return x


def test_tables_and_transforms_agree(rings):
    native, twin = rings
    assert (twin.n, twin.primes, twin.roots) == (native.n, native.primes, native.roots)
    for leading in [(), (7,), (2, 3), (0,)]:
        x = edges_and_random(twin.n, PRIMES, leading, 1)
        before = x.copy()
        for threads in (1, 2):
            assert np.array_equal(twin.forward(x, threads), native.forward(x))
            assert np.array_equal(twin.inverse(x, threads), native.inverse(x))
        assert np.array_equal(x, before)


def test_the_transform_is_the_value_at_odd_powers_of_the_root():
    twin, n = twin_ring(1024), 1024
    x = edges_and_random(n, PRIMES, (), 2)
    x[:, 5:] = 0
    y = twin.forward(x)
    for i, (q, psi) in enumerate(zip(PRIMES, twin.roots, strict=True)):
        for word in (0, 1, 2, 511, 1023):
            point = pow(psi, 2 * int(f"{word:010b}"[::-1], 2) + 1, q)
            assert y[i, word] == sum(int(c) * pow(point, j, q) for j, c in enumerate(x[i, :5])) % q


@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
def test_pairs_agree_over_all_broadcasts(rings, name):
    native, twin = rings
    a = edges_and_random(twin.n, PRIMES, (3, 5), 3)
    for b in (a[::-1, ::-1].copy(), edges_and_random(twin.n, PRIMES, (5,), 4), a[2, 4], a):
        expected = getattr(native, name)(a, b)
        for threads in (1, 2):
            assert np.array_equal(getattr(twin, name)(a, b, threads), expected)
    nothing = a[:0]
    assert getattr(twin, name)(nothing, a[0]).shape == nothing.shape


def test_factors_automorphisms_shifts_and_lifts_agree(rings):
    native, twin = rings
    n = twin.n
    x = edges_and_random(n, PRIMES, (6,), 5)
    for factors in ([0, 1, 2, 3], [q - 1 for q in PRIMES], [q // 3 for q in PRIMES]):
        words = np.array(factors, dtype=np.uint64)
        assert np.array_equal(twin.scale(x, words, 2), native.scale(x, words))
    for exponent in (1, 3, 5, n - 1, n + 1, 2 * n - 1):
        assert np.array_equal(twin.automorphism(x, exponent), native.automorphism(x, exponent))
    for exponent in (0, 1, n - 1, n, n + 1, 2 * n - 1):
        assert np.array_equal(twin.shift(x, exponent), native.shift(x, exponent))
    signed = np.random.default_rng(6).integers(-(2**63), 2**63 - 1, (3, n), endpoint=True)
    signed[0, :5] = -(2**63), 2**63 - 1, -1, 0, 1
    signed[1] %= 7
    assert np.array_equal(twin.lift(signed), native.lift(signed))


def test_sums_of_products_agree(rings):
    native, twin = rings
    for s, m, p in [(1, 1, 1), (3, 6, 2), (2, 40, 1)]:
        w = edges_and_random(twin.n, PRIMES, (s, m), 7)
        c = edges_and_random(twin.n, PRIMES, (m, p), 8)
        expected = native.multiply_accumulate(w, c)
        for threads in (1, 2):
            assert np.array_equal(twin.multiply_accumulate(w, c, threads), expected)


def test_convolutions_agree(rings):
    native, twin = rings
    x, y = (edges_and_random(twin.n, PRIMES, (count,), 20 + count) for count in (3, 2))
    for threads in (1, 2):
        assert np.array_equal(twin.convolve(x, y, threads), native.convolve(x, y))


def test_integer_combinations_agree(rings):
    native, twin = rings
    rng = np.random.default_rng(9)
    for bound in (2, 2**12, 2**62):
        weights = rng.integers(1 - bound, bound, (3, 9))
        weights[0] = bound - 1
        weights[1, ::2] = 1 - bound
        c = edges_and_random(twin.n, PRIMES, (9, 2), 10)
        expected = native.gemm(weights, c)
        for threads in (1, 2):
            assert np.array_equal(twin.gemm(weights, c, threads), expected)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("limbs", [1, 3])
def test_key_switches_agree(level, n, limbs):
    primes = PRIMES[-limbs:]
    native = _native.KeySwitch(n, primes, SPECIAL)
    twin = portable.KeySwitch(n, primes, SPECIAL)
    key = edges_and_random(n, [*primes, SPECIAL], (limbs, 2), 11)
    a = edges_and_random(n, primes, (3, 2), 12)
    nodes = edges_and_random(n, primes, (5, 2), 13)
    for exponent in (1, n + 1, 5):
        expected = native.switch(a, key, exponent)
        for threads in (1, 2):
            assert np.array_equal(twin.switch(a, key, exponent, threads), expected)
    for shift in (0, 1, n // 2, 2 * n - 1):
        expected = native.pack(nodes, shift, key, n + 1)
        assert np.array_equal(twin.pack(nodes, shift, key, n + 1, 2), expected)
    expected = native.images(a[None], [key, key], [n + 1, 5])
    assert np.array_equal(twin.images(a[None], [key, key], [n + 1, 5], 2), expected)


def test_both_refuse_the_same():
    def refuse(error, call):
        for kernels in (_native, portable):
            with pytest.raises(error):
                call(kernels)

    for n, primes in [
        (512, PRIMES), (1000, PRIMES), (2**16, PRIMES), (1024, []), (1024, PRIMES[:1] * 2),
        (8192, PRIMES), (1024, [2**40 + 1]), (1024, [12289]), (1024, [12289 * 12289]),
        (1024, [2305843009213693951]), (1024, [4611686018427322369]),
    ]:  # fmt: skip
        refuse(ValueError, lambda k, n=n, primes=primes: k.Ring(n, primes))
    refuse(ValueError, lambda k: k.KeySwitch(1024, PRIMES, PRIMES[0]))
    x = edges_and_random(1024, PRIMES, (2, 2), 14)
    signed = np.zeros((2, 2), dtype=np.int64)
    for error, call in [
        (ValueError, lambda ring: ring.forward(x[..., :3, :].copy())),
        (ValueError, lambda ring: ring.forward(x[..., :512].copy())),
        (ValueError, lambda ring: ring.add(x[0], x)),
        (ValueError, lambda ring: ring.add(x, x[:, :1].copy())),
        (ValueError, lambda ring: ring.convolve(x, x[0])),
        (ValueError, lambda ring: ring.scale(x, np.zeros(3, dtype=np.uint64))),
        (ValueError, lambda ring: ring.scale(x, np.array(PRIMES, dtype=np.uint64))),
        (ValueError, lambda ring: ring.multiply_accumulate(x, x[:1].copy())),
        (ValueError, lambda ring: ring.multiply_accumulate(x[:, :0].copy(), x[:0])),
        (ValueError, lambda ring: ring.gemm(signed[:, :1].copy(), x)),
        (ValueError, lambda ring: ring.gemm(signed + 2**62, x)),
        (ValueError, lambda ring: ring.gemm(signed - 2**62, x)),
        (ValueError, lambda ring: ring.automorphism(x, 2)),
        (ValueError, lambda ring: ring.automorphism(x, 2049)),
        (ValueError, lambda ring: ring.shift(x, 2048)),
        (ValueError, lambda ring: ring.lift(signed)),
        (TypeError, lambda ring: ring.forward(x.astype(np.int64))),
        (TypeError, lambda ring: ring.forward(x[:, :, :, ::2])),
    ]:
        refuse(error, lambda k, call=call: call(k.Ring(1024, PRIMES)))
    key = np.zeros((4, 2, 5, 1024), dtype=np.uint64)
    for call in [
        lambda switch: switch.switch(x[0], key, 1),
        lambda switch: switch.switch(x, key[:3], 1),
        lambda switch: switch.switch(x, key, 2),
        lambda switch: switch.pack(x[0], 1, key, 1),
        lambda switch: switch.pack(x, 2048, key, 1),
        lambda switch: switch.images(x, [key], [1]),
        lambda switch: switch.images(x[None], [key], [1, 3]),
    ]:
        refuse(ValueError, lambda k, call=call: call(k.KeySwitch(1024, PRIMES, SPECIAL)))


def test_the_environment_chooses_the_kernels(monkeypatch):
    def chosen():
        kernels = runpy.run_module("vfl_crypto.kernels")
        return kernels["Ring"], kernels["KeySwitch"]

    monkeypatch.delenv("VFL_KERNELS", raising=False)
    assert chosen() == (_native.Ring, _native.KeySwitch)
    monkeypatch.setenv("VFL_KERNELS", "native")
    assert chosen() == (_native.Ring, _native.KeySwitch)
    monkeypatch.setenv("VFL_KERNELS", "numba")
    assert chosen() == (portable.Ring, portable.KeySwitch)
    monkeypatch.setenv("VFL_KERNELS", "fortran")
    with pytest.raises(CryptoError, match="'fortran'; set it to native"):
        chosen()
