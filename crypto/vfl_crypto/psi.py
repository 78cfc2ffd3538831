"""Private set intersection on Curve25519: hash, raise, shuffle, compare.

An id becomes a point H(id); each party raises points to its own secret scalar. Raising commutes, so
equal ids give equal bytes once every party has raised them, and before that they look random
(Meadows, 1986; Huberman, Franklin and Hogg, 1999). With two parties A and P:

    A -> P   H(a)^alpha          A.blind_ids(a, salt)[order]
    P -> A   H(a)^(alpha beta)   P.blind(list of A), in the order A sent
             H(b)^beta           P.blind_ids(b, salt)[order]
    A        H(b)^(alpha beta)   A.blind(list of P); match(own, [list of P])

With three or more, every list goes through every party, and each raises and shuffles it. Whoever
compares the finished lists learns their sizes and how many ids each two share, but not which. Only
the joint positions are led back through the shuffles, party by party.

The salt is public to the parties and new for each session, so lists of two sessions cannot be
compared. It does not hide ids: the scalars do. Ids are bytes in one form at every party.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from vfl_crypto import _native
from vfl_crypto.errors import AlignmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Progress = Callable[[int, int], None]

MIN_SALT_BYTES = 16
MAX_SALT_BYTES = 64  # the longest key of BLAKE2b
_CHUNK = 4096  # points between two calls of `progress`


def hash_to_curve25519(ids: Sequence[bytes], salt: bytes, threads: int = 1) -> NDArray[np.uint8]:
    """H(id) as u-coordinates (n, 32) uint8, each on the curve and never on its twist.

    BLAKE2b keyed by the salt hashes a counter and the id; the counter goes up until the 255 bits
    are a point of the curve, twice on average. Without that test one bit of every id would show:
    raising keeps a point on the curve or on the twist, so a masked point rules out half of all
    guesses.

    Raises `AlignmentError` if the salt is not 16 to 64 bytes.
    """
    if not MIN_SALT_BYTES <= len(salt) <= MAX_SALT_BYTES:
        raise AlignmentError(
            f"the session's salt has {len(salt)} bytes; {MIN_SALT_BYTES} to {MAX_SALT_BYTES} needed"
        )
    start = hashlib.blake2b(key=salt, digest_size=32, person=b"vfl psi u25519")
    points = np.empty((len(ids), 32), dtype=np.uint8)
    pending = np.arange(len(ids))
    for counter in itertools.count():
        if not len(pending):
            break
        prefix = start.copy()
        prefix.update(counter.to_bytes(4, "little"))
        candidates = _digests(prefix, [ids[i] for i in pending.tolist()])
        candidates[:, 31] &= 0x7F  # 255 bits
        accepted = _native.curve25519_on_curve(candidates, threads)
        points[pending[accepted]] = candidates[accepted]
        pending = pending[~accepted]
    return points


def _digests(prefix: hashlib.blake2b, ids: Sequence[bytes]) -> NDArray[np.uint8]:
    """The digest of prefix and id for each id: (n, 32) uint8, writable."""
    digests = bytearray()
    for one in ids:
        state = prefix.copy()
        state.update(one)
        digests += state.digest()
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)


class Blinder:
    """One party's secret scalar for one session; raises points to it. Never pickled or printed.

    `threads` is how many cores one call may use, by default all.
    """

    __slots__ = ("_scalar", "_threads")

    def __init__(self, threads: int | None = None) -> None:
        self._scalar = secrets.token_bytes(32)
        self._threads = threads or os.cpu_count() or 1

    def __repr__(self) -> str:
        return "<Blinder of one session>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Blinder holds a session's secret and is never pickled or copied")

    def blind_ids(
        self, ids: Sequence[bytes], salt: bytes, progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """H(id)^scalar (n, 32) uint8, in the order of `ids`: shuffle before sending.

        `progress(done, total)` is called after each chunk. Raises `AlignmentError` for a bad salt.
        """
        return self._raise(hash_to_curve25519(ids, salt, self._threads), progress)

    def blind(
        self, points: NDArray[np.uint8], progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """point^scalar (n, 32) uint8 for points (n, 32) uint8 that a peer sent, in their order.

        Raises `AlignmentError`, with counts alone and before anything is returned, for another
        shape or dtype, for bytes that are not the one encoding of a point of the curve (on the
        twist, or not below 2^255 - 19), and for points of low order, whose result is all zeros.
        """
        if not isinstance(points, np.ndarray) or points.dtype != np.uint8:
            raise AlignmentError("a masked list is an array of dtype uint8")
        if points.ndim != 2 or points.shape[1] != 32:
            raise AlignmentError(f"a masked list has shape (n, 32), not {points.shape}")
        points = np.ascontiguousarray(points)
        foreign = int((~_native.curve25519_on_curve(points, self._threads)).sum())
        if foreign:
            raise AlignmentError(
                f"{foreign} of {len(points)} points from the peer are not on Curve25519: the peer "
                "does not follow the protocol, or the bytes were damaged"
            )
        return self._raise(points, progress)

    def _raise(self, points: NDArray[np.uint8], progress: Progress | None) -> NDArray[np.uint8]:
        raised = np.empty_like(points)
        for first in range(0, len(points), _CHUNK):
            chunk = points[first : first + _CHUNK]
            raised[first : first + _CHUNK] = _native.x25519_batch(
                self._scalar, chunk, self._threads
            )
            if progress is not None:
                progress(first + len(chunk), len(points))
        low_order = int((~raised.any(axis=1)).sum())
        if low_order:
            raise AlignmentError(
                f"{low_order} of {len(points)} points have low order; the peer does not follow the "
                "protocol"
            )
        return raised


def shuffled(count: int) -> NDArray[np.intp]:
    """A uniform permutation (count,) from the operating system's randomness.

    `points[order]` is the shuffled list; `order[positions]` leads positions in it back.
    """
    while True:
        keys = np.frombuffer(secrets.token_bytes(8 * count), dtype=np.uint64)
        order = np.argsort(keys)
        if not (np.diff(keys[order]) == 0).any():  # a tie would favour one order: draw again
            return order


@dataclass(frozen=True, eq=False)
class Match:
    """What fully masked lists have in common.

    `positions[k]` (m,) are the joint entries' places in list k, own list first. Entry j of each is
    the same id. The common order is that of the masked values, random to everyone.
    `overlaps[k, l]` is how many ids lists k and l share; the diagonal holds the sizes.
    """

    positions: tuple[NDArray[np.intp], ...]
    overlaps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions[0])


def match(own: NDArray[np.uint8], others: Sequence[NDArray[np.uint8]]) -> Match:
    """Compare lists (n_k, 32) uint8 that every party has raised.

    Raises `AlignmentError` if a list holds a point twice: its ids were not unique, so the join
    would not be one to one.
    """
    # As byte strings of 32: numpy drops trailing zeros, which keeps strings of one length distinct.
    keys = [np.ascontiguousarray(points).view("S32").ravel() for points in (own, *others)]
    orders = [np.argsort(k) for k in keys]
    ranked = [k[order] for k, order in zip(keys, orders, strict=True)]
    for which, k in enumerate(ranked):
        repeated = int((k[1:] == k[:-1]).sum())
        if repeated:
            raise AlignmentError(
                f"{repeated} of {len(k)} entries of "
                f"{'the own list' if which == 0 else f'list {which}'} are repeated; every id may "
                "occur once"
            )
    joint = reduce(_common, ranked)
    return Match(
        tuple(order[np.searchsorted(k, joint)] for k, order in zip(ranked, orders, strict=True)),
        np.array([[len(_common(k, l)) for l in ranked] for k in ranked], dtype=np.int64),
    )


def _common(left: NDArray[np.bytes_], right: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    return np.intersect1d(left, right, assume_unique=True)
