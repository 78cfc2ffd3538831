"""How many bytes the messages of a job have, to the byte, without making one.

A frame (`vfl_crypto.wire`) is a prefix of 16 bytes, 40 for each array, the MessagePack header that
`vfl.messages` writes, arrays at multiples of 64, and a digest of 32.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from vfl.messages import Envelope, FieldHeader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfl.messages import Message, Protection
    from vfl.planner.ciphers import Cipher
    from vfl.planner.share_costs import ShareCosts

SESSION = "0" * 16  # as long as a session's name


def array(name: str, protection: Protection, count: int, how: str = "", **more: Any) -> FieldHeader:
    """A field whose values are in the frame's array."""
    return FieldHeader(name, protection, 0, how=how, count=count, **more)


def encrypted(cipher: Cipher | ShareCosts, count: int, layout: str) -> FieldHeader:
    """The only field of a message that carries a ciphertext."""
    key = "0" * cipher.id_length
    return array("values", "encrypted", count, cipher.name, key_id=key, layout=layout, terms=1)


def plain(name: str, value: Any, protection: Protection = "public", how: str = "") -> FieldHeader:
    """A field in the header."""
    raw = msgspec.Raw(msgspec.msgpack.encode(value))
    return FieldHeader(name, protection, value=raw, how=how, count=1)


def frame_bytes(
    kind: str, sender: str, receiver: str, scope: str, fields: list[FieldHeader], content: int
) -> int:
    """Of a message whose array, if it has one, takes `content` bytes."""
    envelope = Envelope(SESSION, kind, sender, receiver, scope, fields)
    start = 16 + len(msgspec.msgpack.encode(envelope))
    if any(field.array >= 0 for field in fields):
        start = -(-(start + 40) // 64) * 64 + content
    return start + 32


class Traffic:
    """What crosses each border: (sender, receiver, kind) -> messages, bytes."""

    def __init__(self) -> None:
        self.messages: Counter[tuple[str, str, str]] = Counter()
        self.bytes: Counter[tuple[str, str, str]] = Counter()

    def send(
        self,
        message: type[Message],
        sender: str,
        receiver: str,
        scope: str,
        *fields: FieldHeader,
        content: int = 0,
        times: int = 1,
    ) -> int:
        """Count a message of this class `times` over; the bytes of one."""
        size = frame_bytes(message.kind, sender, receiver, scope, list(fields), content)
        self.messages[sender, receiver, message.kind] += times
        self.bytes[sender, receiver, message.kind] += times * size
        return size

    def by_kind(self, party: str, end: int) -> dict[str, int]:
        """Bytes that `party` sends (end 0) or receives (end 1), by kind of message."""
        found: Counter[str] = Counter()
        for border, size in self.bytes.items():
            if border[end] == party:
                found[border[2]] += size
        return dict(found)


def scopes(epochs: int, batches: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """A "train/EPOCH/BATCH" of each length for each size of batch: (scope, rows, how many)."""
    alike = Counter((len(str(index)), rows) for index, rows in enumerate(batches))
    for epoch, many in lengths(epochs):
        for (digits, rows), more in alike.items():
            yield f"train/{epoch}/{'0' * digits}", rows, many * more


def epoch_scopes(epochs: int) -> Iterator[tuple[str, int]]:
    """A "train/EPOCH" of each length: (scope, how many)."""
    return ((f"train/{first}", many) for first, many in lengths(epochs))


def lengths(stop: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """The numbers in [start, stop), one of each length: (number, how many).

    In digits, as in a scope, and in MessagePack.
    """
    low = start
    while low < stop:
        ends = 10 ** len(str(low)), 1 << 7, 1 << 8, 1 << 16, stop
        high = min(end for end in ends if end > low)
        yield low, high - low
        low = high
