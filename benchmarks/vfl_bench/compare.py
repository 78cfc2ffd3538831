"""Two result files against each other: what became slower between them.

Reads Google Benchmark's JSON shape, so files of other programs will do as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.text import Text

from vfl.errors import JobError
from vfl_bench.output import aligned, duration

_MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
_MACHINE = ("cpu", "num_cpus", "cpu_level", "python", "libraries")  # of the context


class Entry(msgspec.Struct, frozen=True):
    """What counts of one row of a file."""

    name: str
    real_time: float
    peer: str = "all rows"
    time_unit: Literal["ns", "us", "ms", "s"] = "ns"

    @property
    def us(self) -> float:
        return self.real_time * _MICROSECONDS[self.time_unit]


class Results(msgspec.Struct, frozen=True):
    """A file of results."""

    benchmarks: list[Entry]
    context: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def times(self) -> dict[str, float]:
        return {entry.name: entry.us for entry in self.benchmarks}


@dataclass(frozen=True)
class Change:
    """The medians of one row in both files, in microseconds."""

    name: str
    peer: str
    before: float
    after: float

    @property
    def relative(self) -> float:
        """0.1 is a tenth slower."""
        return self.after / self.before - 1


def read_results(path: Path) -> Results:
    """Raises `JobError` for a file that is missing or of another shape."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except OSError as error:
        raise JobError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise JobError(
            f"{path} is not a file that vfl-bench --json wrote: {error}; write it again"
        ) from error


def changes(before: Results, after: Results) -> list[Change]:
    """Rows that both files have, in the order of `before`. Raises `JobError` if there are none."""
    new = after.times
    found = [
        Change(old.name, old.peer, old.us, new[old.name])
        for old in before.benchmarks if old.name in new
    ]  # fmt: skip
    if not found:
        raise JobError("the two files have no row in common; measure the same suites twice")
    return found


def differences(before: Results, after: Results) -> Iterator[str]:
    """What differs between the machines of two files, one sentence each."""
    for key in _MACHINE:
        old, new = before.context.get(key), after.context.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted(old.keys() | new.keys()):
                if old.get(name) != new.get(name):
                    yield f"{name} {old.get(name, 'missing')} became {new.get(name, 'missing')}"
        elif old != new:
            yield f"{key} {old} became {new}"


def print_comparison(before: Results, after: Results, limit: float, console: Console) -> bool:
    """Print every row; whether none became slower by more than `limit` (0.1 is a tenth).

    The median change of the peers, whose code is the same, tells how far the machine itself did.
    """
    for sentence in differences(before, after):
        console.print(Text(f"warning: not the same machine: {sentence}"), soft_wrap=True)
    found = changes(before, after)
    slower = [change for change in found if change.relative > limit]
    lines: list[list[str] | str] = [["", "before", "after", "change", ""]]
    lines += [
        [
            change.name, duration(change.before), duration(change.after),
            f"{change.relative:+.1%}", "slower" if change in slower else "",
        ]
        for change in found
    ]  # fmt: skip
    for line in aligned(lines):
        console.print(Text(line), soft_wrap=True)
    for where, here, there in (("before", before, after), ("after", after, before)):
        for name in here.times:
            if name not in there.times:
                console.print(Text(f"only in {where}: {name}"), soft_wrap=True)
    for peer in dict.fromkeys(change.peer for change in found):
        median = statistics.median(change.relative for change in found if change.peer == peer)
        console.print(Text(f"median change of {peer}: {median:+.1%}"))
    console.print(f"{len(slower)} of {len(found)} rows slower by more than {limit * 100:g} %")
    return not slower
