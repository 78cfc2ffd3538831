"""`vfl demo`: a real job on bundled data, told as a short story, with the answer nobody may know.

The demo wrote every party's file itself, so it alone may also do what the program exists to avoid:
put all columns in one table, train on that, and show how little the encrypted run gave away in
quality. The parties never see that table.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vfl import plaintext
from vfl.api import RUNS, Run, run_job
from vfl.checkpoint import write_atomically
from vfl.data.bundled import write_breast_cancer_job
from vfl.data.table import read_table
from vfl.errors import JobError
from vfl.spec import load_job
from vfl.wording import POOLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfl.context import Event
    from vfl.spec import JobSpec

FOLDER = RUNS / "demo-data"
CIPHERS = ("auto", "lattice", "paillier")


def write_job(folder: Path, crypto: str) -> Path:
    """Write the parties' files and the job into `folder`; the job file under this cipher.

    Raises `JobError` for another cipher than `CIPHERS`, or another file in the way.
    """
    if crypto not in CIPHERS:
        raise JobError(f"--crypto must be one of {', '.join(CIPHERS)}, not {crypto!r}")
    path = write_breast_cancer_job(folder)
    if crypto == "auto":
        return path
    other = folder / f"job-{crypto}.yaml"
    text = re.sub(r"^crypto:.*$", f"crypto: {crypto}", path.read_text("utf-8"), flags=re.MULTILINE)
    other.write_text(text, encoding="utf-8")
    return other


def story(job: JobSpec) -> tuple[list[tuple[str, str]], int]:
    """(party, what it brings) for each party, and how many people are in every table.

    Only whoever made all files can count the latter so simply.
    """
    told, everybody = [], None
    for p in job.parties:
        table = read_table(p.data, party=p.name, id=p.id, label=p.label)
        brings = f"{len(table.ids)} people, {len(table.names):2} columns"
        told.append((p.name, f"{brings}, and the label '{p.label}'" if p.label else brings))
        everybody = set(table.ids) if everybody is None else everybody & set(table.ids)
    return told, len(everybody or ())


def run_demo(path: Path, on_event: Callable[[Event], None]) -> Run:
    """Run the demo's job; its metrics also hold what a pooled plaintext model reaches."""
    job = load_job(path)
    run = run_job(job, on_event=on_event)
    pooled = plaintext.pool(job)
    scores = plaintext.scores(pooled, plaintext.solve(job.model, pooled))
    name, value = plaintext.metric(job.model, pooled, scores)
    metrics = run.metrics | {name + POOLED: value}
    run = Run(run.folder, run.job, msgspec.structs.replace(run.result, metrics=metrics))
    write_atomically(run.folder / "result.json", run.result, "driver")
    return run


def report_if_possible(run: Run) -> Path | None:
    """`report.html` in the run's folder, or None where the extra that draws it is missing."""
    if all(importlib.util.find_spec(name) for name in ("jinja2", "matplotlib")):
        return run.report(run.folder / "report.html")
    return None


def as_json(run: Run, report: Path | None) -> dict[str, Any]:
    """The run's result and where its report lies."""
    result: dict[str, Any] = msgspec.to_builtins(run.result)
    return result | {"report": str(report or "")}
