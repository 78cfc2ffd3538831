"""Typed messages. A field is a ciphertext, masked, public, or disclosed with a reason: never bare.

    class Scores(Message, kind="scores"):
        values: Ciphertext

`pack` turns a message into a frame (`vfl_crypto.wire`), `unpack` turns a frame back and checks it
against the class of that kind. How a field is protected is part of the class, so it is known
before a job starts what can cross a border; the ledger records what did.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, dataclass_transform

import msgspec
import numpy as np

from vfl.errors import ProtocolError
from vfl_crypto import wire
from vfl_crypto.errors import UnsafeDepartureError, WireError
from vfl_crypto.linear import Ciphertext

T = TypeVar("T")
Array = np.ndarray[Any, np.dtype[Any]]
Protection = Literal["encrypted", "masked", "public", "disclosed"]


@dataclass(frozen=True)
class Public(Generic[T]):
    """A parameter that everybody in the job may know: a key, a size, a round number."""

    value: T


@dataclass(frozen=True)
class Masked:
    """Values that are uniform to whoever receives them. `how` names the mask."""

    value: Array
    how: str


@dataclass(frozen=True)
class Disclosed(Generic[T]):
    """A value the receiver is meant to learn. `reason` says why; the protocol declares it."""

    value: T
    reason: str


_PROTECTION: dict[type, Protection] = {
    Ciphertext: "encrypted",
    Masked: "masked",
    Public: "public",
    Disclosed: "disclosed",
}


class FieldHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field on the wire: its protection, and either an array's index or a plain value."""

    name: str
    protection: Protection
    array: int = -1
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    how: str = ""  # mask, reason, or scheme
    key_id: str = ""
    scale_bits: int = 0
    count: int = 0  # values carried
    layout: str = ""
    terms: int = 0


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of a frame: who, to whom, what, and for which step of which job."""

    job: str
    kind: str
    sender: str
    receiver: str
    scope: str
    fields: list[FieldHeader]


# Besides its own errors msgspec lets these two through: text that is not UTF-8, and deep nesting.
_UNREADABLE = (WireError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
_kinds: dict[str, type[Message]] = {}


@dataclass_transform(frozen_default=True)
class Message:
    """Base of all messages; subclasses become frozen dataclasses and register their kind."""

    kind: ClassVar[str]
    protections: ClassVar[dict[str, Protection]]
    _contents: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, *, kind: str) -> None:
        if kind in _kinds:
            raise TypeError(f"two messages of kind {kind!r}")
        cls.kind = kind
        dataclass(frozen=True, eq=False)(cls)
        hints = typing.get_type_hints(cls)
        cls.protections, cls._contents = {}, {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            wrapper = typing.get_origin(hints[field.name]) or hints[field.name]
            if wrapper not in _PROTECTION or hints[field.name] in (Public, Disclosed):
                raise TypeError(
                    f"{cls.__name__}.{field.name} must be Ciphertext, Masked, Public[...] or "
                    "Disclosed[...]; a bare value cannot be sent"
                )
            cls.protections[field.name] = _PROTECTION[wrapper]
            cls._contents[field.name] = (*typing.get_args(hints[field.name]), Array)[0]
        _kinds[kind] = cls

    @classmethod
    def of_kind(cls, kind: str) -> type[Message]:
        try:
            return _kinds[kind]
        except KeyError:
            raise ProtocolError(f"a peer sent a message of unknown kind {kind!r}") from None

    @classmethod
    def from_fields(cls, headers: list[FieldHeader], arrays: tuple[Array, ...]) -> Self:
        """Check received fields against the class and build the message."""
        if [(h.name, h.protection) for h in headers] != list(cls.protections.items()):
            names = ", ".join(cls.protections)
            raise ProtocolError(f"a peer sent {cls.kind!r} with other fields than {names}")
        fields, used = {}, 0
        for header in headers:
            value = _read_field(cls, header, arrays)
            expected, array = _describe(header.name, header.protection, value, used)
            if header != expected:
                raise ProtocolError(f"a peer sent {cls.kind!r} with a malformed {header.name!r}")
            fields[header.name] = value
            used += array is not None
        if used != len(arrays):
            raise ProtocolError(f"a peer sent {cls.kind!r} with arrays that belong to no field")
        return cls(**fields)

    @classmethod
    def content_type(cls, name: str) -> Any:
        """The type inside a field's wrapper; `Array` for ciphertexts and masked values."""
        return cls._contents[name]

    @classmethod
    def carries_array(cls, name: str) -> bool:
        return typing.get_origin(cls.content_type(name)) is np.ndarray


