"""Private set intersection: the curve work of one id, and two whole tables against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from vfl_bench.harness import Contender, Work
from vfl_bench.suites.common import Settings, beside_one_thread
from vfl_crypto.psi import Blinder, match, shuffled

FEW = 2000
MANY = 30_000
FACTS = {"parameters": "Curve25519", "security_bits": 128}


def works(settings: Settings) -> Iterator[Work]:
    """The peer is `cryptography`'s X25519 (OpenSSL), point by point on one thread."""
    blinders = {count: Blinder(count) for count in settings.counts}
    salt = bytes(range(32))
    ids = [b"%d" % i for i in range(FEW)]
    left = [b"%d" % i for i in range(MANY)]
    right = [b"%d" % i for i in range(MANY // 10, MANY + MANY // 10)]
    points = blinders[1].blind_ids(ids, salt)

    def hash_and_raise(threads: int) -> Callable[[], object]:
        return lambda: blinders[threads].blind_ids(ids, salt)

    def raise_points(threads: int) -> Callable[[], object]:
        return lambda: blinders[threads].blind(points)

    def align(threads: int) -> Callable[[], object]:
        return lambda: intersect(left, right, threads)

    peers = [_openssl(points[:200])] if "cryptography" in settings.peers else []
    for threads in settings.threads:
        for name, unit, run, items, others in (
            ("hash-and-raise", "id", hash_and_raise, FEW, []),
            ("raise", "point", raise_points, FEW, peers),
            (f"two-parties/ids={MANY}x{MANY}", "id", align, MANY, []),
        ):
            contenders = [*beside_one_thread(run, threads, items), *others]
            yield Work(f"psi/{name}/threads={threads}", unit, tuple(contenders), FACTS)


def intersect(left: Sequence[bytes], right: Sequence[bytes], threads: int) -> int:
    """Both parties' work of one two-party alignment, one after the other; returns the overlap."""
    salt = np.random.default_rng().bytes(32)
    a, b = Blinder(threads), Blinder(threads)
    order_a, order_b = shuffled(len(left)), shuffled(len(right))
    masked_a = a.blind_ids([left[i] for i in order_a], salt)
    masked_b = b.blind_ids([right[i] for i in order_b], salt)
    found = match(b.blind(masked_a), [a.blind(masked_b)])
    assert len(found) == len(set(left) & set(right))
    return len(found)


def _openssl(points: np.ndarray) -> Contender:
    key = X25519PrivateKey.generate()
    some = [point.tobytes() for point in points]

    def run() -> object:
        return [key.exchange(X25519PublicKey.from_public_bytes(point)) for point in some]

    return Contender("cryptography", run, len(some), {"threads": 1})
