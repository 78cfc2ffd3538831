"""Polynomials modulo X^n + 1 in Python's integers, and what the tests of rings feed to kernels."""

import numpy as np

THREADS = (1, 2, 5)


def primes_below(limit, n, count):
    """The largest primes 1 modulo 2n below the limit."""
    found, q = [], (limit - 2) // (2 * n) * (2 * n) + 1
    while len(found) < count:
        if all(pow(a, q - 1, q) == 1 for a in (2, 3, 5, 7)):
            found.append(q)
        q -= 2 * n
    return found


def residues(primes, shape, n, seed=0):
    """Random residues, beginning with the edges 0, 1, q - 1, q // 2."""
    draw = np.random.default_rng(seed)
    limbs = [draw.integers(0, q, (*shape, n), dtype=np.uint64) for q in primes]
    for q, limb in zip(primes, limbs, strict=True):
        limb[..., :5] = [0, 1, q - 1, q // 2, q // 2 + 1]
    return np.stack(limbs, axis=-2)


def column(primes):
    return np.array(primes, dtype=object)[:, None]


def both(call, *args):
    """The result on one thread, which is that on several."""
    one, *others = (call(*args, threads) for threads in THREADS)
    for other in others:
        assert one.dtype == other.dtype and np.array_equal(one, other)
    return one


def negacyclic(a, b, q):
    """a b mod (X^n + 1, q), through one product of large integers."""
    n, width = len(a), 2 * q.bit_length() + len(a).bit_length()
    width += -width % 8

    def packed(x):
        return int.from_bytes(b"".join(int(v).to_bytes(width // 8, "little") for v in x), "little")

    raw = (packed(a) * packed(b)).to_bytes(2 * n * width // 8, "little")
    full = [
        int.from_bytes(raw[i : i + width // 8], "little") for i in range(0, len(raw), width // 8)
    ]
    return [(low - high) % q for low, high in zip(full[:n], full[n:], strict=True)]


def image(x, exponent, q):
    out = [0] * len(x)
    for i, value in enumerate(x):
        j = i * exponent % (2 * len(x))
        out[j % len(x)] = value if j < len(x) else -value % q
    return out
