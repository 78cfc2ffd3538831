"""The wire format of Protocol Buffers, as far as TenSEAL uses it; bounded, for foreign bytes.

A message is a sequence of fields: a varint 8 number + kind, then a varint (kind 0), eight bytes
(1), a length and as many bytes (2), or four bytes (5). Lengths are checked, nothing is copied;
fields are counted while they are read, since two bytes make one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vfl_crypto.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

Field = int | memoryview


def read(data: memoryview, most: int, repeated: Sequence[int] = ()) -> dict[int, list[Field]]:
    """Field number -> its values, in order; a number that is not `repeated` keeps its last one.

    Raises `WireError` for bytes that are no message, and for more than `most` fields.
    """
    fields: dict[int, list[Field]] = {}
    at = count = 0
    while at < len(data):
        count += 1
        if count > most:
            raise WireError(f"a message of more than {most} fields: damaged or forged")
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        value: Field
        if number == 0:
            raise WireError("a field without a number: damaged or forged")
        if kind == 0:
            value, at = _varint(data, at)
        else:
            if kind == 2:
                length, at = _varint(data, at)
            elif kind in {1, 5}:
                length = 8 if kind == 1 else 4
            else:
                raise WireError(f"a field of unknown kind {kind}: damaged or forged")
            if length > len(data) - at:
                raise WireError("a field is longer than its message: damaged or cut off")
            value, at = data[at : at + length], at + length
        if number in repeated:
            fields.setdefault(number, []).append(value)
        else:
            fields[number] = [value]
    return fields


def integers(values: Sequence[Field], most: int) -> list[int]:
    """A repeated integer field, packed or not, of at most `most` entries."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value) and len(found) <= most:
            item, at = _varint(value, at)
            found.append(item)
    if len(found) > most:
        raise WireError(f"a field of more than {most} numbers")
    return found


def write(*fields: tuple[int, float | bytes | memoryview]) -> bytes:
    """A message of (number, value): integers as varints, doubles in eight bytes, or bytes."""
    parts: list[bytes | memoryview] = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_number(number << 3), _number(value)]
        elif isinstance(value, float):
            parts += [_number(number << 3 | 1), struct.pack("<d", value)]
        else:
            parts += [_number(number << 3 | 2), _number(len(value)), value]
    return b"".join(parts)


def packed(numbers: Sequence[int]) -> bytes:
    """A repeated integer field."""
    return b"".join(map(_number, numbers))


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("a message ends inside a number: damaged or cut off")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                break
            return value, at
    raise WireError("a number of more than 64 bits: damaged or forged")
