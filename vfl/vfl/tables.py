"""The end of a run, an audit and a verification as compact terminal tables, 100 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from vfl import wording
from vfl.spec import role_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import RenderableType

    from vfl.api import Run
    from vfl.ledger import Audit
    from vfl.verify import VerifyResult

# The shades tell the stages apart without colour, too.
STAGES = {
    "read": ("white", "▏"), "align": ("magenta", "█"), "encrypt": ("cyan", "▓"),
    "compute": ("green", "▒"), "wait": ("bright_black", "░"),
}  # fmt: skip
_BAR = 22


def run_summary(run: Run, report: Path | None = None) -> RenderableType:
    """Metrics, rows, times, borders, protection, trust and files of a finished run."""
    order = [p.name for p in run.job.parties]
    body = sections()
    body.add_row("held out", _metrics(run))
    body.add_row()
    body.add_row("people", Text(wording.rows(run)))
    body.add_row("training", Text(wording.epochs(run)))
    if run.job.schedule.tolerant and run.result.rounds:
        body.add_row("rounds", _rounds(run))
    body.add_row()
    body.add_row("time", _times(run))
    body.add_row()
    body.add_row("borders", _borders(run.ledger, order))
    body.add_row()
    body.add_row("cipher", Text(wording.cipher(run)))
    body.add_row("disclosed", _shown(run.ledger))
    body.add_row("undeclared", _undeclared(run.ledger))
    body.add_row()
    body.add_row("trust", bullets(wording.trust(run)))
    if run.result.notes:
        body.add_row("notes", bullets(run.result.notes))
    body.add_row()
    body.add_row("files", _files(run, report))
    return Group(Rule(Text(run.job.name, style="bold"), style="cyan"), body)


def audit_summary(audit: Audit, order: list[str]) -> RenderableType:
    """What crossed the borders of a run, and whether all of it was declared."""
    body = sections()
    body.add_row("borders", _borders(audit, order))
    body.add_row()
    body.add_row("carried", _counts(audit.protections))
    body.add_row("disclosed", _shown(audit))
    body.add_row("undeclared", _undeclared(audit))
    return body


def verify_summary(result: VerifyResult) -> RenderableType:
    """The four answers side by side, then each comparison with its bar."""
    (metric,) = wording.metric_rows({result.metric: 0.0})
    answers = new_table("", metric.name, "time")
    for name, value in result.values.items():
        answers.add_row(name, f"{value:.4f}", wording.duration(result.seconds[name]))
    checks = new_table("", "difference", "at most", "")
    for check in result.checks:
        verdict = Text("pass", "green") if check.passed else Text("FAIL", "bold red")
        checks.add_row(check.what, f"{check.difference:.2g}", f"{check.bar:g}", verdict)
    body = sections()
    body.add_row("answers", answers)
    body.add_row()
    body.add_row("checks", checks)
    return Group(Rule(Text(f"verify {result.job}", style="bold"), style="cyan"), body)


def demo_story(parties: list[tuple[str, str]], everybody: int, folder: Path) -> RenderableType:
    """Who takes part in the demo, what each brings, and what they want."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    for name, brings in parties:
        table.add_row(name, Text(brings))
    return Group(
        Rule(Text("One model, three files, and nobody shows a column", style="bold"), style="cyan"),
        Text(
            "Which findings are malignant? The clinic knows for its patients, but its own columns "
            "say little. Imaging and the laboratory measured many of the same people.\n"
        ),
        Padding(table, (0, 0, 1, 2)),
        Text(
            f"{everybody} people are in all three files. This demo can count them because it wrote "
            f"the files, into {folder}; the parties find them without showing an id, then train "
            "on encrypted sums.\n"
        ),
    )


def sections() -> Table:
    grid = Table.grid(padding=(0, 2, 1, 0))
    grid.add_column(style="cyan", justify="right", min_width=10, no_wrap=True)
    grid.add_column(ratio=1)
    return grid


def new_table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", header_style="dim")
    return table


