"""Pairwise masks: a receiver adds masked vectors up and sees their sum, and no single one.

Each two contributors share a key; the earlier one (names sorted) adds a keystream of it, the later
one subtracts it, and the sum of all has none left (Bonawitz et al., CCS 2017, the protocol before
drop-outs enter). It is meant for ten or so parties that are there to stay. So the set of
contributors is fixed before masks are drawn, and the sum opens only when all of them have arrived:
with one missing, everything stays uniformly random.

What it does not hide. The sum itself: of one contributor it is that party's vector. Differences
between sums: if the same values are opened once with and once without a party, that party's vector
shows, so at most one attempt of a round may be opened. And it trusts the public keys: they must
come over channels that authenticate the peers; whoever swaps them on the way can take masks off.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, UnsafeDepartureError
from vfl_crypto.fixedpoint import FixedPoint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

# |score| < 2^20 in steps of 2^-32. Eleven bits of the word stay free: 2^10 contributors fit, and a
# sum whose masks do not cancel almost surely leaves the range.
SCORES = FixedPoint(integer_bits=20, fraction_bits=32)


def round_context(job: str, round_number: int, attempt: int, what: str) -> bytes:
    """The name of one set of masks: what is masked, in which attempt of which round of a job."""
    return _joined(job.encode(), str(round_number).encode(), str(attempt).encode(), what.encode())


class PairwiseMasker:
    """One contributor's keys and masks for one session. Never pickled or printed.

    Send `public_key` to all peers, `agree` on theirs, then `mask` one vector per context.
    """

    def __init__(self, name: str, fixed: FixedPoint = SCORES) -> None:
        self._name = name
        self._fixed = fixed
        self._key: X25519PrivateKey | None = X25519PrivateKey.generate()
        self.public_key: bytes = self._key.public_key().public_bytes_raw()
        self._shared: dict[str, bytes] = {}
        self._used: set[bytes] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<PairwiseMasker of {self._name} with {len(self._shared)} peers>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PairwiseMasker holds a session's secrets and is never pickled or copied")

    def agree(self, peers: Mapping[str, bytes]) -> None:
        """Derive one shared key for each peer from its name and public key (32 bytes), once.

        The own secret key is dropped afterwards. Raises `KeyMismatchError` for a key that is
        malformed, of low order, or held under two names, and if called again.
        """
        if self._key is None:
            raise KeyMismatchError(
                f"{self._name} has agreed on its peers already; one set a session"
            )
        if self._name in peers:
            raise KeyMismatchError(f"{self._name} is named among its own peers")
        if len({self.public_key, *peers.values()}) != len(peers) + 1:
            raise KeyMismatchError("two contributors have the same public key")
        shared = {}
        for peer, public_key in peers.items():
            try:
                secret = self._key.exchange(X25519PublicKey.from_public_bytes(public_key))
            except ValueError as error:  # wrong length, or a point of low order
                raise KeyMismatchError(f"the public key of {peer} is not usable") from error
            first, second = sorted([self.public_key, public_key])
            shared[peer] = _derive(secret, b"vfl secagg pair", first, second)
        self._shared = shared
        self._key = None

    def mask(
        self,
        values: NDArray[np.float64],
        context: bytes,
        contributors: Collection[str] | None = None,
        *,
        alone: bool = False,
    ) -> NDArray[np.uint64]:
        """Values (n,) float64 in fixed point mod 2^64 plus this party's masks: (n,) uint64.

        `contributors` are the names whose vectors make up the sum, this one included; all peers
        unless given. All of them must name the same set and context, or nothing opens. A context is
        used once: two vectors under one mask would show their difference.

        With one contributor there is no peer to share a mask with, and the receiver reads the
        values. `alone=True` says that the caller knows and has declared it.

        Raises `UnsafeDepartureError` for a context used before and for `alone` that does not fit
        the set, `KeyMismatchError` for a contributor without an agreed key, and
        `EncodingOverflowError` for values out of range or too many contributors. A refused call
        does not use its context up.
        """
        names = self._contributors(contributors, alone=alone)
        if values.ndim != 1:
            raise EncodingOverflowError(f"a vector is masked, not an array of shape {values.shape}")
        _check_room(self._fixed, len(names))
        encoded = self._fixed.encode(values, f"a value of {self._name}").view(np.uint64)
        return self._masked(encoded, context, names)

    def mask_words(
        self, words: NDArray[np.uint64], context: bytes, contributors: Collection[str] | None = None
    ) -> NDArray[np.uint64]:
        """Integers (n,) modulo 2^64, or below, plus this party's masks; otherwise as `mask`."""
        return self._masked(words, context, self._contributors(contributors, alone=False))

    def _contributors(self, contributors: Collection[str] | None, *, alone: bool) -> list[str]:
        names = sorted({self._name, *self._shared} if contributors is None else set(contributors))
        if unknown := set(names) - {self._name, *self._shared}:
            raise KeyMismatchError(f"no key was agreed with {', '.join(sorted(unknown))}")
        if self._name not in names:
            raise KeyMismatchError(f"{self._name} is not among the contributors it masks for")
        if alone != (len(names) == 1):
            raise UnsafeDepartureError(
                f"alone=True, but there are {len(names)} contributors"
                if alone
                else f"{self._name} is the only contributor: a sum of one is its values, in the "
                "clear; add contributors, or declare it with alone=True"
            )
        return names

    def _masked(
        self, masked: NDArray[np.uint64], context: bytes, names: Sequence[str]
    ) -> NDArray[np.uint64]:
        with self._lock:
            if context in self._used:
                raise UnsafeDepartureError(
                    "this context has masked a vector before; a second one would show the "
                    "difference of the two. Use a new attempt number"
                )
            self._used.add(context)
        for peer in names:
            if peer != self._name:
                stream = self._stream(peer, names, context, len(masked))
                masked = masked + stream if self._name < peer else masked - stream
        return masked

    def _stream(
        self, peer: str, names: Sequence[str], context: bytes, count: int
    ) -> NDArray[np.uint64]:
        """The keystream (count,) shared with `peer` for this context and set of contributors."""
        everyone = _joined(*(name.encode() for name in names))
        key = _derive(self._shared[peer], b"vfl secagg mask", everyone, context)
        cipher = Cipher(ChaCha20(key, nonce=bytes(16)), mode=None)  # one key, one message
        stream = cipher.encryptor().update(bytes(8 * count))
        return np.frombuffer(stream, dtype="<u8").astype(np.uint64, copy=False)


