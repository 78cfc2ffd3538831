"""How many rows and feature columns a table has, without interpreting a cell of it.

A CSV file is read for its line ends and its first line, a Parquet or Arrow file for its metadata.
Where a label has classes, they are counted as they are written. Nothing that is returned or raised
here holds a name or a cell.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfl.spec import PartySpec

_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 22


@dataclass(frozen=True)
class Size:
    """Of a table.

    `text`: it is parsed from text, which takes more memory than it keeps. `classes` of its label,
    0 where they were not asked for or cannot be counted.
    """

    rows: int
    features: int
    text: bool
    classes: int = 0


# The run itself says what is wrong.
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, ImportError, csv.Error)


def count(party: PartySpec, *, classes: bool = False) -> Size | None:
    """The size of a party's table; None where it is not here or cannot be read.

    `classes`: of its label too, if it has one.
    """
    try:
        rows, names, text = _count(party.data)
    except _UNREADABLE:
        return None
    found = 0
    if classes and party.label:
        try:
            found = len({str(cell).strip() for cell in _column(party.data, party.label)})
        except _UNREADABLE:
            found = 0
    if party.columns is not None:
        return Size(rows, len(party.columns), text, found)
    features = set(names) - {party.id, party.label, party.weight, *party.drop}
    return Size(rows, len(features), text, found)


def _column(data: Any, name: str) -> Iterable[Any]:
    """The cells of one column."""
    if isinstance(data, Mapping) or hasattr(data, "iloc"):
        return data[name]  # type: ignore[no-any-return]
    if hasattr(data, "column_names"):
        return data[name].to_pylist()  # type: ignore[no-any-return]
    path = Path(data)
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file)
        place = [field.strip() for field in header].index(name)
        return [line[place] for line in lines if line]
    kind = "parquet" if path.suffix.lower() == ".parquet" else "feather"
    table = importlib.import_module(f"pyarrow.{kind}").read_table(path, columns=[name])
    return table[name].to_pylist()  # type: ignore[no-any-return]


def _count(data: Any) -> tuple[int, Iterable[str], bool]:
    """(rows, column names, whether text)."""
    if isinstance(data, Mapping):
        return len(next(iter(data.values()), ())), map(str, data), False
    if hasattr(data, "column_names"):
        return data.num_rows, data.column_names, False
    if hasattr(data, "iloc"):
        return len(data), map(str, data.columns), False
    path = Path(data)
    if path.suffix.lower() == ".csv":
        return *_count_csv(path), True
    if path.suffix.lower() == ".parquet":
        found = importlib.import_module("pyarrow.parquet").ParquetFile(path)
        return found.metadata.num_rows, found.schema_arrow.names, False
    table = importlib.import_module("pyarrow.feather").read_table(path, memory_map=True)
    return table.num_rows, table.column_names, False


def _count_csv(path: Path) -> tuple[int, list[str]]:
    """Lines below the header, and the header's fields.

    A blank line between others counts, and each line of a quoted field: this is no reader.
    """
    with path.open("rb") as file:
        header = file.readline(_LONGEST_HEADER).decode("utf-8-sig")
        rows, open_line = 0, False
        while chunk := file.read(_CHUNK):
            rows += chunk.count(b"\n")
            open_line = not chunk.endswith(b"\n")
    names = [name.strip() for name in next(csv.reader([header]), [])]
    return rows + open_line, names
