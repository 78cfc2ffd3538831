"""Is the encrypted answer the right one? Four ways to the same model, side by side.

1. the job with the mock cipher, all parties in this process
2. the job with its own cipher, all parties in this process
3. the same algorithm in plaintext on the pooled table, written a second time (`vfl.plaintext`)
4. scikit-learn on the pooled table, with the exact loss and a solver of its own

1 and 2 differ by the cipher, 2 and 3 by everything the program does, 3 and 4 by the linearised loss
and the number of steps. **This reads every party's file**: it is for a machine that may see all.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vfl import plaintext
from vfl.api import ignore_event, run_job
from vfl.errors import DataError, JobError
from vfl.parties.base import StoredModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vfl.api import Run
    from vfl.context import Event
    from vfl.spec import JobSpec

    Vector = NDArray[np.float64]

WEIGHT_BAR = 1e-3  # largest difference of a weight, encrypted against clear
METRIC_BAR = 0.002  # AUC or R2, encrypted against clear
SOLVER_BAR = 0.01  # AUC or R2 against scikit-learn, which solves another problem to its end
CLEAR, SOLVER = "plaintext", "scikit-learn"


class Check(msgspec.Struct, frozen=True):
    """One comparison: the difference found, and the most it may be."""

    what: str
    difference: float
    bar: float
    passed: bool


class VerifyResult(msgspec.Struct, frozen=True):
    """`values` and `seconds` by way: mock, the job's cipher, plaintext, scikit-learn."""

    job: str
    metric: str  # "auc" or "r2", on the held-out rows
    values: dict[str, float]
    seconds: dict[str, float]
    checks: list[Check]
    passed: bool


def verify(job: JobSpec, on_event: Callable[[Event], None] = ignore_event) -> VerifyResult:
    """Go the four ways and compare. Raises `VflError` where one of them ends early."""
    if job.test_fraction == 0:
        raise JobError("verify compares held-out metrics; set test_fraction above 0")
    values: dict[str, float] = {}
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    pooled = plaintext.pool(job)
    theta = plaintext.train(job.model, pooled)
    metric, values[CLEAR] = plaintext.metric(job.model, pooled, plaintext.scores(pooled, theta))
    lap(CLEAR)
    solved = plaintext.solver_scores(job.model, pooled)
    values[SOLVER] = plaintext.metric(job.model, pooled, solved)[1]
    lap(SOLVER)
    weights = {CLEAR: theta}
    cipher, strays = job.cipher.scheme, 0
    with tempfile.TemporaryDirectory(prefix="vfl-verify-") as folder:
        for scheme in dict.fromkeys(("mock", cipher)):
            run = _run(job, scheme, Path(folder) / scheme, on_event)
            values[scheme] = _held_out(run, metric)
            weights[scheme] = _weights(run, pooled)
            strays += run.result.undeclared + len(run.ledger.unmatched)
            lap(scheme)

    checks = [_check("messages undeclared or unmatched", float(strays), 0.0)]
    for other in dict.fromkeys((CLEAR, "mock")):
        if other != cipher:
            apart = float(np.abs(weights[cipher] - weights[other]).max())
            checks.append(_check(f"weights, {cipher} and {other}", apart, WEIGHT_BAR))
            apart = abs(values[cipher] - values[other])
            checks.append(_check(f"{metric}, {cipher} and {other}", apart, METRIC_BAR))
    apart = abs(values[cipher] - values[SOLVER])
    checks.append(_check(f"{metric}, {cipher} and {SOLVER}", apart, SOLVER_BAR))
    return VerifyResult(
        job.name, metric, values, seconds, checks, all(check.passed for check in checks)
    )


def _check(what: str, difference: float, bar: float) -> Check:
    return Check(what, difference, bar, difference <= bar)


def _run(job: JobSpec, scheme: str, folder: Path, on_event: Callable[[Event], None]) -> Run:
    """The job in this process, with folders of its own, under its own or the mock cipher."""

    def tell(event: Event) -> None:
        on_event(msgspec.structs.replace(event, party=f"{event.party} ({scheme})"))

    parties = [msgspec.structs.replace(p, folder=None) for p in job.parties]
    crypto = "mock" if scheme == "mock" else job.crypto
    local = msgspec.structs.replace(job, parties=parties, crypto=crypto, transport="inprocess")
    return run_job(local, folder=folder, on_event=tell)


def _held_out(run: Run, metric: str) -> float:
    if metric not in run.metrics:
        raise DataError(f"the run has no held-out {metric}; raise test_fraction")
    return run.metrics[metric]


def _weights(run: Run, pooled: plaintext.Pooled) -> Vector:
    """All parties' stored weights (f + 1,) in the order of the pooled columns, intercept last."""
    theta = np.zeros(pooled.X.shape[1] + 1)
    for name, columns in pooled.columns.items():
        path = run.folder / name / "model.json"
        stored = msgspec.json.decode(path.read_bytes(), type=StoredModel)
        theta[columns] = np.array(stored.weights)[:, 0]
        theta[-1] += stored.intercept[0]
    return theta
