"""Coordinated vertical linear and logistic regression with an arbiter.

Hardy et al. 2017 (arXiv 1711.10677), for one active party B and passive parties A_1 .. A_K, as used
by "Accelerating Vertical Federated Learning" (arXiv 2207.11456, section 3). Per batch:

    A_k -> B          [[s u_k]]       u_k = X_k theta_k, s the slope of the residual
    B   -> A_k        [[d]]           d = s sum_k u_k + (s u_B - target), the whole residual
    p   -> arbiter    [[X_p^T d + m lambda theta_p]]
    arbiter -> p      the optimiser's step on the decrypted gradient over m rows

and theta_p <- theta_p - step; p repeats the last two steps, on its own, as often as B says with the
residual (`DataSide.descend`). Every ciphertext that departs was encrypted just then (`onto=`). The
batches are fixed, so an opened gradient never differs from another by a few rows.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import ProtocolError
from vfl.messages import Public
from vfl.models import linear
from vfl.protocols.arbiter_messages import (
    Checkpointed,
    Done,
    Finished,
    Residual,
    Scores,
    Start,
)
from vfl.protocols.contributions import SCOPE, Contributions, round_of, scope_of
from vfl.protocols.desk import Desk
from vfl.protocols.own_scores import OwnScores
from vfl.protocols.training import DataSide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.protocols.training import Fitted, Training
    from vfl.stream import Stream
    from vfl_crypto.linear import Ciphertext


async def passive(ctx: Context, training: Training, X: NDArray[np.float64]) -> Fitted:
    """A_k: X (n, f) are its training columns."""
    side = DataSide(ctx, training, X, penalised=np.ones(X.shape[1]))
    del X
    active = ctx.roster.active
    await side.receive_key()
    own = Checkpointed(Public(training.checkpoints.epochs()))
    await ctx.send(active, own, scope=SCOPE)
    start = await ctx.receive(Start, from_=active, scope=SCOPE)
    at = side.resume(start)
    results: Stream[Residual | Finished] = ctx.stream(Residual, Finished, from_=[active])
    scores = OwnScores(ctx, side, keep=training.tolerant)
    while training.tolerant or not side.finished:
        if not side.finished:
            await scores.send(at)
        result = await ctx.next(results, scope_of(at))
        message = result.message
        if isinstance(message, Finished):
            await _leave(ctx, side, message)
            break
        at = round_of(result.scope, active)
        await scores.catch_up(at.number)
        if side.usable(message.values):
            await side.descend(at, _rows(message.values, active), message.steps.value)
        at = at.after(len(side.batch_rows))
        await scores.catch_up(at.number)
    return side.fitted()


async def active(
    ctx: Context, training: Training, X: NDArray[np.float64], label: NDArray[np.float64]
) -> Fitted:
    """B: X (n, f) and the labels (n,), in {-1, +1} or standardised."""
    intercept = training.model.intercept
    penalised = np.ones(X.shape[1] + intercept)
    if intercept:  # the last column, without a penalty
        X = np.hstack([X, np.ones((len(X), 1))])
        penalised[-1] = 0.0
    side = DataSide(ctx, training, X, penalised)
    del X
    target = linear.target(training.model, label)
    await side.receive_key()
    others = [name for name in ctx.roster.roles if name != ctx.name]
    stored = await ctx.gather(Checkpointed, from_=others, scope=SCOPE)
    common = set(training.checkpoints.epochs()).intersection(
        *(message.epochs.value for message in stored.values())
    )
    if not common and any(message.epochs.value for message in stored.values()):
        ctx.note("no epoch is stored at all parties: training starts over")
    start = Start(Public(max(common, default=0)), Public(side.batch_rows))
    await ctx.broadcast(others, start, scope=SCOPE)
    at = side.resume(start)
    epochs = training.model.descent.epochs
    ctx.progress("training", at.number, epochs)
    contributions = Contributions(
        ctx, Scores, training.policy, lambda sent: side.usable(sent.values)
    )
    while not side.finished:
        ended = await contributions.gather(at)
        sent = ended.arrived | ended.filled
        parts = [_rows(sent[p].values, p) for p in ctx.roster.passives if p in sent]
        total = functools.reduce(side.encryptor.add, parts) if parts else None
        own_part = side.scaled_score(at) - target[side.batch(at).rows]
        residual = await side.encrypt(own_part, total)
        contributions.publish(Residual(residual, Public(ended.steps)), at)
        await side.descend(at, residual, ended.steps)
        at = at.after(len(side.batch_rows))
        if await side.catch_up(at.number):
            contributions.renew()
        if not at.batch:
            ctx.progress("training", at.number, epochs)
    present = await contributions.close()
    if training.tolerant:
        assert ctx.roster.arbiter is not None
        to = [*present, ctx.roster.arbiter]
        await ctx.broadcast(to, Finished(Public(present)), scope=SCOPE)
        ctx.only(present)
    return side.fitted()


async def _leave(ctx: Context, side: DataSide, finished: Finished) -> None:
    """The last verdicts; then the arbiter need not wait for this party any more."""
    assert ctx.roster.arbiter is not None
    while not side.finished:
        await side.catch_up(side.passes + 1)
    ctx.only(finished.passives.value)
    await ctx.send(ctx.roster.arbiter, Done(Public(side.passes)), scope=SCOPE)


async def arbiter(ctx: Context, training: Training) -> Fitted:
    """Holds the key, opens gradients, runs the optimiser; sees no row and no label."""
    own = Checkpointed(Public(training.checkpoints.epochs()))
    desk = Desk(ctx, training)
    await desk.new_key(SCOPE)
    await ctx.send(ctx.roster.active, own, scope=SCOPE)
    desk.resume(await ctx.receive(Start, from_=ctx.roster.active, scope=SCOPE))
    while not desk.finished:
        await desk.serve_pass()
        await desk.end_pass()
    await desk.close()
    return desk.fitted()


def _rows(values: Ciphertext, sender: str) -> Ciphertext:
    if values.layout != "rows":
        raise ProtocolError(f"{sender} sent {values.layout!r} where encrypted rows were expected")
    return values
