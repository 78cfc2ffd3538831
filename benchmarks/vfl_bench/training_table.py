"""Whole trainings as a table: a heading a job, a line a cipher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from vfl_bench.end_to_end import slow
from vfl_bench.harness import Row
from vfl_bench.output import aligned, number, protection

_HEADINGS = (
    "", "rounds", "set-up", "a round", "training", "AUC", "guest -> host", "host -> guest",
    "of it key", "peak memory", "others / this: seconds", "bytes",
)  # fmt: skip


def print_trainings(works: Sequence[Sequence[Row]], console: Console) -> None:
    """`works`: the rows of each job, the reference first."""
    lines: list[list[str] | str] = [list(_HEADINGS)]
    notes: dict[str, None] = {}
    for rows in works:
        lines += ["", _title(rows[0])]
        lines += [_line(row, reference=row is rows[0]) for row in rows]
        notes |= {f"{row.peer}: {row.facts['note']}": None for row in rows if "note" in row.facts}
        if rows[0].facts["transport"] == "inprocess":
            notes["peak memory is that of the one process in which both parties ran"] = None
    notes["bytes: of training alone, keys included; 'unpacked' is one ciphertext a value"] = None
    console.print(Text("end-to-end, security: shared\n", style="bold"))
    for line in aligned([*lines, "", *notes]):
        console.print(Text(line), soft_wrap=True)
    console.print()


def _title(row: Row) -> str:
    guest, host = row.facts["columns"]
    where = "two processes on Ray" if row.facts["transport"] == "ray" else "one process"
    _, name, goal = row.name.split("/")
    return f"{name}, {goal}: {row.facts['rows']:,} rows, {guest} + {host} columns, {where}"


def _line(row: Row, *, reference: bool) -> list[str]:
    facts = row.facts
    metrics = facts.get("metrics", {})
    auc = metrics.get("auc", metrics.get("train_auc"))
    key = facts["key_bytes"]
    return [
        f"  {row.peer}, {protection(row)}", str(facts["rounds"]), _seconds(facts["setup_s"]),
        _seconds(facts["round_s"]), _seconds(facts["training_s"]),
        "" if auc is None else f"{auc:.4f}", *map(_bytes, facts["bytes"].values()), _bytes(key),
        " + ".join(map(_bytes, dict.fromkeys(facts["peak_bytes"].values()))),
        ", ".join(_ratios(row, reference, bytes_=False)),
        ", ".join(_ratios(row, reference, bytes_=True)),
    ]  # fmt: skip


def _ratios(row: Row, reference: bool, *, bytes_: bool) -> Iterator[str]:
    for peer, ratio in row.ratio_to.items():
        if peer.endswith(" bytes") == bytes_ and (reference or not slow(peer)):
            yield f"{peer.removesuffix(' bytes')} {ratio:.3g}x"


def _seconds(value: float) -> str:
    return f"{number(value)} s"


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{number(size)} {unit}"
        size /= 1024
    return f"{number(size)} GiB"
