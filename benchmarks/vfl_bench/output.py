"""Results for people (a table) and for machines (Google Benchmark's JSON shape)."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from vfl_bench.harness import Row
from vfl_crypto import _native

_LIBRARIES = (
    "vfl", "numpy", "numba", "cryptography", "phe", "gmpy2", "tenseal", "ray", "scikit-learn"
)  # fmt: skip

_STOLEN = 0.05  # processors, from which it is said


def context() -> dict[str, Any]:
    """What the figures depend on: processor, instruction level, load, library versions."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu": _cpu_model(),
        "num_cpus": os.cpu_count(),
        "cpu_level": _native.cpu_level(),
        "cpu_levels": _native.cpu_levels(),
        "load_avg": list(os.getloadavg()),
        "python": platform.python_version(),
        "libraries": versions,
    }


def as_json(rows: Sequence[Row], extra: dict[str, Any] | None = None) -> bytes:
    """`context` and `benchmarks`; each row also has `ratio_to`, its facts and its figures."""
    benchmarks = [
        {
            "name": f"{row.name}/{row.peer}", "run_name": row.name, "run_type": "iteration",
            "repetitions": 1, "iterations": row.iterations, "real_time": row.real_time,
            "cpu_time": row.cpu_time, "time_unit": "us", "low": row.low, "high": row.high,
            "items_per_second": 1e6 / row.real_time, "item": row.unit, "peer": row.peer,
            "ratio_to": dict(row.ratio_to), **row.facts, **row.figures,
        }
        for row in rows
    ]  # fmt: skip
    document = {"context": context(), "benchmarks": benchmarks} | (extra or {})
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def write_json(target: str, document: bytes) -> None:
    """To a file, or to standard output for "-"."""
    if target == "-":
        print(document.decode())
    else:
        Path(target).write_bytes(document + b"\n")


def print_table(rows: Sequence[Row], console: Console, title: str) -> None:
    """A heading for each work, below it a line a contender, and what is to be known last.

    `spread` is half the quartile distance in percent of the median, `error` relative. A line of
    ours has the time of every other by its own; the other lines that of ours.
    """
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    headings = ["", "threads", "per item", "spread", "items/s", "error"]
    headings += [name.replace("_", " ") for name in figures]
    lines: list[list[str] | str] = [[*headings, "others / this"]]
    notes: dict[str, dict[str, None]] = {}  # -> whom it is about
    for name, contenders in groupby(rows, key=lambda row: row.name):
        first, *rest = contenders
        lines += ["", f"{name.removeprefix(title + '/')}   {protection(first)}"]
        for row in (first, *rest):
            lines.append(_line(row, first, figures))
            for note in _notes(row, first):
                notes.setdefault(note, {})[row.peer] = None
    console.print(Text(f"{title}\n", style="bold"))
    lost = max((row.facts.get("stolen_processors", 0.0) for row in rows), default=0.0)
    lines += [""] * bool(notes or lost > _STOLEN)
    if lost > _STOLEN:
        lines.append(f"the host of this machine kept up to {lost:.2f} processors from it meanwhile")
    lines += [f"{', '.join(peers)}: {note}" for note, peers in notes.items()]
    for line in aligned(lines):
        console.print(Text(line), soft_wrap=True)
    console.print()


def aligned(lines: Sequence[list[str] | str]) -> Iterator[str]:
    """Lists of cells in columns, all but the first and the last to the right; text as it is."""
    rows = [line for line in lines if isinstance(line, list)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for line in lines:
        if isinstance(line, str):
            yield line
            continue
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        cells[0], cells[-1] = line[0].ljust(widths[0]), line[-1]
        yield "  ".join(cell for cell, width in zip(cells, widths, strict=True) if width).rstrip()


def duration(us: float) -> str:
    """A time in microseconds with a fitting unit."""
    if us < 1:
        return f"{us * 1e3:.3g} ns"
    for limit, factor, unit in ((1e3, 1, "us"), (1e6, 1e3, "ms"), (float("inf"), 1e6, "s")):
        if us < limit:
            return f"{us / factor:.3g} {unit}"
    raise AssertionError


def number(value: float) -> str:
    """Three digits, with commas and, from 1e-4 on, without powers of ten."""
    if value < 1:
        return f"{value:.3g}"
    digits = max(0, 3 - len(str(int(value))))
    return f"{float(f'{value:.3g}'):,.{digits}f}"


def protection(row: Row) -> str:
    """Parameters and security level, as "n: 3072 bit, 128-bit security"."""
    parts = [str(row.facts["parameters"])] if "parameters" in row.facts else []
    parts += [f"{row.facts['security_bits']}-bit security"] if "security_bits" in row.facts else []
    return ", ".join(parts)


def _line(row: Row, first: Row, figures: Sequence[str]) -> list[str]:
    spread = (row.high - row.low) / 2 / row.real_time
    error = row.facts.get("relative_error")
    others = row.ratio_to if row is first else {first.peer: row.ratio_to[first.peer]}
    return [
        f"  {row.peer}", str(row.facts.get("threads", "")), duration(row.real_time),
        f"{spread:.0%}", number(1e6 / row.real_time), "" if error is None else f"{error:.1e}",
        *(number(row.figures[name]) if name in row.figures else "" for name in figures),
        ", ".join(f"{peer} {value:.3g}x" for peer, value in others.items()),
    ]  # fmt: skip


def _notes(row: Row, first: Row) -> Iterator[str]:
    if protection(row) != protection(first):
        yield protection(row)
    if "note" in row.facts:
        yield str(row.facts["note"])


def _cpu_model() -> str:
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        ):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
