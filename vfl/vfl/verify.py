"""Is the encrypted answer the right one? Four ways to the same model, side by side.

1. the job with the mock cipher, all parties in this process
2. the job with its own cipher, all parties in this process
3. the same algorithm in plaintext on the pooled table (`vfl.plaintext`)
4. scikit-learn on the pooled table, with the exact loss and a solver of its own

1 and 2 differ by the cipher, 2 and 3 by everything the program does, 3 and 4 by the number of steps
and, with an arbiter, the linearised loss. **This reads every party's file**: it is for a machine
that may see all.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

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

ROUNDED: Final = 1e-3  # scores are released in steps of 2^-12
CLEAR, SOLVER = "plaintext", "scikit-learn"
BARS: Final = {  # largest differences: of a weight, the metric, the deviance
    "arbiter": (1e-3, 2e-3, 2e-3),
    "shared": (1e-4, 1e-4, 1e-4),
    "open": (1e-3, 1e-3, 1e-3),
    "sealed": (1e-3, 1e-4, 1e-4),
}
SOLVER_METRIC, SOLVER_DEVIANCE = 0.01, 1e-3
"""Against scikit-learn. The arbiter level linearises the loss, so there only the metric counts; a
run on shares that converged must reach the deviance, too. Weights are compared in parts of the
largest, if it is above 1, and deviances in parts of themselves."""


class Check(msgspec.Struct, frozen=True):
    """One comparison: the difference found, and the most it may be."""

    what: str
    difference: float
    bar: float
    passed: bool


class VerifyResult(msgspec.Struct, frozen=True):
    """`values` and `seconds` by way: scikit-learn, mock, the job's cipher, plaintext."""

    job: str
    metric: str  # "auc", "r2" or "d2", on the held-out rows
    values: dict[str, float]
    seconds: dict[str, float]
    checks: list[Check]
    passed: bool


def verify(job: JobSpec, on_event: Callable[[Event], None] = ignore_event) -> VerifyResult:
    """Go the four ways and compare. Raises `VflError` where one of them ends early."""
    if job.test_fraction == 0:
        raise JobError("verify compares held-out metrics; set test_fraction above 0")
    if job.warm_start:
        raise JobError("verify compares runs from the beginning; leave warm_start out")
    job = msgspec.structs.replace(job, folds=None)
    values: dict[str, float] = {}
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    pooled = plaintext.pool(job)
    solved = plaintext.solve(job.model, pooled)
    lap(SOLVER)
    thetas, cipher, strays = {SOLVER: solved}, job.cipher.scheme, 0
    with tempfile.TemporaryDirectory(prefix="vfl-verify-") as folder:
        for scheme in dict.fromkeys(("mock", cipher)):
            run = _run(job, scheme, Path(folder) / scheme, on_event)
            thetas[scheme] = _weights(run, pooled)
            strays += run.result.undeclared + len(run.ledger.unmatched)
            lap(scheme)
    thetas[CLEAR] = plaintext.train(job, pooled, run.result.epochs)
    lap(CLEAR)
    deviances = {}
    for way, theta in thetas.items():
        scores = plaintext.scores(pooled, theta)
        metric, values[way] = plaintext.metric(job.model, pooled, scores)
        deviances[way] = plaintext.deviance(job.model, pooled, scores)
    told = _held_out(run, metric)
    checks = [
        _check("messages undeclared or unmatched", float(strays), 0.0),
        _check(f"{metric} that {cipher} tells", abs(told - values[cipher]), ROUNDED),
    ]
    compares_solver = job.level == "shared" and not job.model.early_stopping
    weight_bar, metric_bar, deviance_bar = BARS[job.level]
    for other in (other for other in (CLEAR, "mock") if other != cipher):
        both = f"{cipher} and {other}"
        size = max(1.0, float(np.abs(thetas[other]).max()))
        apart = float(np.abs(thetas[cipher] - thetas[other]).max()) / size
        checks.append(_check(f"weights, {both}", apart, weight_bar))
        apart = abs(values[cipher] - values[other])
        checks.append(_check(f"{metric}, {both}", apart, metric_bar))
        apart = abs(deviances[cipher] / deviances[other] - 1)
        checks.append(_check(f"deviance, {both}", apart, deviance_bar))
    apart = abs(values[cipher] - values[SOLVER])
    checks.append(_check(f"{metric}, {cipher} and {SOLVER}", apart, SOLVER_METRIC))
    if job.level == "sealed" or (run.result.converged and compares_solver):
        apart = abs(deviances[cipher] / deviances[SOLVER] - 1)
        checks.append(_check(f"deviance, {cipher} and {SOLVER}", apart, SOLVER_DEVIANCE))
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
    """All parties' stored weights (f + 1, k) in the order of the pooled columns, intercept last."""
    stored = {
        name: msgspec.json.decode((run.folder / name / "model.json").read_bytes(), type=StoredModel)
        for name in pooled.columns
    }
    outputs = max(len(model.intercept) for model in stored.values())
    theta = np.zeros((pooled.X.shape[1] + 1, outputs))
    for name, columns in pooled.columns.items():
        theta[columns], intercept = stored[name].whole
        theta[-1] += intercept
    return theta
