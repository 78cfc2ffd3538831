"""Training with an arbiter, as the parties do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.models.families import LOGISTIC
from vfl.parties.outcome import Outcome
from vfl.protocols import arbiter
from vfl.protocols.training import Training
from vfl.scheduling import make_policy
from vfl.schemes import make_scheme, matrix_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.models.response import Response
    from vfl.parties.base import DataParty, Party, Prepared
    from vfl.protocols.training import Fitted


def training(party: Party, identity: str) -> Training:
    """What the protocol needs to know of the job."""
    job = party.job
    return Training(
        job.model, make_scheme(job.cipher), party.checkpoints(identity), matrix_bits(job.cipher),
        make_policy(job.schedule), job.accept_gradient_leak,
    )  # fmt: skip


async def passive(party: DataParty, ctx: Context, data: Prepared) -> Outcome:
    fitted = await arbiter.passive(ctx, training(party, data.digest), data.X[data.train])
    return _outcome(fitted, fitted.weights, np.zeros(1))


async def active(party: DataParty, ctx: Context, data: Prepared, response: Response) -> Outcome:
    target = response.target(data.table.take(range(data.train.stop)))[:, 0]
    label = 2 * target - 1 if response.family is LOGISTIC else target
    fitted = await arbiter.active(ctx, training(party, data.digest), data.X[data.train], label)
    width = data.X.shape[1]
    intercept = fitted.weights[width:] if party.job.model.intercept else np.zeros(1)
    return _outcome(fitted, fitted.weights[:width], intercept)


def _outcome(
    fitted: Fitted,
    weights: NDArray[np.float64],
    intercept: NDArray[np.float64],
) -> Outcome:
    changes = list(fitted.changes)
    return Outcome(weights[:, None], intercept, fitted.epochs, fitted.converged, changes)
