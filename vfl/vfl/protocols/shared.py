"""Vertical generalised linear models without an arbiter; weights and gradients stay shared.

One active party A, with labels and the key, and passive parties p with whitened columns X~ and
diagonal ridge R (`models.whitening`). Per round, at the probe v:

    A -> p    [[<v>_A]]
    p -> A    [[X~ <v>_A + mask]], and X~ <v>_p - mask, pairwise masked     (`blocks`)
              z = own scores + the sum of all shares: what A learns, per row
    A -> p    where to go next, and [[(d, <v>_A)]]    d = (mean(z) - y) weight / n, exact
    p -> A    [[X~' d + R <v>_A + mask]]
              both step on their shares               (`iterate`)

A decides from the joint likelihood at v (`models.nesterov`) and hands its shares of v over in the
end. Its own columns never leave it. At a cold start v = 0 and so are the scores: the first round
opens none. A fold of a cross-validation is a fit in which the fold's rows weigh nothing, so the
passive parties' columns are prepared once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from vfl.errors import DataError, ProtocolError, SecurityError
from vfl.messages import Disclosed, Public
from vfl.models.nesterov import UNIT, Advance, Retreat, Stop
from vfl.models.whitening import OwnBlock, Whitening
from vfl.protocols.blocks import ActiveBlock, PassiveBlock
from vfl.protocols.descent import Descent, Fit, Task
from vfl.protocols.guards import check_coefficient_leak
from vfl.protocols.iterate import Iterate
from vfl.protocols.joint import Joint
from vfl.protocols.masked_sum import agree
from vfl.protocols.shared_messages import (
    CURVATURE,
    MOVES,
    Hello,
    Move,
    Offer,
    PublicKey,
    Ready,
    Start,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from vfl.checkpoint import Checkpoints
    from vfl.context import Context
    from vfl.models.families import Family
    from vfl.protocols.guards import ScoreBudget
    from vfl_crypto.sharing import SharingScheme

    Vector = NDArray[np.float64]

SCOPE: Final = "train"


@dataclass(frozen=True)
class SharedTraining:
    """What both roles know before they meet."""

    family: Family
    scheme: Callable[[Sequence[tuple[int, int]]], SharingScheme]  # for products of these shapes
    checkpoints: Checkpoints
    budget: ScoreBudget
    accept_gradient_leak: bool
    l2: float
    tolerance: float
    intercept: bool = True
    rounds: int | None = None  # at most, in one fit; without, what the budget allows
    patience: int | None = None
    held_back: float = 0.0  # share of the rows, the last, that only say when to stop

    def kept(self, rows: int) -> int:
        """How many of the rows train."""
        return rows - max(1, round(rows * self.held_back)) if self.held_back else rows


@dataclass(frozen=True)
class Trained:
    """A role's result: weights (f, k); intercepts (k,) and fits at the active party."""

    weights: Vector
    rounds: int  # of the last fit
    opened: int  # vectors of training scores, in this and earlier runs
    intercept: Vector | None = None
    fits: tuple[Fit, ...] = ()


