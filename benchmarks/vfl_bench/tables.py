"""The tables that whole jobs are measured on: real files, or generated ones of the same shape."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import vfl
from vfl.data.bundled import generated_tables
from vfl.data.readers import read_columns
from vfl.errors import MissingExtraError

OVERLAP = 0.9  # of a generated file's rows are of people in both


@dataclass(frozen=True)
class Tables:
    """A guest's file with `id` and label `y`, and a host's with `id`."""

    name: str
    guest: Path
    host: Path
    features: tuple[int, int]

    def parties(self) -> list[vfl.Party]:
        return [
            vfl.Party("guest", data=str(self.guest), id="id", label="y"),
            vfl.Party("host", data=str(self.host), id="id"),
        ]


def published(data: Path, name: str) -> Tables:
    """NAME_hetero_guest.csv and NAME_hetero_host.csv in a folder. Raises `DataError`."""
    guest, host = ((data / f"{name}_hetero_{side}.csv").resolve() for side in ("guest", "host"))
    widths = [len(read_columns(str(path), party=path.name).cells) for path in (guest, host)]
    return Tables(name, guest, host, (widths[0] - 2, widths[1] - 1))


def generated(folder: Path, joint: int, guest_features: int, host_features: int) -> Tables:
    """Parquet files with `joint` people in both: text would take longer to read than to train on.

    Raises `MissingExtraError` without pyarrow.
    """
    if not importlib.util.find_spec("pyarrow"):
        raise MissingExtraError("generated tables need pyarrow: pip install 'vfl[arrow]'")
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = generated_tables(round(joint / OVERLAP), guest_features, host_features, seed=0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, ids, X) in tables.items():
        columns = {"id": ids} | dict(zip(header[1:], X.T, strict=True))
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    files = folder / "guest.parquet", folder / "host.parquet"
    return Tables("generated", *files, (guest_features, host_features))
