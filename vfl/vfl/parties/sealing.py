"""Sealed training, as the parties do it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from vfl.models import chebyshev
from vfl.parties.outcome import Outcome
from vfl.protocols import sealed
from vfl.protocols.sealed import SealedTraining
from vfl.schemes import make_sharing_scheme

if TYPE_CHECKING:
    from vfl.context import Context
    from vfl.models.response import Response
    from vfl.parties.base import DataParty, Prepared
    from vfl.protocols.sealed import Trained


async def passive(party: DataParty, ctx: Context, data: Prepared) -> Outcome:
    return _outcome(await sealed.passive(ctx, _training(party, data), data.X[data.train]))


async def active(party: DataParty, ctx: Context, data: Prepared, response: Response) -> Outcome:
    label = response.target(data.table.take(range(data.train.stop)))[:, 0]
    training = _training(party, data)
    return _outcome(await sealed.active(ctx, training, data.X[data.train], label))


def _training(party: DataParty, data: Prepared) -> SealedTraining:
    job, model = party.job, party.job.model
    return SealedTraining(
        functools.partial(make_sharing_scheme, job.cipher),
        party.checkpoints(data.digest),
        model.l2,
        chebyshev.ROUNDS if model.epochs is None else model.epochs,
        model.intercept,
        job.accept_gradient_leak,
    )


def _outcome(trained: Trained) -> Outcome:
    return Outcome(trained.weights[:, None], np.array([trained.intercept]), trained.rounds)
