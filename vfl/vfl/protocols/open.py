"""Vertical generalised linear models without an arbiter; each party learns its own gradient.

One active party A, with labels and the key, and passive parties p. Everybody keeps its own weights
in the clear and runs its own optimiser. Per batch, which has the same rows in every epoch:

    p -> A    X_p w_p, pairwise masked
              z = own scores + the sum: what A learns, per row and epoch
    A -> p    [[d]]                  d = (mean(z) - y) weight / n, exact
    p -> A    [[X_p' d + mask]]
    A -> p    its share of X_p' d without low bits: 16 significant ones are left (`open_gradient`)
              each adds l2 w and steps

The models are those of `shared`, with exact links; what is cheaper, and what more shows, is that
weights need not be shared. A never sees a gradient of p: its share is uniform. p never sees a
residual but through its gradient, and `guards` holds the batches to what may be opened. A stops
when an epoch moves the scores by less than the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vfl.errors import DataError, JobError, ProtocolError
from vfl.messages import Public
from vfl.models import linear
from vfl.models.optimizer import Optimizer
from vfl.protocols.descent import MAX_SCORE
from vfl.protocols.guards import check_gradient_leak
from vfl.protocols.masked_sum import agree
from vfl.protocols.open_gradient import (
    LEAST_EXPONENT,
    MATRIX_FRACTION,
    MAX_RESIDUAL,
    Columns,
    exponent_of,
    open_gradients,
    receive_gradient,
    sizes_of,
)
from vfl.protocols.open_keys import Keys, receive_key
from vfl.protocols.open_messages import Epoch, Hello, Offer, Start
from vfl.protocols.open_scores import receive_scores, send_scores
from vfl.protocols.shared import common_step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vfl.checkpoint import Checkpoints
    from vfl.context import Context
    from vfl.models.families import Family
    from vfl.protocols.guards import ScoreBudget
    from vfl.spec import ModelSpec
    from vfl_crypto.sharing import ShareEvaluator, SharingScheme

    Vector = NDArray[np.float64]

SCOPE: Final = "train"


@dataclass(frozen=True)
class OpenTraining:
    """What both roles know before they meet."""

    model: ModelSpec
    family: Family
    scheme: Callable[[Sequence[tuple[int, int]]], SharingScheme]  # for products of these shapes
    checkpoints: Checkpoints
    budget: ScoreBudget
    accept_gradient_leak: bool = False


@dataclass(frozen=True)
class Trained:
    """A role's result: weights (f, k); at the active party intercepts (k,) and how it went."""

    weights: Vector
    epochs: int
    opened: int  # scores of each training row
    intercept: Vector | None = None
    converged: bool = False
    changes: tuple[float, ...] = ()  # root mean square change of the scores, from epoch 2 on
    losses: tuple[float, ...] = ()  # mean negative log-likelihood that each epoch met


class Own:
    """One party's weights (f, k) and their optimiser."""

    def __init__(self, model: ModelSpec, weights: Vector, penalised: Vector) -> None:
        self.weights = weights
        self._ridge = model.l2 * penalised[:, None]
        descent = model.descent
        self._optimizer = Optimizer(descent.optimizer, descent.learning_rate, descent.decay)

    def step(self, gradient: Vector, epoch: int) -> None:
        """Along the gradient (f, k) of the mean loss, to which the penalty's is added."""
        whole = gradient + self._ridge * self.weights
        step = self._optimizer.step(whole.reshape(-1), epoch)
        self.weights = self.weights - step.reshape(whole.shape)

    def to_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.tolist(), "optimizer": self._optimizer.to_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights = np.array(state["weights"]).reshape(self.weights.shape)
        self._optimizer.restore(state["optimizer"])


