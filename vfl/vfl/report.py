"""One HTML file about a run: what it reached and cost, what crossed each border, whom to trust.

Self-contained: plots are inline SVG, styles are in the page, nothing is loaded from anywhere. It
holds no row, no id and no weight, only what `result.json`, the timelines and the ledgers hold.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vfl import __version__, charts, lanes, wording
from vfl.api import ledger_entries, timelines
from vfl.errors import CheckpointError, MissingExtraError
from vfl.spec import role_of

if TYPE_CHECKING:
    from vfl.api import Run
    from vfl.ledger import Entry

TEMPLATE = Path(__file__).parent / "templates" / "report.html"


class Traffic(msgspec.Struct, frozen=True):
    """One kind of message from one role to another, summed over the run."""

    kind: str
    sender: str
    receiver: str
    messages: int
    bytes: int
    protections: list[str]


def write_report(run: Run, path: Path) -> Path:
    """Write the report of a finished run to `path`.

    Raises `MissingExtraError` without jinja2 and matplotlib, `CheckpointError` where `path` cannot
    be written.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("the report needs jinja2: pip install 'vfl[report]'") from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"size": wording.size, "duration": wording.duration}
    page = environment.from_string(TEMPLATE.read_text("utf-8")).render(_content(run))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot write the report {path}: {error.strerror}") from error
    return path


def ledger_by_kind(folder: Path) -> list[Traffic]:
    """What the ledgers in a run's folder say was received, by kind of message and role.

    Ledgers that a party keeps elsewhere are not there, and not in the sum.
    """
    found: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in ledger_entries(folder)[0]:
        if entry.direction == "received":
            found[entry.kind, entry.sender_role, entry.receiver_role].append(entry)
    return [
        Traffic(
            *key, len(entries), sum(entry.bytes for entry in entries),
            sorted({field.protection for entry in entries for field in entry.fields}),
        )
        for key, entries in sorted(found.items())
    ]  # fmt: skip


def _content(run: Run) -> dict[str, Any]:
    import markupsafe

    result, job = run.result, run.job
    timings = {p.name: result.timings[p.name] for p in job.parties if p.name in result.timings}
    kept, active = timelines(run.folder), job.roster.active
    order = [p.name for p in job.parties]
    return {
        "version": __version__,
        "run": run,
        "result": result,
        "active": active,
        "parties": [(p.name, role_of(p)) for p in job.parties],
        "metrics": [row for row in wording.metric_rows(result.metrics) if row.joint is not None],
        "people": wording.rows(run) if result.rows else "",
        "training": wording.epochs(run),
        "model": msgspec.to_builtins(job.model),
        "cipher": wording.cipher(run),
        "trust": wording.trust(run),
        "key_holder": wording.key_holder(run),
        "opened": "scores opened a row" if job.level in ("shared", "open") else "values opened",
        "stages": wording.STAGES,
        "timings": timings,
        "wall": result.timings["total"]["wall"],
        "total_bytes": result.ledger.bytes,
        "traffic": wording.traffic(result.ledger),
        "kinds": ledger_by_kind(run.folder),
        "lanes": [
            (one.title, markupsafe.Markup(lanes.picture(kept, order, active, one)))  # noqa: S704
            for one in (lanes.stretches(kept, active) if kept else [])
        ],
        "shares": lanes.shares(kept, dict(zip(order, map(role_of, job.parties), strict=True)))
        if kept
        else [],
        "rounds": max((one.rounds for one in result.rounds.values()), default=0),
        "plots": {
            # SVG of our own making; the parties' names in it were escaped by matplotlib.
            name: markupsafe.Markup(svg)  # noqa: S704
            for name, svg in {
                "likelihood": charts.likelihood(result.losses) if result.losses else "",
                "movement": charts.movement(result.changes, job.model.tolerance)
                if result.changes and not result.losses
                else "",
                "times": charts.times(timings),
                "traffic": charts.traffic(result.ledger.borders),
            }.items()
        },
    }