async def passive(
    ctx: Context, training: SharedTraining, X: Vector, warm: Vector | None = None
) -> Trained:
    """p: X (n, f) are its training columns, `warm` (f, k) weights to start from."""
    active, checkpoints = ctx.roster.active, training.checkpoints
    offer = await ctx.receive(Offer, from_=active, scope=SCOPE)
    outputs = offer.outputs.value
    if offer.rows.value != len(X) or not 1 <= outputs <= len(X):
        raise ProtocolError(
            f"{active} trains on {offer.rows.value} rows with {outputs} outputs; "
            f"{ctx.name} has {len(X)} rows"
        )
    await ctx.compute(
        "compute", check_coefficient_leak, ctx.name, X[: training.kept(len(X))],
        intercept=training.intercept, accepted=training.accept_gradient_leak,
    )  # fmt: skip
    blocks = len(ctx.roster.passives) + 1
    curvature = offer.curvature.value
    if not 0 < curvature < math.inf:
        raise ProtocolError(f"{active} sent the curvature {curvature}, which bounds no loss")
    try:
        whitening = await ctx.compute("compute", Whitening.fit, X, curvature, blocks, training.l2)
    except DataError as error:
        raise DataError(f"{ctx.name}: {error}") from error
    del X
    rank = whitening.columns.shape[1]
    if not rank:
        raise DataError(
            f"{ctx.name}: none of its columns varies over the training rows, so there is nothing "
            "to learn from them; leave this party out, or check its file"
        )
    block = await ctx.compute("compute", PassiveBlock, ctx, whitening, outputs)
    await ctx.send(active, Hello(Public(checkpoints.epochs()), Public(rank)), scope=SCOPE)
    start = await ctx.receive(Start, from_=active, scope=SCOPE)
    _check_start(ctx, start, rank, len(whitening.columns))
    step, rounds, fits = start.after.value, start.rounds.value, start.fits.value
    is_warm = start.warm.value
    opened = training.budget.check(
        ctx.name, sum(start.ranks.value), _independent(outputs), fits, rounds, is_warm
    )
    message = await ctx.receive(PublicKey, from_=active, scope=SCOPE)
    public = message.key.value.tobytes()
    evaluator = await ctx.compute("encrypt", training.scheme([]).evaluator, public)
    ctx.know_key(evaluator.info)
    masker = await agree(ctx, SCOPE)
    await ctx.send(active, Ready(Public(1)), scope=SCOPE)
    zero = Iterate.zero(rank * outputs)
    starts = [zero] * fits
    if is_warm and warm is not None:
        starts[-1] = Iterate.of(whitening.coordinates(warm))
    iterate, first, round_ = starts[0], 0, 0
    checkpoints.rewind(step)
    if step:
        state = checkpoints.load(step)
        iterate, first, round_ = Iterate.from_dict(state["iterate"]), state["fit"], state["round"]
    for fit in range(first, fits):
        while True:
            at = f"{SCOPE}/{fit}/{round_}"
            if (round_ or (is_warm and fit == fits - 1)) and round_ <= rounds:
                await block.open_scores(iterate.v, evaluator, masker, at)
            move = await _receive_move(ctx, at, is_first=round_ == 0)
            if isinstance(move, Stop):
                break
            if isinstance(move, Advance):
                iterate = iterate.advance(await block.gradient(iterate.v, evaluator, at), move)
            else:
                iterate = iterate.retreat(move)
            step, round_ = step + 1, round_ + 1
            state = {"fit": fit, "round": round_, "iterate": iterate.to_dict()}
            await ctx.compute("compute", checkpoints.save, step, state)
        if fit < fits - 1:
            iterate, round_ = starts[fit + 1], 0
    u = await block.receive_weights(iterate.v, f"{SCOPE}/end")
    return Trained(whitening.weights(u), round_, opened)


async def active(
    ctx: Context,
    training: SharedTraining,
    X: Vector,
    target: Vector,
    tasks: Sequence[Task],
    warm: Vector | None = None,
) -> Trained:
    """A: X (n, f), target (n, k); a fit for each task, of which the last is the model.

    `warm` (f + intercept, k) are own weights from which the last fit starts.
    """
    family, passives, checkpoints = training.family, ctx.roster.passives, training.checkpoints
    rows, outputs = target.shape
    width = X.shape[1]
    starts = [_cold_start(training, target, task, width) for task in tasks]
    if warm is not None:
        starts[-1] = warm
    curvature = max(family.curvature(target, task.weight) for task in tasks)
    offer = Offer(Public(rows), Public(outputs), Disclosed(curvature, CURVATURE))
    await ctx.broadcast(passives, offer, scope=SCOPE)
    own = await ctx.compute(
        "compute", OwnBlock.fit, X, curvature, len(passives) + 1, training.l2, training.intercept
    )
    del X
    hellos = await ctx.gather(Hello, from_=passives, scope=SCOPE)
    ranks = [hellos[name].rank.value for name in passives]
    for name, rank in zip(passives, ranks, strict=True):
        if not 1 <= rank <= rows:
            raise ProtocolError(f"{name} sent {rank} as the rank of its columns, of {rows} rows")
    step = common_step(ctx, checkpoints, [hello.steps.value for hello in hellos.values()])
    is_warm, budget = warm is not None, training.budget
    sizes = sum(ranks), _independent(outputs), len(tasks)
    rounds = budget.rounds(training.rounds, *sizes, is_warm)
    opened = budget.check(ctx.name, *sizes, rounds, is_warm)
    shapes = [shape for rank in ranks for shape in ((rows, rank), (rank, rows + rank))]
    holder = await ctx.compute("encrypt", training.scheme(shapes).share_holder)
    ctx.know_key(holder.evaluator.info)
    if sum(ranks) * outputs > holder.openings_left:
        raise SecurityError(
            f"{ctx.name}: the passive parties have {sum(ranks) * outputs} weights, and a key may "
            f"open {holder.openings_left}; use fewer columns"
        )
    key = np.frombuffer(holder.public_key, dtype=np.uint8)
    start = Start(Public(step), Public(rounds), Public(len(tasks)), Public(is_warm), Public(ranks))
    await ctx.broadcast(passives, start, scope=SCOPE)
    await ctx.broadcast(passives, PublicKey(Public(key)), scope=SCOPE)
    await ctx.gather(Ready, from_=passives, scope=SCOPE)
    blocks = [
        ActiveBlock(ctx, name, rank, outputs) for name, rank in zip(passives, ranks, strict=True)
    ]
    joint = Joint(ctx, holder, own, curvature * (len(passives) + 1), blocks, outputs)
    first = 0
    done: list[Fit] = []
    checkpoints.rewind(step)
    stored: dict[str, Any] | None = None
    if step:
        stored = checkpoints.load(step)
        first = stored["fit"]
        done = msgspec.convert(stored["done"], list[Fit])
    for fit in range(first, len(tasks)):
        task, last = tasks[fit], fit == len(tasks) - 1
        path = Descent(training, own, target, task, rounds, joint.start(starts[fit]))
        if stored:
            path.restore(stored)
            stored = None
        while True:
            at = f"{SCOPE}/{fit}/{path.round}"
            if (path.round or (is_warm and last)) and path.round <= rounds:
                z = await joint.scores(path.point, at)
            elif path.round:  # back at the start of the last step
                z = path.scores
            else:
                z = joint.own_scores(path.point)
            move, residual = await ctx.compute("compute", path.decide, z)
            await ctx.broadcast(passives, _said(move), scope=at)
            if isinstance(move, Stop):
                break
            if isinstance(move, Advance):
                path.point = await joint.advance(path.point, residual, move, at)
            else:
                path.point = path.point.retreat(move)
            step, path.round = step + 1, path.round + 1
            state = {"fit": fit, "done": msgspec.to_builtins(done), **path.to_dict()}
            await ctx.compute("compute", checkpoints.save, step, state)
            if last:
                ctx.progress("training", path.round, rounds)
        if last:
            await joint.hand_over(path.point, f"{SCOPE}/end")
            holder.close()
        done.append(await ctx.compute("compute", path.fit, z, move))
    weights = path.point.own.v
    intercept = weights[width] if training.intercept else np.zeros(outputs)
    return Trained(weights[:width], path.round, opened, intercept, tuple(done))


