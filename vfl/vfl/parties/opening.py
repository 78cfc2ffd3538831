"""Training with opened gradients and no arbiter, as the parties do it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from vfl.models.response import FAMILIES
from vfl.parties.outcome import Outcome
from vfl.protocols import open as protocol
from vfl.protocols.guards import ScoreBudget
from vfl.protocols.open import OpenTraining
from vfl.schemes import make_sharing_scheme

if TYPE_CHECKING:
    from vfl.context import Context
    from vfl.models.response import Response
    from vfl.parties.base import DataParty, Prepared


async def passive(party: DataParty, ctx: Context, data: Prepared) -> Outcome:
    trained = await protocol.passive(ctx, _training(party, data), data.X[data.train])
    nothing = np.zeros(trained.weights.shape[1])
    return Outcome(trained.weights, nothing, trained.epochs, opened=trained.opened)


async def active(party: DataParty, ctx: Context, data: Prepared, response: Response) -> Outcome:
    table = data.table.take(range(data.train.stop))
    weight = response.weight(party.job.model, table)
    trained = await protocol.active(
        ctx, _training(party, data), data.X[data.train], response.target(table), weight
    )
    assert trained.intercept is not None
    return Outcome(
        trained.weights, trained.intercept, trained.epochs, trained.converged,
        list(trained.changes), list(trained.losses), opened=trained.opened,
    )  # fmt: skip


def _training(party: DataParty, data: Prepared) -> OpenTraining:
    job = party.job
    return OpenTraining(
        job.model,
        FAMILIES[type(job.model)],
        functools.partial(make_sharing_scheme, job.cipher),
        party.checkpoints(data.digest),
        ScoreBudget(job.accept_score_leak),
        job.accept_gradient_leak,
    )