def unmask_sum(
    masked: Sequence[NDArray[np.uint64]], fixed: FixedPoint = SCORES
) -> NDArray[np.float64]:
    """The sum (n,) float64 of the masked vectors (n,) uint64 of all contributors of one context.

    Exact in fixed point: it equals the sum of the rounded values. Raises `KeyMismatchError` if the
    masks do not cancel, which shows as a sum out of range: a vector is missing, or two parties
    named different contexts or sets.
    """
    _check_room(fixed, len(masked))
    if len({(v.shape, v.dtype.str) for v in masked}) != 1 or masked[0].dtype != np.uint64:
        raise KeyMismatchError("masked vectors are uint64 arrays of one length, at least one")
    total: NDArray[np.int64] = np.add.reduce(masked, dtype=np.uint64).view(np.int64)
    limit = len(masked) << (fixed.integer_bits + fixed.fraction_bits)
    outside = int(((total <= -limit) | (total >= limit)).sum())
    if outside:
        raise KeyMismatchError(
            f"the masks of {len(masked)} vectors do not cancel ({outside} of {len(total)} sums are "
            "out of range): a contributor is missing, or names another round, attempt or set"
        )
    return fixed.decode(total)


def _check_room(fixed: FixedPoint, contributors: int) -> None:
    if contributors << (fixed.integer_bits + fixed.fraction_bits) > 1 << 62:
        raise EncodingOverflowError(
            f"a sum of {contributors} values of {fixed.integer_bits} integer and "
            f"{fixed.fraction_bits} fraction bits does not fit 62 bits; use fewer bits"
        )


def _joined(*parts: bytes) -> bytes:
    """Parts with their lengths, so that no two sequences of parts give the same bytes."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _derive(secret: bytes, *info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_joined(*info)).derive(secret)