async def passive(ctx: Context, training: OpenTraining, X: Vector) -> Trained:
    """p: X (n, f) are its training columns."""
    active, model, checkpoints = ctx.roster.active, training.model, training.checkpoints
    offer = await ctx.receive(Offer, from_=active, scope=SCOPE)
    outputs, batches = offer.outputs.value, linear.batches(len(X), model.batch_size)
    sizes = [rows.stop - rows.start for rows in batches]
    if offer.batch_rows.value != sizes or not 1 <= outputs <= len(X):
        raise ProtocolError(
            f"{active} trains on batches of {offer.batch_rows.value} rows with {outputs} outputs; "
            f"{ctx.name} has batches of {sizes}"
        )
    scale = await ctx.compute("compute", sizes_of, X, batches)
    X = X / scale
    await ctx.compute(
        "compute", check_gradient_leak, ctx.name, X, batches, matrix_bits=MATRIX_FRACTION,
        reshuffled=model.reshuffle, accepted=training.accept_gradient_leak, outputs=outputs,
    )  # fmt: skip
    width, rank = X.shape[1], int(await ctx.compute("compute", np.linalg.matrix_rank, X))
    if not rank:
        raise DataError(
            f"{ctx.name}: all its columns are zero over the training rows, so there is nothing to "
            "learn from them; leave this party out, or check its file"
        )
    columns = await ctx.compute("compute", Columns, ctx.name, X, scale, batches)
    del X
    hello = Hello(Public(checkpoints.epochs()), Public(width), Public(rank))
    await ctx.send(active, hello, scope=SCOPE)
    start = await ctx.receive(Start, from_=active, scope=SCOPE)
    shown = _check_budget(ctx, training, start.ranks.value, outputs, start.epochs.value, batches)
    masker = await agree(ctx, SCOPE)
    own = Own(model, np.zeros((width, outputs)), np.ones(width))
    epoch = start.after.value
    checkpoints.rewind(epoch)
    if epoch:
        own.restore(checkpoints.load(epoch))
    evaluator: ShareEvaluator | None = None
    while True:
        message = await ctx.receive(Epoch, from_=active, scope=f"{SCOPE}/{epoch}")
        if message.stop.value:
            return Trained(own.weights, epoch, shown)
        if message.new_key.value:
            evaluator = await receive_key(ctx, training.scheme, f"{SCOPE}/{epoch}")
        if evaluator is None:
            raise ProtocolError(f"{active} began to train without a key")
        for index in range(len(batches)):
            at = f"{SCOPE}/{epoch}/{index}"
            if epoch or index:  # the first scores are zero, and everybody knows it
                scores = await ctx.compute("compute", columns.scores, index, own.weights)
                await send_scores(ctx, scores, masker, at)
            gradient = await receive_gradient(ctx, columns, index, evaluator, outputs, at)
            own.step(gradient, epoch)
        epoch += 1
        await ctx.compute("compute", checkpoints.save, epoch, own.to_dict())


