"""Training on shares, as the parties do it: folds, held-back rows, warm starts."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from vfl.checkpoint import read_json
from vfl.errors import DataError, JobError
from vfl.models.families import normalised
from vfl.models.response import FAMILIES
from vfl.parties.base import StoredModel
from vfl.parties.outcome import Outcome
from vfl.protocols import shared
from vfl.protocols.descent import Task
from vfl.protocols.guards import ScoreBudget
from vfl.protocols.shared import SharedTraining
from vfl.schemes import make_sharing_scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.data.table import Table
    from vfl.models.response import Response
    from vfl.parties.base import DataParty, Prepared
    from vfl.protocols.descent import Fit
    from vfl.spec import JobSpec

    Vector = NDArray[np.float64]


async def passive(party: DataParty, ctx: Context, data: Prepared) -> Outcome:
    earlier = _earlier(party, data)
    warm = None if earlier is None else _rescaled(earlier, data)[0]
    trained = await shared.passive(ctx, _training(party, data, earlier), data.X[data.train], warm)
    nothing = np.zeros(trained.weights.shape[1])
    return Outcome(trained.weights, nothing, trained.rounds, opened=trained.opened)


async def active(party: DataParty, ctx: Context, data: Prepared, response: Response) -> Outcome:
    table = data.table.take(range(data.train.stop))
    earlier, warm = _earlier(party, data), None
    if earlier is not None:
        warm, intercept = _rescaled(earlier, data)
        if party.job.model.intercept:
            warm = np.vstack([warm, intercept])
    target, tasks = response.target(table), _tasks(party.job, table, response)
    _check_tasks(table, response, target, tasks)
    trained = await shared.active(
        ctx, _training(party, data, earlier), data.X[data.train], target, tasks, warm
    )
    *folds, fit = trained.fits
    assert trained.intercept is not None
    return Outcome(
        trained.weights, trained.intercept, trained.rounds, fit.converged, fit.movements,
        fit.losses, fit.metrics | _cross_validated(folds), trained.opened,
    )  # fmt: skip


def _training(party: DataParty, data: Prepared, earlier: StoredModel | None) -> SharedTraining:
    job, model = party.job, party.job.model
    early = model.early_stopping
    return SharedTraining(
        FAMILIES[type(model)],
        functools.partial(make_sharing_scheme, job.cipher),
        party.checkpoints(data.digest),
        ScoreBudget(job.accept_score_leak, earlier.scores_opened if earlier else 0),
        job.accept_gradient_leak,
        model.l2,
        model.tolerance,
        model.intercept,
        model.epochs,
        early.patience if early else None,
        early.fraction if early else 0.0,
    )


def _tasks(job: JobSpec, table: Table, response: Response) -> list[Task]:
    """A fit for each fold, in which its rows weigh nothing, and one with all rows."""
    weight = response.weight(job.model, table)
    n = len(weight)
    early, watched = job.model.early_stopping, np.zeros(n, dtype=np.bool_)
    if early:  # the order of the rows is random already
        watched[n - max(1, round(n * early.fraction)) :] = True

    def task(out: NDArray[np.bool_] | None, prefix: str) -> Task:
        rows = np.flatnonzero(~watched if out is None else out)

        def evaluate(z: Vector) -> dict[str, float]:
            found = response.metrics(z[rows], table.take(rows), normalised(weight[rows]))
            return {f"{prefix}{name}": value for name, value in found.items()}

        kept = ~watched if out is None else ~(watched | out)
        return Task(
            normalised(np.where(kept, weight, 0.0)),
            evaluate,
            normalised(np.where(watched, weight, 0.0)) if early else None,
        )

    count = job.folds or 0
    fold = np.arange(n) % max(1, count)
    return [*(task(fold == k, "cv_") for k in range(count)), task(None, "train_")]


def _check_tasks(table: Table, response: Response, target: Vector, tasks: list[Task]) -> None:
    """Each fit has something to learn: targets (n, k) of the rows that weigh something."""
    for fold, task in enumerate(tasks, start=1):
        try:
            response.family.start(target, task.weight)
        except DataError as error:
            apart = f"without fold {fold}: " if fold < len(tasks) else ""
            classes = f" (classes: {', '.join(response.classes)})" if response.classes else ""
            raise DataError(
                f"{table.party}: label '{table.label_name}' of {table.source}, {apart}{error}"
                f"{classes}; check the label and row weights, or lower folds or "
                "model.early_stopping.fraction"
            ) from error


def _cross_validated(folds: list[Fit]) -> dict[str, float]:
    """Mean and standard deviation of each metric over the folds."""
    found = {}
    for name in folds[0].metrics if folds else ():
        values = [fold.metrics[name] for fold in folds if name in fold.metrics]
        found[name] = float(np.mean(values))
        found[f"{name}_sd"] = float(np.std(values, ddof=1))
    return found


def _earlier(party: DataParty, data: Prepared) -> StoredModel | None:
    """The party's own part of the model to start from. Raises `JobError` if it does not fit."""
    if party.job.warm_start is None:
        return None
    path = party.folder_in(party.job.warm_start) / "model.json"
    earlier = read_json(path, StoredModel, party.spec.name, "give warm_start: a finished run")
    kind = type(party.job.model).__struct_config__.tag
    same = (
        earlier.model == kind
        and earlier.names == list(data.table.names)
        and earlier.codings == data.codings
    )
    if not same:
        raise JobError(
            f"{party.spec.name}: {path} is a model of other columns, categories or of another "
            "kind; warm_start: needs a run of the same model on the same columns"
        )
    return earlier


def _rescaled(earlier: StoredModel, data: Prepared) -> tuple[Vector, Vector]:
    """(f, k), (k,): the earlier model's weights and intercepts for columns as they are now.

    Through the weights of all columns: the runs may scale and project them in other ways. Where
    these differ, other parties' intercepts do not follow, and training starts off by a constant.
    """
    before = np.array(earlier.preprocessor["factor"])
    now = np.array(data.preprocessor.factor)
    ratio = np.divide(before, now, out=np.zeros_like(before), where=now != 0)
    weights, intercept = earlier.whole
    weights = weights * ratio[:, None]
    return data.projection.restrict(weights, intercept) if data.projection else (weights, intercept)