def _metrics(run: Run) -> RenderableType:
    rows = wording.metric_rows(run.metrics)
    if not rows:
        return Text("no rows were held out (test_fraction: 0)")
    pooled = any(row.pooled is not None for row in rows)
    others = {
        f"{run.job.roster.active} alone": [_number(row.alone) for row in rows],
        "pooled plaintext": [_number(row.pooled) for row in rows],
        "training rows": [_number(row.trained) for row in rows],
        f"{run.job.folds} folds": [
            f"{row.folds[0]:.4f} ± {row.folds[1]:.4f}" if row.folds else "" for row in rows
        ],
    }
    shown = {name: cells for name, cells in others.items() if any(cells)}
    table = new_table("", "joint model", *shown)
    for place, row in enumerate(rows):
        joint = Text(_number(row.joint), style="bold green")
        table.add_row(row.name, joint, *(cells[place] for cells in shown.values()))
    if not pooled:
        return table
    people = run.result.rows["held_out"]
    return Group(
        table,
        Text(
            f"Pooled: scikit-learn on everybody's columns in one table. On {people} people, two "
            "AUCs within 0.01 do not tell two models apart.",
            style="dim",
        ),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _rounds(run: Run) -> RenderableType:
    """Without whose news how many rounds went on."""
    table = new_table(
        "of all rounds", "with its news", "with its last", "oldest, passes", "without"
    )
    for name, one in run.result.rounds.items():
        cells = (f"{one.filled:,}", str(one.oldest), f"{one.missed:,}")
        table.add_row(name, f"{one.fresh:,} of {one.rounds:,}", *cells)
    return table


def _times(run: Run) -> RenderableType:
    timings = run.timings
    table = new_table("seconds", *STAGES)
    table.add_column("")
    parties = [p for p in run.job.parties if p.name in timings]  # who was lost told nothing
    longest = max(sum(timings[p.name].values()) for p in parties) or 1.0
    for column, (colour, _) in zip(table.columns[1:-1], STAGES.values(), strict=True):
        column.header_style = colour
    for p in parties:
        own = timings[p.name]
        table.add_row(
            Text.assemble(p.name, (f" {role_of(p)}", "dim")),
            *(f"{own[stage]:.2f}" for stage in STAGES),
            stacked(own, longest),
        )
    wall = wording.duration(timings["total"]["wall"])
    return Group(table, Text(f"{wall} from start to end"))


def stacked(own: dict[str, float], longest: float) -> Text:
    bar, drawn, reached = Text(), 0, 0.0
    for stage, (colour, shade) in STAGES.items():
        reached += own[stage]
        until = round(_BAR * reached / longest)
        bar.append(shade * (until - drawn), style=colour)
        drawn = until
    return bar


def _borders(audit: Audit, order: list[str]) -> RenderableType:
    table = new_table("", "", "", "→ messages", "bytes", "← messages", "bytes")
    for one in wording.exchanges(audit.borders, order):
        cells = [
            cell
            for count, size in (one.there, one.back)
            for cell in (f"{count:,}", wording.size(size))
        ]
        table.add_row(one.left, "⇄", one.right, *cells)
    table.columns[2].justify = "left"
    messages = sum(border.messages for border in audit.borders)
    return Group(table, Text(f"{messages:,} messages, {wording.traffic(audit)}"))


def _shown(audit: Audit) -> RenderableType:
    if not audit.disclosures:
        return Text("nothing")
    return _counts(audit.disclosures)


def _counts(counted: dict[str, int]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    for what, count in counted.items():
        table.add_row(f"{count:,}", Text(what))
    return table


def _undeclared(audit: Audit) -> RenderableType:
    if audit.clean and audit.absent:
        names = " and ".join(audit.absent)
        return Text(
            f"0; not compared with the ledgers of {names}, which are not all on this machine"
        )
    if audit.clean:
        return Text("0; every message is in the ledgers of both its ends", style="green")
    lines = [f"undeclared: {what}" for what in audit.undeclared]
    lines += [f"in one ledger only, or changed: {what}" for what in audit.unmatched]
    return Text("\n".join(lines), style="bold red")


def bullets(sentences: Iterable[str]) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        table.add_row("·", Text(sentence))
    return table


def _files(run: Run, report: Path | None) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("run", Text(str(run.folder)))
    table.add_row("ledgers", Text(str(run.folder / "*" / "ledger.jsonl")))
    table.add_row("report", Text(str(report) if report else f"vfl report {run.folder}"))
    return table