def common_step(ctx: Context, checkpoints: Checkpoints, theirs: Iterable[list[int]]) -> int:
    """The last step that everybody has stored; 0 is the beginning."""
    stored = [set(steps) for steps in theirs]
    common = set(checkpoints.epochs()).intersection(*stored)
    if not common and any(stored):
        ctx.note("no step is stored at all parties: training starts over")
    return max(common, default=0)


def _independent(outputs: int) -> int:
    """Scores a row and round that do not follow from the others: those of all classes add up."""
    return max(1, outputs - 1)


def _cold_start(training: SharedTraining, target: Vector, task: Task, width: int) -> Vector:
    """No weights, and the intercepts that are best without any."""
    own = np.zeros((width + training.intercept, target.shape[1]))
    if training.intercept:
        own[-1] = training.family.start(target, task.weight)
    return own


def _said(move: Advance | Retreat | Stop) -> Move:
    sizes = []
    if not isinstance(move, Stop):
        sizes = [move.step_size]
    if isinstance(move, Advance):
        sizes.append(move.momentum)
    return Move(Public(type(move).__name__.lower()), Disclosed(sizes, MOVES))


def _check_start(ctx: Context, start: Start, rank: int, rows: int) -> None:
    """A step, rounds, fits and ranks that this job can have."""
    ranks = start.ranks.value
    possible = (
        start.after.value >= 0
        and start.rounds.value >= 1
        and 1 <= start.fits.value <= rows + 1
        and len(ranks) == len(ctx.roster.passives)
        and all(1 <= other <= rows for other in ranks)
        and ranks[ctx.roster.passives.index(ctx.name)] == rank
    )
    if not possible:
        raise ProtocolError(
            f"{ctx.roster.active} starts {start.fits.value} fits of {start.rounds.value} rounds "
            f"after step {start.after.value} with ranks {ranks}; {ctx.name} has rank {rank}"
        )


def _is_part(size: float) -> bool:
    """A multiple of 1 / UNIT from 0 to 1; NaN is none."""
    return 0 <= size <= 1 and (size * UNIT).is_integer()


async def _receive_move(ctx: Context, at: str, *, is_first: bool) -> Advance | Retreat | Stop:
    message = await ctx.receive(Move, from_=ctx.roster.active, scope=at)
    sizes = message.sizes.value
    match message.what.value, sizes:
        case "advance", [step, momentum] if _is_part(step) and step and momentum < 1:
            if _is_part(momentum):
                return Advance(step, momentum)
        case "retreat", [step] if _is_part(step) and not is_first:
            return Retreat(step)
        case "stop", []:
            return Stop(converged=True)
    raise ProtocolError(f"{ctx.roster.active} sent the move {message.what.value!r} with {sizes}")
