"""Coordinated vertical linear and logistic regression with an arbiter.

Hardy et al. 2017 (arXiv 1711.10677), for one active party B and passive parties A_1 .. A_K, as used
by "Accelerating Vertical Federated Learning" (arXiv 2207.11456, section 3). Per batch:

    A_k -> B          [[s u_k]]       u_k = X_k theta_k, s the slope of the residual
    B   -> A_k        [[d]]           d = s sum_k u_k + (s u_B - target), the whole residual
    p   -> arbiter    [[X_p^T d + m lambda theta_p]]
    arbiter -> p      the optimiser's step on the decrypted gradient over m rows

and theta_p <- theta_p - step. Every ciphertext that departs was encrypted just then (`onto=`).
The batches are fixed, so an opened gradient never differs from another by a few rows.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import JobError, ProtocolError, SecurityError
from vfl.messages import Disclosed, Public
from vfl.models import linear
from vfl.models.optimizer import Optimizer
from vfl.protocols.arbiter_messages import (
    MOVED,
    Checkpointed,
    EpochEnd,
    Gradient,
    PublicKey,
    Residual,
    Scores,
    Start,
    Step,
)
from vfl.protocols.guards import OPENED_BITS
from vfl.protocols.training import DataSide, Fitted, Training

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl_crypto.linear import Ciphertext, KeyHolder
    from vfl_crypto.release import Released


async def passive(ctx: Context, training: Training, X: NDArray[np.float64]) -> Fitted:
    """A_k: X (n, f) are its training columns."""
    side = DataSide(ctx, training, X, penalised=np.ones(X.shape[1]))
    del X
    active = ctx.roster.active
    await side.receive_key()
    own = Checkpointed(Public(training.checkpoints.epochs()))
    await ctx.send(active, own, scope="train")
    start = await ctx.receive(Start, from_=active, scope="train")
    epoch = side.resume(start)
    while not side.finished(epoch):
        for index, batch in enumerate(side.epoch_batches(epoch)):
            at = f"train/{epoch}/{index}"
            scores = await side.encrypt(side.scaled_score(batch))
            await ctx.send(active, Scores(scores), scope=at)
            residual = await ctx.receive(Residual, from_=active, scope=at)
            await side.step(batch, _rows(residual.values, active), at)
        epoch = await side.end_epoch(epoch)
    return side.fitted(epoch)


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
    stored = await ctx.gather(Checkpointed, from_=others, scope="train")
    common = set(training.checkpoints.epochs()).intersection(
        *(message.epochs.value for message in stored.values())
    )
    if not common and any(message.epochs.value for message in stored.values()):
        ctx.note("no epoch is stored at all parties: training starts over")
    start = Start(Public(max(common, default=0)), Public(side.batch_rows))
    await ctx.broadcast(others, start, scope="train")
    epoch = side.resume(start)
    ctx.progress("training", epoch, training.model.descent.epochs)
    while not side.finished(epoch):
        for index, batch in enumerate(side.epoch_batches(epoch)):
            at = f"train/{epoch}/{index}"
            scores = await ctx.gather(Scores, from_=ctx.roster.passives, scope=at)
            total = functools.reduce(
                side.encryptor.add, (_rows(sent.values, name) for name, sent in scores.items())
            )
            residual = await side.encrypt(side.scaled_score(batch) - target[batch.rows], total)
            await ctx.broadcast(ctx.roster.passives, Residual(residual), scope=at)
            await side.step(batch, residual, at)
        epoch = await side.end_epoch(epoch)
        ctx.progress("training", epoch, training.model.descent.epochs)
    return side.fitted(epoch)


async def arbiter(ctx: Context, training: Training) -> Fitted:
    """Holds the key, opens gradients, runs the optimiser; sees no row and no label."""
    model = training.model
    parties = ctx.roster.data_parties
    holder = await _new_key(ctx, training, scope="train")
    own = Checkpointed(Public(training.checkpoints.epochs()))
    await ctx.send(ctx.roster.active, own, scope="train")
    start = await ctx.receive(Start, from_=ctx.roster.active, scope="train")
    if min(start.batch_rows.value, default=0) < 1:
        raise ProtocolError(
            f"{ctx.roster.active} announced batches of {start.batch_rows.value} rows"
        )
    optimizer = Optimizer(model.descent.optimizer, model.descent.learning_rate)
    epoch, converged, changes = start.epoch.value, False, []
    quanta: dict[str, float] = {}  # how finely each gradient was opened first; never finer later
    training.checkpoints.rewind(epoch)
    if epoch:
        state = training.checkpoints.load(epoch)
        optimizer.restore(state["optimizer"])
        changes, converged, quanta = state["changes"], state["converged"], state["quanta"]
    columns: list[int] = []
    while epoch < model.descent.epochs and not converged:
        moved: NDArray[np.float64] | None = None
        for index, rows in enumerate(start.batch_rows.value):
            at = f"train/{epoch}/{index}"
            gradients = await ctx.gather(Gradient, from_=parties, scope=at)
            sizes = [gradients[name].values.count for name in parties]
            columns = columns or sizes
            if sizes != columns:
                raise ProtocolError(
                    f"the parties' gradients have {sizes} columns in {at}, {columns} before"
                )
            _check_budget(ctx.name, holder, sum(sizes) * (len(start.batch_rows.value) - index))
            parts = []
            for name in parties:
                which = f"{name}/{index}"
                released = await ctx.compute(
                    "encrypt", _open, holder, gradients[name].values, quanta.get(which, 0.0)
                )
                quanta[which] = released.quantum
                parts.append(released.values)
            with np.errstate(over="ignore", invalid="ignore"):  # found and named below
                steps = optimizer.step(np.concatenate(parts) / rows)
            if not np.isfinite(steps).all():
                raise JobError(f"training diverged in epoch {epoch + 1}; lower model.learning_rate")
            moved = steps if moved is None else moved + steps
            edges = np.cumsum(sizes)[:-1]
            for name, step in zip(parties, np.split(steps, edges), strict=True):
                message = Step(
                    Disclosed(step, "the optimiser's step on the receiver's own columns")
                )
                await ctx.send(name, message, scope=at)
        assert moved is not None
        with np.errstate(over="ignore"):  # a diverging run is refused at its next step
            changes.append(float(np.linalg.norm(moved)))
        converged = changes[-1] <= model.tolerance
        epoch += 1
        ended = converged or epoch == model.descent.epochs
        used_up = holder.openings_left < sum(columns) * len(start.batch_rows.value)
        new_key = used_up and not ended
        state = {
            "optimizer": optimizer.to_dict(), "changes": changes, "converged": converged,
            "quanta": quanta,
        }  # fmt: skip
        training.checkpoints.save(epoch, state)
        change = Disclosed(float(f"{changes[-1]:.3g}"), MOVED)
        end = EpochEnd(Public(converged), Public(new_key), change)
        await ctx.broadcast(parties, end, scope=f"train/{epoch - 1}")
        if new_key:
            holder.close()
            holder = await _new_key(ctx, training, scope=f"train/{epoch - 1}")
    holder.close()
    return Fitted(np.zeros(0), epoch, converged, tuple(changes))


async def _new_key(ctx: Context, training: Training, scope: str) -> KeyHolder:
    """A new key, its public part with everybody."""
    holder = await ctx.compute("encrypt", training.scheme.generate)
    ctx.know_key(holder.encryptor.info)
    key = np.frombuffer(holder.public_key, dtype=np.uint8)
    await ctx.broadcast(ctx.roster.data_parties, PublicKey(Public(key)), scope=scope)
    return holder


def _rows(values: Ciphertext, sender: str) -> Ciphertext:
    if values.layout != "rows":
        raise ProtocolError(f"{sender} sent {values.layout!r} where encrypted rows were expected")
    return values


def _open(holder: KeyHolder, gradient: Ciphertext, quantum: float) -> Released:
    if gradient.layout != "sums":
        raise ProtocolError(f"asked to open {gradient.layout!r}: only sums over rows are opened")
    return holder.release(holder.decrypt(gradient), OPENED_BITS, quantum)


def _check_budget(party: str, holder: KeyHolder, openings: int) -> None:
    """A key is changed between epochs, so one key must do for what is left of this one."""
    if openings > holder.openings_left:
        raise SecurityError(
            f"{party}: this epoch needs {openings} more opened values and its key allows "
            f"{holder.openings_left}; use fewer, larger batches (model.batch_size)"
        )