def pack(
    message: Message, *, job: str, sender: str, receiver: str, scope: str
) -> tuple[Array, Envelope]:
    """The frame of a message and its envelope.

    Raises `UnsafeDepartureError` for a ciphertext that was not encrypted just for its departure,
    `TypeError` for a field that is not of its declared wrapper.
    """
    arrays: list[Array] = []
    fields = [
        _write_field(message, name, protection, arrays)
        for name, protection in message.protections.items()
    ]
    envelope = Envelope(job, message.kind, sender, receiver, scope, fields)
    return wire.pack(_encoder.encode(envelope), arrays), envelope


def unpack(frame: Array) -> tuple[Message, Envelope, str]:
    """Message, envelope and digest of a received frame. Raises `ProtocolError`."""
    try:
        parsed = wire.unpack(frame)
        envelope = _decoder.decode(parsed.header)
    except _UNREADABLE as error:
        raise ProtocolError(f"received bytes that are no message: {error}") from error
    if _encoder.encode(envelope) != parsed.header:
        raise ProtocolError("received a message whose header is not in its one form")
    cls = Message.of_kind(envelope.kind)
    return cls.from_fields(envelope.fields, parsed.arrays), envelope, parsed.digest


def _write_field(
    message: Message, name: str, protection: Protection, arrays: list[Array]
) -> FieldHeader:
    value = getattr(message, name)
    if _PROTECTION.get(type(value)) != protection:
        raise TypeError(f"{message.kind}.{name} must be {protection}, not {type(value).__name__}")
    if isinstance(value, Ciphertext) and not value.fresh:
        raise UnsafeDepartureError(
            f"{message.kind}.{name} would leave without fresh randomness; "
            "finish with encrypt(..., onto=...)"
        )
    header, array = _describe(name, protection, value, len(arrays))
    if (array is not None) != message.carries_array(name):
        raise TypeError(f"{message.kind}.{name} must hold {message.content_type(name)}")
    if array is not None:
        arrays.append(array)
    return header


def _describe(
    name: str, protection: Protection, value: Any, index: int
) -> tuple[FieldHeader, Array | None]:
    """The one header of a field, and its array, which would be the frame's `index`-th."""
    if isinstance(value, Ciphertext):
        header = FieldHeader(
            name, protection, index, how=value.scheme, key_id=value.key_id,
            scale_bits=value.scale_bits, count=value.count, layout=value.layout, terms=value.terms,
        )  # fmt: skip
        return header, value.body
    how = value.how if isinstance(value, Masked) else getattr(value, "reason", "")
    content = value.value
    if isinstance(content, np.ndarray):
        return FieldHeader(name, protection, index, how=how, count=len(content)), content
    plain = msgspec.Raw(_encoder.encode(content))
    return FieldHeader(name, protection, value=plain, how=how, count=1), None


def _read_field(
    cls: type[Message], header: FieldHeader, arrays: tuple[Array, ...]
) -> Ciphertext | Masked | Public[Any] | Disclosed[Any]:
    if cls.carries_array(header.name) != (0 <= header.array < len(arrays)):
        raise ProtocolError(f"a peer sent {cls.kind!r} whose {header.name!r} has no such array")
    if header.protection == "encrypted":
        return Ciphertext(
            header.how, header.key_id, header.scale_bits, header.count, arrays[header.array],
            header.layout, terms=header.terms,
        )  # fmt: skip
    content: Any
    if cls.carries_array(header.name):
        content = arrays[header.array]
    else:
        try:
            content = msgspec.msgpack.decode(header.value, type=cls.content_type(header.name))
        except _UNREADABLE as error:
            raise ProtocolError(
                f"a peer sent {cls.kind!r} with a bad {header.name!r}: {error}"
            ) from error
    if header.protection == "masked":
        return Masked(content, header.how)
    if header.protection == "disclosed":
        return Disclosed(content, header.how)
    return Public(content)
