r"""One byte string for one id, whatever type each party's file gave it.

Parties join on bytes, so 7 in one file and "7.0" in another must come out alike:

    whole numbers    1, "1", 1.0, "1.0", " 1 ", numpy integers and floats    b"1"
    text             as it stands, NFC, without surrounding space, UTF-8     b"Zo\xc3\xab"

A string is a whole number if it is decimal digits without leading zeros, with an optional minus
sign and an optional ".0", ".00" and so on; "007", "+7" and "7e3" are text. A float is a whole
number if it is integral and below 2^53 in magnitude (2^24 for float32), where it cannot stand for
a neighbour. Any other float, and what is missing, empty, infinite, a truth value or of another
type, is refused.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import AlignmentError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")
_MISSING_TYPES = {"NoneType", "NAType", "NaTType"}  # the latter two are pandas'


def canonical_id(value: object) -> bytes:
    """The bytes of one id; see the module. Raises `DataError` that says why, not what."""
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, (bool, np.bool_)):
        raise DataError("the id is a truth value")
    if isinstance(value, (int, np.integer)):
        return b"%d" % int(value)
    if isinstance(value, (float, np.floating)):
        return _from_float(value)
    if type(value).__name__ in _MISSING_TYPES:
        raise DataError("the id is missing")
    raise DataError(f"the id is of type {type(value).__name__}; text or whole numbers are needed")


def canonical_ids(
    values: Iterable[object], *, where: str, row_numbers: Sequence[int]
) -> list[bytes]:
    """The bytes of each id of a column: an array, a pandas or Arrow column, a list.

    Raises `DataError` with `where` (party, column, file) and the first bad row, numbered as
    `row_numbers` (n,) say.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return [b"%d" % value for value in values.tolist()]
    ids = []
    for value, row in zip(values, row_numbers, strict=True):
        try:
            ids.append(canonical_id(value))
        except DataError as error:
            raise DataError(
                f"{where} (row {row}): {error}; give every row an id, or remove the row"
            ) from None
    return ids


def refuse_repeated(ids: Sequence[bytes], party: str, source: str) -> None:
    """Raise `AlignmentError` with counts alone if an id occurs more than once."""
    repeated = sum(count > 1 for count in Counter(ids).values())
    if repeated:
        raise AlignmentError(
            f"{party}: {source}: {repeated} of {len(ids)} ids occur more than once; rows are "
            "joined one to one, so drop or merge the repeated rows"
        )


def _from_text(text: str) -> bytes:
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise DataError("the id is empty")
    if whole := _WHOLE.fullmatch(text):
        digits = whole[1]
        return b"0" if digits == "-0" else digits.encode()
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DataError("the id is not valid Unicode") from None  # the cause would print the id


def _from_float(number: float | np.floating) -> bytes:
    precision = min(np.finfo(type(number)).nmant + 1, 53)
    value = float(number)
    if math.isnan(value):
        raise DataError("the id is missing")
    if abs(value) >= 2.0**precision or value != int(value):  # infinity is not below either
        raise DataError(
            f"the id is a number with a fraction, or not below 2^{precision}, where floats skip "
            "whole numbers; store ids as text or integers"
        )
    return b"%d" % int(value)
