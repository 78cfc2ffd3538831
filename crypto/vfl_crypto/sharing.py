"""Products that nobody sees whole: what a protocol on additive shares may ask of a cipher.

    key holder                                 evaluator, who has a plain matrix P
    w modulo 2^bits   ── [[w]] ──────────────▶
    P w + r           ◀──── [[P w + r]] ──     -r

Both sides then hold one share of P w modulo 2^bits (`words.Words`); r is uniform and new at every
call. The two are exact, or off by one unit in sum. A cipher that computes with integers has these
two faces beside those of `linear`: the lattice, Paillier and the mock do, CKKS does not.

A ciphertext's layout says what it is: "words-B" is an encrypted vector modulo 2^B, "masked-B" a
product on its way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from vfl_crypto.errors import KeyMismatchError, ReleaseError
from vfl_crypto.words import MAX_BITS, Words

if TYPE_CHECKING:
    from vfl_crypto.linear import Ciphertext, SchemeInfo
    from vfl_crypto.words import IntegerMatrix

LEAST_DROPPED_BITS: Final = 12
_MODULI: Final = frozenset(map(str, range(1, MAX_BITS + 1)))


class ShareEvaluator(Protocol):
    """The public-key face. Every method may run on any thread."""

    @property
    def info(self) -> SchemeInfo: ...

    def multiply(self, plain: IntegerMatrix, ciphertext: Ciphertext) -> tuple[Ciphertext, Words]:
        """P (m, n) times [[w]] (n,): the masked product (m,), fresh, and this side's share of it.

        Keeps what it derives from P. Raises `KeyMismatchError` for another key, length or layout,
        `InsecureParametersError` where the shape leaves no room for noise.
        """


class ShareHolder(Protocol):
    """The secret-key face. Never pickled, never printed."""

    @property
    def evaluator(self) -> ShareEvaluator: ...

    @property
    def public_key(self) -> bytes:
        """What `SharingScheme.evaluator` reads on the other side."""

    @property
    def openings_left(self) -> int:
        """How many values may still be opened under this key."""

    def encrypt_words(self, words: Words) -> Ciphertext:
        """[[w]] (n,), fresh: it may leave."""

    def share(self, masked: Ciphertext) -> Words:
        """The key holder's share of a masked product (m,).

        Raises `KeyMismatchError` for anything else, `WireError` for malformed bytes.
        """

    def open_share(self, share: Words, dropped_bits: int) -> Words:
        """A share for the other side, who then knows the value; counted.

        The low `dropped_bits` are gone, rounded at random: their carries would tell of the key.
        Raises `ReleaseError` for fewer than 12, `ReleaseBudgetError` past the key's budget.
        """

    def close(self) -> None:
        """Drop the secret key."""


class SharingScheme(Protocol):
    """A cipher with its parameters: makes keys, reads public keys."""

    @property
    def name(self) -> str: ...

    def share_holder(self) -> ShareHolder:
        """A new key pair from the operating system's randomness."""

    def evaluator(self, public_key: bytes) -> ShareEvaluator:
        """Read `ShareHolder.public_key`. Raises as `LinearScheme.encryptor`."""


def words_layout(bits: int) -> str:
    """Of an encrypted vector modulo 2^bits."""
    return f"words-{bits}"


def masked_layout(bits: int) -> str:
    """Of a masked product modulo 2^bits."""
    return f"masked-{bits}"


def modulus_bits(ciphertext: Ciphertext, kind: str) -> int:
    """B of the layout "`kind`-B".

    Raises `KeyMismatchError` for another layout or B, and for a scale, a sum or a count that no
    such ciphertext has.
    """
    bits = ciphertext.layout.removeprefix(f"{kind}-")
    if bits not in _MODULI or ciphertext.layout != f"{kind}-{bits}":
        raise KeyMismatchError(
            f"{ciphertext.layout[:32]!r} where a ciphertext of {kind} was expected"
        )
    if ciphertext.scale_bits != 0 or ciphertext.terms != 1 or ciphertext.count < 1:
        raise KeyMismatchError(f"a ciphertext of {kind} is one of integers, none added up")
    return int(bits)


def rounded_at_random(share: Words, dropped_bits: int) -> Words:
    """A share without its low bits, up or down with odds in proportion.

    So a carry out of them tells as little whatever they were. Raises `ReleaseError` for fewer than
    `LEAST_DROPPED_BITS`.
    """
    if not LEAST_DROPPED_BITS <= dropped_bits < share.bits:
        raise ReleaseError(
            f"asked to drop {dropped_bits} low bits of a share modulo 2^{share.bits}; drop "
            f"{LEAST_DROPPED_BITS} or more, or the carries show the secret key"
        )
    dither = Words.uniform(len(share), dropped_bits)
    lifted = Words.of_list(dither.to_list(), share.bits)
    raised = (share + lifted).shifted(dropped_bits)
    for _ in range(dropped_bits // 30):
        raised = raised.times(1 << 30)
    return raised.times(1 << dropped_bits % 30)
