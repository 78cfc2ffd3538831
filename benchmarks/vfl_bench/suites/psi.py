"""Private set intersection: the curve work of one id, and two whole tables against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from vfl_bench.harness import Contender, Work
from vfl_crypto.psi import Blinder, match, shuffled

FEW = 2000
MANY = 30_000
FACTS = {"parameters": "Curve25519", "security_bits": 128}


def works(bits: Sequence[int], peers: Sequence[str], threads: int) -> Iterator[Work]:
    """`bits` has no meaning here; the peer is `cryptography`'s X25519 (OpenSSL), point by point."""
    del bits
    blinder = Blinder(threads)
    salt = bytes(range(32))
    ids = [b"%d" % i for i in range(FEW)]
    points = blinder.blind_ids(ids, salt)
    raise_points = [Contender("vfl", lambda: blinder.blind(points), FEW)]
    if "cryptography" in peers:
        key = X25519PrivateKey.generate()
        some = [point.tobytes() for point in points[:200]]
        raise_points.append(
            Contender(
                "cryptography",
                lambda: [key.exchange(X25519PublicKey.from_public_bytes(p)) for p in some],
                len(some),
            )
        )
    hashing = Contender("vfl", lambda: blinder.blind_ids(ids, salt), FEW)
    yield Work("psi/hash-and-raise", "id", (hashing,), FACTS)
    yield Work("psi/raise", "point", tuple(raise_points), FACTS)
    left = [b"%d" % i for i in range(MANY)]
    right = [b"%d" % i for i in range(MANY // 10, MANY + MANY // 10)]
    both = Contender("vfl", lambda: intersect(left, right, threads), MANY)
    yield Work(f"psi/two-parties/ids={MANY}x{MANY}", "id", (both,), FACTS)


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
