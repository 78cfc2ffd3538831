"""The twin of `_native.Ring`."""

# ruff: noqa: ARG002  every method takes `threads`, as its native twin does

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vfl_crypto.portable import loops
from vfl_crypto.portable.tables import R, factors, is_prime, smallest_root

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.portable.loops import Words


class Ring:
    """Z_Q[X]/(X^n + 1): uint64 arrays (..., k, n), limb i below primes[i]."""

    def __init__(self, n: int, primes: Sequence[int]) -> None:
        if n not in [2**log for log in range(10, 16)]:
            raise ValueError(f"n must be a power of two from 2^10 to 2^15, not {n}")
        if not primes or len(set(primes)) != len(primes):
            raise ValueError("a ring needs one or more primes, each once")
        for q in primes:
            if not 2**17 < q < 2**61 or q % (2 * n) != 1 or not is_prime(q):
                raise ValueError(f"{q} is not a prime between 2^17 and 2^61 and 1 modulo {2 * n}")
        self.n, self.primes = n, list(primes)
        self.roots = [smallest_root(n, q) for q in primes]
        tables = [factors(n, q, root) for q, root in zip(primes, self.roots, strict=True)]
        self._forward, self._backward = np.array(tables, dtype=np.uint64).swapaxes(0, 1).copy()
        moduli = [primes, [pow(q, -1, R) for q in primes], [R * R % q for q in primes]]
        self._moduli = np.array(moduli, dtype=np.uint64)
        self.column = self._moduli[0][:, None]
        """The primes as uint64 (k, 1)."""

    def forward(self, x: Words, threads: int = 1) -> Words:
        """Coefficients to NTT form: word i is the value at psi^(2 bitrev(i) + 1)."""
        return self._transformed(loops.forward, x, self._forward, threads)

    def inverse(self, x: Words, threads: int = 1) -> Words:
        """NTT form to coefficients."""
        return self._transformed(loops.backward, x, self._backward, threads)

    def add(self, a: Words, b: Words, threads: int = 1) -> Words:
        """a + b; b may lack leading axes of a."""
        self._check_pair(a, b)
        total = a + b
        return np.where(total < self.column, total, total - self.column)

    def subtract(self, a: Words, b: Words, threads: int = 1) -> Words:
        """a - b; b may lack leading axes of a."""
        self._check_pair(a, b)
        return np.where(a >= b, a - b, a + (self.column - b))

    def multiply(self, a: Words, b: Words, threads: int = 1) -> Words:
        """a b word by word (NTT form); b may lack leading axes of a."""
        self._check_pair(a, b)
        out = np.empty_like(a)
        left, right, rows = self._rows(a), self._rows(b), self._rows(out)
        in_parts(
            lambda part: loops.multiply(left[part], right, rows[part], part.start, self._moduli),
            len(rows), threads,
        )  # fmt: skip
        return out

    def convolve(self, x: Words, y: Words, threads: int = 1) -> Words:
        """Ring products: x (r, k, n) in coefficients, y (p, k, n) in NTT form -> (r, p, k, n)."""
        self._check("x", x, 1)
        self._check("y", y, 1)
        transformed = self.forward(x, threads)
        products = [[self.multiply(a, b) for b in y] for a in transformed]
        stacked = np.array(products, dtype=np.uint64).reshape(len(x), len(y), *x.shape[1:])
        return self.inverse(stacked, threads)

    def scale(self, x: Words, factors: Words, threads: int = 1) -> Words:
        """Limb i times factors[i], uint64 (k,) below the primes."""
        self._check("x", x)
        check("factors", factors, np.uint64, (len(self.primes),), 0)
        if (factors >= self._moduli[0]).any():
            raise ValueError("a factor is not below its prime")
        return self._combined(factors[None, None], self._rows(x)[None], threads).reshape(x.shape)

    def multiply_accumulate(self, w: Words, c: Words, threads: int = 1) -> Words:
        """sum_m w[s, m] c[m, p] word by word: (s, m, k, n), (m, p, k, n) -> (s, p, k, n)."""
        self._check("w", w, 2)
        self._check("c", c, 2)
        if w.shape[1] != len(c) or not len(c):
            raise ValueError(f"w has {w.shape[1]} terms a row, c {len(c)}; one or more are needed")
        out = np.zeros((len(w), *c.shape[1:]), dtype=np.uint64)
        in_parts(
            lambda part: loops.multiply_accumulate(w[part], c, out[part], self._moduli),
            len(w), threads,
        )  # fmt: skip
        return out

    def gemm(self, weights: NDArray[np.int64], c: Words, threads: int = 1) -> Words:
        """sum_d weights[o, d] c[d, p]: int64 (o, d) below 2^62, (d, p, k, n) -> (o, p, k, n)."""
        self._check("c", c, 2)
        check("weights", weights, np.int64, (len(c),), 1)
        if (weights >= 2**62).any() or (weights <= -(2**62)).any():
            raise ValueError("weights must be below 2^62 in magnitude")
        return self._combined(_residues(weights[..., None], self._moduli[0]), c, threads)

    def automorphism(self, x: Words, exponent: int, threads: int = 1) -> Words:
        """X -> X^exponent, odd and below 2n, of coefficients."""
        if not 0 < exponent < 2 * self.n or exponent % 2 == 0:
            raise ValueError(f"an automorphism needs an odd exponent below {2 * self.n}")
        return self._moved(x, np.arange(self.n) * exponent)

    def shift(self, x: Words, exponent: int, threads: int = 1) -> Words:
        """X^exponent x of coefficients, exponent below 2n."""
        if not 0 <= exponent < 2 * self.n:
            raise ValueError(f"a shift needs an exponent from 0 to {2 * self.n - 1}")
        return self._moved(x, np.arange(self.n) + exponent)

    def lift(self, x: NDArray[np.int64], threads: int = 1) -> Words:
        """Residues (..., k, n) of signed integers int64 (..., n)."""
        check("x", x, np.int64, (self.n,))
        return _residues(x[..., None, :], self.column)

    def _check(self, name: str, x: Words, leading: int | None = None) -> None:
        check(name, x, np.uint64, (len(self.primes), self.n), leading)

    def _check_pair(self, a: Words, b: Words) -> None:
        self._check("a", a)
        self._check("b", b)
        if b.ndim > a.ndim or b.shape != a.shape[a.ndim - b.ndim :]:
            raise ValueError(f"b must have the last axes of a, {a.shape}, not {b.shape}")

    def _rows(self, x: Words) -> Words:
        """(..., k, n) -> (r, k, n), a view."""
        return x.reshape(-1 if x.size else 0, len(self.primes), self.n)

    def _transformed(
        self, loop: Callable[[Words, Words, Words], None], x: Words, table: Words, threads: int
    ) -> Words:
        self._check("x", x)
        out = x.copy()
        rows = self._rows(out)
        in_parts(lambda part: loop(rows[part], table, self._moduli), len(rows), threads)
        return out

    def _combined(self, weights: Words, c: Words, threads: int) -> Words:
        out = np.zeros((len(weights), *c.shape[1:]), dtype=np.uint64)
        in_parts(
            lambda part: loops.combine(weights[part], c, out[part], self._moduli),
            len(out), threads,
        )  # fmt: skip
        return out

    def _moved(self, x: Words, places: NDArray[np.int64]) -> Words:
        """Coefficient j to X^places[j], where X^n = -1."""
        self._check("x", x)
        negative = (places // self.n) % 2 == 1
        out = np.empty_like(x)
        out[..., places % self.n] = np.where(negative & (x != 0), self.column - x, x)
        return out


def _residues(x: NDArray[np.int64], q: Words) -> Words:
    return (x % q.astype(np.int64)).astype(np.uint64)


def check(
    name: str, x: NDArray[Any], dtype: type, tail: tuple[int, ...], leading: int | None = None
) -> None:
    """TypeError or ValueError unless x has `leading` axes (None: any number), then `tail`."""
    if x.dtype != dtype or not x.flags.c_contiguous:
        raise TypeError(f"{name} must be a C-contiguous array of {dtype.__name__}")
    axes = x.ndim - len(tail)
    if axes < 0 or x.shape[axes:] != tail or leading not in {None, axes}:
        before = ["..."] if leading is None else ["any"] * leading
        expected = ", ".join([*before, *map(str, tail)])
        raise ValueError(f"{name} must have shape ({expected}), not {x.shape}")


def in_parts(work: Callable[[slice], None], count: int, threads: int) -> None:
    """work(slice) for up to `threads` slices of [0, count)."""
    parts = max(1, min(threads, count))
    slices = [slice(*ends) for ends in pairwise(count * i // parts for i in range(parts + 1))]
    if parts == 1:
        work(slices[0])
        return
    with ThreadPoolExecutor(parts - 1) as pool:
        others = [pool.submit(work, part) for part in slices[1:]]
        work(slices[0])
        for other in others:
            other.result()
