"""From a file or an object in memory to named columns of cells, nothing interpreted yet.

CSV goes through the standard library; Parquet and Arrow files need pyarrow (`vfl[arrow]`). Objects
in memory (a pandas DataFrame, a pyarrow Table, a dict of arrays) are recognised by their shape, so
that neither library is imported here for somebody who does not use it.

No error of this file, nor an exception chained to one, holds the content of a cell.
"""

from __future__ import annotations

import csv
import importlib
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vfl.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Cells of text that mean "no value", compared in lower case.
MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True)
class Columns:
    """Raw columns of one source.

    cells: name -> n cells, a sequence or a one-dimensional array of any type.
    row_numbers: n rows as a person finds them: the line in an editor for CSV (the header is line
    1), the position counted from 1 elsewhere.
    """

    party: str
    source: str
    cells: Mapping[str, Any]
    row_numbers: Sequence[int]

    @property
    def where(self) -> str:
        return f"{self.party}: {self.source}"


def read_columns(source: Any, *, party: str) -> Columns:
    """All columns of a path to .csv, .parquet, .arrow or .feather, or of an object in memory.

    Raises `DataError` for a source that cannot be read, has no rows, ragged rows, or columns that
    share a name or have none; `MissingExtraError` where pyarrow is needed and not installed.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        reader = _READERS.get(path.suffix.lower())
        if path.is_dir():
            raise DataError(f"{party}: {path} is a directory; name the file in it")
        if not path.exists():
            raise DataError(
                f"{party}: {path} does not exist; check data: (it is relative to the job)"
            )
        if reader is None:
            raise DataError(
                f"{party}: {path} is of no kind that can be read; use {', '.join(_READERS)}"
            )
        return reader(path, party)
    if isinstance(source, Mapping):
        return _columns("the dict", list(source.items()), party)
    if hasattr(source, "column_names") and hasattr(source, "column"):
        return _columns("the Arrow table", _arrow_pairs(source), party)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        pairs = [(name, source.iloc[:, k]) for k, name in enumerate(source.columns)]
        return _columns("the DataFrame", pairs, party)
    raise DataError(
        f"{party}: data of type {type(source).__name__} cannot be read; give a path, a pandas "
        "DataFrame, a pyarrow Table or a dict of arrays"
    )


def numbers(cells: Any) -> tuple[NDArray[np.float64], int | None]:
    """The cells as float64 (n,), NaN where missing, and the index of the first that is no number.

    Text counts as a number if it is written as one; digits grouped by underscores are not.
    The array is meaningless from the first bad index on.
    """
    kind = getattr(getattr(cells, "dtype", None), "kind", "O")
    if kind in "biuf":
        if hasattr(cells, "to_numpy"):  # pandas, whose nullable types hold NA
            return np.asarray(cells.to_numpy(dtype="float64", na_value=np.nan)), None
        return np.asarray(cells).astype(np.float64), None
    if kind in "cmMV":
        return np.full(len(cells), np.nan), 0
    try:  # all text and all there: the usual case, ten times as fast as cell by cell
        if "_" not in "".join(cells):
            return np.fromiter(map(float, cells), np.float64, len(cells)), None
    except (ValueError, TypeError):
        pass
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        try:
            values[i] = _number(cell)
        except (ValueError, TypeError, OverflowError):
            return values, i
    return values, None


def _number(cell: object) -> float:
    if isinstance(cell, str):
        try:
            number = float(cell)
        except ValueError:
            if cell.strip().lower() in MISSING_WORDS:
                return np.nan
            raise
        if "_" in cell:
            raise ValueError
        return number
    if isinstance(cell, (int, float, np.number, np.bool_, Decimal)):
        return float(cell)
    if cell is None or type(cell).__name__ == "NAType":
        return np.nan
    raise TypeError


def _columns(
    source: str,
    pairs: Sequence[tuple[object, Any]],
    party: str,
    lines: Sequence[int] | None = None,
) -> Columns:
    """The pairs (name, cells) as `Columns`, after the checks that all kinds of source share."""
    cells: dict[str, Any] = {}
    for position, (given, column) in enumerate(pairs, start=1):
        name = str(given).strip()
        if not name:
            raise DataError(
                f"{party}: column {position} of {source} has no name; write one into the header"
            )
        if name in cells:
            raise DataError(
                f"{party}: {source} has two columns called '{name}' (the second is column "
                f"{position}); rename one"
            )
        cells[name] = column
    lengths = {len(column) for column in cells.values()}
    if not lengths or lengths == {0}:
        raise DataError(f"{party}: {source} has no rows; it needs a header and one row per person")
    if len(lengths) > 1:
        raise DataError(
            f"{party}: the columns of {source} have between {min(lengths)} and {max(lengths)} "
            "rows; give all the same number"
        )
    return Columns(party, source, cells, lines or range(1, max(lengths) + 1))


def _read_bytes(path: Path, party: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{party}: {path} cannot be read ({error.strerror}); check its permissions"
        ) from None


def _read_csv(path: Path, party: str) -> Columns:
    raw = _read_bytes(path, party)
    text, bad_byte = _decode(raw)
    if bad_byte is not None:
        line = raw.count(b"\n", 0, bad_byte) + 1
        raise DataError(f"{party}: {path} is not UTF-8 text (row {line}); save it as UTF-8")
    if not text.strip():
        raise DataError(f"{party}: {path} is empty; it needs a header and one row per person")

    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records, lines = [], []
    line = 1  # where the next record starts: a quoted field may span lines
    try:
        for record in reader:
            if record:  # a blank line holds none
                records.append(record)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{party}: {path} is not well-formed CSV (row {line}: {error}); a field that holds a "
            'quote or a comma must be quoted, and a quote inside it doubled ("")'
        ) from None

    header, rows = records[0], records[1:]
    for position, name in enumerate(header, start=1):
        if _looks_like_data(name):  # else the names that errors list would be somebody's row
            raise DataError(
                f"{party}: row {lines[0]} of {path} is data, not column names (field {position} is "
                "a number); write a header above it"
            )
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise DataError(
            f"{party}: row {lines[0]} of {path} has no comma; separate the fields by commas, with "
            "a point in decimal fractions"
        )
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(
                f"{party}: row {lines[index + 1]} of {path} has {len(row)} fields and the header "
                f"{len(header)}; fields are separated by commas, and one that holds a comma is "
                "quoted"
            )
    by_column = zip(*rows, strict=True) if rows else [()] * len(header)
    return _columns(str(path), list(zip(header, by_column, strict=True)), party, lines[1:])


def _decode(raw: bytes) -> tuple[str, int | None]:
    """The text and None, or "" and the offset of the first byte that is not UTF-8."""
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:  # it carries the whole file: it must not be chained
        return "", error.start


def _looks_like_data(name: str) -> bool:
    """A number that is not a plain count: columns called 0, 1, 2 are common enough."""
    if name.strip().isdecimal():
        return False
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _arrow_pairs(table: Any) -> list[tuple[str, Any]]:
    """Columns with nulls as Python objects: as an array, whole numbers would become floats."""
    columns = [table.column(k) for k in range(len(table.column_names))]
    return [
        (name, column.to_pylist() if column.null_count else column.to_numpy())
        for name, column in zip(table.column_names, columns, strict=True)
    ]


def _read_arrow(path: Path, party: str) -> Columns:
    module = "pyarrow.parquet" if path.suffix.lower() == ".parquet" else "pyarrow.feather"
    try:
        library = importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"{party}: reading {path} needs pyarrow; pip install 'vfl[arrow]'"
        ) from None
    raw = io.BytesIO(_read_bytes(path, party))
    try:
        table = library.read_table(raw)
    except (ValueError, OSError):  # pyarrow's own errors derive from these
        table = None
    if table is None:
        raise DataError(
            f"{party}: {path} is not a {path.suffix} file or is damaged; write it again with "
            f"{module}"
        )
    return _columns(str(path), _arrow_pairs(table), party)


_READERS: dict[str, Callable[[Path, str], Columns]] = {
    ".csv": _read_csv,
    ".parquet": _read_arrow,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}