async def active(
    ctx: Context, training: OpenTraining, X: Vector, target: Vector, weight: Vector
) -> Trained:
    """A: X (n, f), target (n, k), weight (n,) with mean 1."""
    model, family, passives = training.model, training.family, ctx.roster.passives
    rows, outputs = target.shape
    batches, checkpoints = linear.batches(rows, model.batch_size), training.checkpoints
    sizes = [batch.stop - batch.start for batch in batches]
    await ctx.broadcast(passives, Offer(Public(sizes), Public(outputs)), scope=SCOPE)
    width = X.shape[1]
    own = _own(training, X.shape[1], target, weight)
    if model.intercept:  # the last column, without a penalty
        X = np.hstack([X, np.ones((rows, 1))])
    hellos = await ctx.gather(Hello, from_=passives, scope=SCOPE)
    epoch = common_step(ctx, checkpoints, [hello.epochs.value for hello in hellos.values()])
    ranks = [hellos[name].rank.value for name in passives]
    epochs = most_epochs(model, training.budget, sum(ranks), outputs, len(batches))
    shown = _check_budget(ctx, training, ranks, outputs, epochs, batches)
    start = Start(Public(epoch), Public(epochs), Public(ranks))
    await ctx.broadcast(passives, start, scope=SCOPE)
    columns = {name: hello.columns.value for name, hello in hellos.items()}
    keys = Keys(ctx, training.scheme, columns, sizes, outputs)
    exponents = [LEAST_EXPONENT] * len(batches)
    z, changes, losses = np.zeros((rows, outputs)), [], []
    checkpoints.rewind(epoch)
    if epoch:
        state = checkpoints.load(epoch)
        own.restore(state)
        z = np.array(state["scores"])
        exponents, changes, losses = state["exponents"], state["changes"], state["losses"]
    while True:
        ctx.progress("training", epoch, epochs)
        converged = bool(changes) and changes[-1] <= model.tolerance
        stop = converged or epoch == epochs
        holder = await keys.begin(epoch, stop=stop)
        if holder is None:
            break
        before, loss = z.copy(), 0.0
        for index, batch in enumerate(batches):
            at = f"{SCOPE}/{epoch}/{index}"
            z[batch] = X[batch] @ own.weights
            if epoch or index:
                z[batch] += await receive_scores(ctx, sizes[index], outputs, at)
            y, w = target[batch], weight[batch]
            loss += family.loss(z[batch], y, w) * sizes[index] / rows
            d = family.residual(z[batch], y) * w[:, None]
            if not (np.abs(z[batch]).max() <= MAX_SCORE and np.abs(d).max() <= MAX_RESIDUAL):
                raise JobError(
                    f"training diverged in epoch {epoch + 1}: scores left +-{MAX_SCORE:.0f}, or "
                    "means of counts any range; lower model.learning_rate, or cap columns with "
                    "outliers"
                )
            exponents[index] = max(exponents[index], exponent_of(d))
            await open_gradients(ctx, holder, columns, d, exponents[index], at)
            own.step(X[batch].T @ d / sizes[index], epoch)
        if epoch:
            changes.append(float(np.sqrt(np.mean((z - before) ** 2))))
        losses.append(loss)
        epoch += 1
        state = {
            "scores": z.tolist(), "exponents": exponents, "changes": changes, "losses": losses
        }  # fmt: skip
        await ctx.compute("compute", checkpoints.save, epoch, state | own.to_dict())
    intercept = own.weights[width] if model.intercept else np.zeros(outputs)
    return Trained(
        own.weights[:width], epoch, shown, intercept, converged, tuple(changes), tuple(losses)
    )


def _own(training: OpenTraining, width: int, target: Vector, weight: Vector) -> Own:
    """A's weights: none yet, and the intercepts that are best without any."""
    intercept = training.model.intercept
    weights = np.zeros((width + intercept, target.shape[1]))
    penalised = np.ones(width + intercept)
    if intercept:
        weights[-1], penalised[-1] = training.family.start(target, weight), 0.0
    return Own(training.model, weights, penalised)


def most_epochs(
    model: ModelSpec, budget: ScoreBudget, columns: int, outputs: int, batches: int
) -> int:
    """As asked, or the usual number unless the budget of opened scores is smaller."""
    if model.epochs is not None:
        return model.epochs
    shown = budget.rounds(None, columns, outputs, 1, warm=False)
    return min(model.descent.epochs, shown + hidden(batches))


def hidden(batches: int) -> int:
    """Epochs that open no score: the first, if all its rows are scored before the first step."""
    return int(batches == 1)


def _check_budget(
    ctx: Context, training: OpenTraining, ranks: Sequence[int], outputs: int, epochs: int,
    batches: Sequence[slice],
) -> int:  # fmt: skip
    """Scores of each training row that all epochs open. Raises `SecurityError`.

    Those of all classes count: steps that depend on a weight's own past do not keep their sum.
    """
    shown = epochs - hidden(len(batches))
    return training.budget.check(ctx.name, sum(ranks), outputs, 1, shown, warm=False)
