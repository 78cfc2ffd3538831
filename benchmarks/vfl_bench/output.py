"""Results for people (a table) and for machines (Google Benchmark's JSON shape)."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from vfl_bench.harness import Row
from vfl_crypto import _native

_LIBRARIES = (
    "vfl", "numpy", "cryptography", "phe", "gmpy2", "tenseal", "ray", "scikit-learn"
)  # fmt: skip


def context() -> dict[str, Any]:
    """What the figures depend on: processor, instruction level, library versions."""
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
        "python": platform.python_version(),
        "libraries": versions,
    }


def as_json(rows: Sequence[Row], extra: dict[str, Any] | None = None) -> bytes:
    """`context` and `benchmarks`; each row also has `ratio_to` and its facts."""
    benchmarks = [
        {
            "name": f"{row.name}/{row.peer}", "run_name": row.name, "run_type": "iteration",
            "repetitions": 1, "iterations": row.iterations, "real_time": row.real_time,
            "cpu_time": row.cpu_time, "time_unit": "us", "low": row.low, "high": row.high,
            "items_per_second": 1e6 / row.real_time, "item": row.unit, "peer": row.peer,
            "ratio_to": dict(row.ratio_to), **row.facts,
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
    """One line a contender; `spread` is half the quartile distance in percent of the median."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("work", "security", "by", "per item", "spread", "items/s", "others / this"):
        right = heading in {"per item", "spread", "items/s"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    last = None
    for row in rows:
        first = row.name != last
        if first and last:
            table.add_section()
        spread = (row.high - row.low) / 2 / row.real_time
        table.add_row(
            row.name if first else "", security(row) if first else "", row.peer,
            duration(row.real_time), f"{spread:.0%}", f"{1e6 / row.real_time:,.3g}",
            ", ".join(f"{peer} {value:.3g}x" for peer, value in row.ratio_to.items()),
        )  # fmt: skip
        last = row.name
    console.print(table)


def duration(us: float) -> str:
    """A time in microseconds with a fitting unit."""
    for limit, factor, unit in ((1e3, 1, "us"), (1e6, 1e3, "ms"), (float("inf"), 1e6, "s")):
        if us < limit:
            return f"{us / factor:.3g} {unit}"
    raise AssertionError


def security(row: Row) -> str:
    """Parameters and security level, as "n: 3072 bit (128)"."""
    return f"{row.facts.get('parameters', '')} ({row.facts.get('security_bits', '?')})"


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
