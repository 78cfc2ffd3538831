"""Vertical linear regression of which nothing shows but the result: no score is ever opened.

The loss is quadratic, so training needs no row once the second moments of all columns and the
label are known. Nobody may know them, so two parties share them, and train on shares:

    all      whiten their own columns: the Hessian's diagonal blocks become the identity
    all      products of each pair's tables, shared between A and the first passive p   (`moments`)
    A, p     rounds on shares of the moments and of all weights             (`quadratic`)
    A, p     each hands its share of a party's weights to that party

How many rounds and how long their steps are depends on the number of parties and on the job alone
(`models.chebyshev`), so they tell nothing; for the same reason nobody knows when the weights have
settled. Columns are centred where the model has an intercept, which each party then has its own
part of: minus the means of its columns times their weights.

A and p together could open everything; each alone, or with any other party, learns no more than
its own coefficients. Shares are divided locally, which needs exactly two of them: of three, the
sum wraps one time in four.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from vfl.errors import CheckpointError, DataError, ProtocolError, SecurityError
from vfl.messages import Disclosed, Public
from vfl.models import chebyshev
from vfl.models.whitening import Whitening
from vfl.protocols import quadratic
from vfl.protocols.blocks import HANDED_BITS, handed, read_handed
from vfl.protocols.guards import check_coefficient_leak
from vfl.protocols.iterate import WEIGHT_FRACTION
from vfl.protocols.moments import MOMENT_BITS, Layout, Sharing, table_of
from vfl.protocols.quadratic import Quadratic, Trail
from vfl.protocols.sealed_messages import OWN, Coefficients, Hello, Key, Offer, Ready, Round, Start
from vfl.protocols.shared import common_step
from vfl_crypto.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vfl.checkpoint import Checkpoints
    from vfl.context import Context
    from vfl_crypto.sharing import ShareEvaluator, ShareHolder, SharingScheme

    Vector = NDArray[np.float64]

SCOPE: Final = "train"
_SHARED: Final = 1  # the step after which the moments are shared


@dataclass(frozen=True)
class SealedTraining:
    """What all parties know before they meet."""

    scheme: Callable[[Sequence[tuple[int, int]]], SharingScheme]  # for products of these shapes
    checkpoints: Checkpoints
    l2: float
    rounds: int
    intercept: bool = True
    accept_gradient_leak: bool = False


@dataclass(frozen=True)
class Trained:
    """A party's result: weights (f,) of its columns and its part of the intercept."""

    weights: Vector
    intercept: float
    rounds: int


@dataclass(frozen=True)
class Block:
    """A party's columns: their means (f,), whitened (n, r), and the basis (f, r) back."""

    means: Vector
    columns: Vector
    basis: Vector

    @classmethod
    def fit(cls, X: Vector, training: SealedTraining) -> Self:
        """Of X (n, f). Raises `DataError` as `Whitening.fit` does."""
        means = X.mean(axis=0) if training.intercept else np.zeros(X.shape[1])
        constant = np.ptp(X, axis=0) == 0
        centred = np.where(constant & training.intercept, 0.0, X - means)
        whitening = Whitening.fit(centred, 1.0, 1, training.l2)
        return cls(means, whitening.columns, whitening.basis)

    @property
    def rank(self) -> int:
        return int(self.basis.shape[1])


async def passive(ctx: Context, training: SealedTraining, X: Vector) -> Trained:
    """p: X (n, f) are its training columns."""
    active = ctx.roster.active
    offer = await ctx.receive(Offer, from_=active, scope=SCOPE)
    if offer.rows.value != len(X):
        raise ProtocolError(f"{active} trains on {offer.rows.value} rows; {ctx.name} has {len(X)}")
    block = await ctx.compute("compute", Block.fit, X, training)
    if not block.rank:
        raise DataError(
            f"{ctx.name}: none of its columns varies over the training rows, so there is nothing "
            "to learn from them; leave this party out, or check its file"
        )
    await ctx.compute(
        "compute", check_coefficient_leak, ctx.name, X,
        intercept=training.intercept, accepted=training.accept_gradient_leak,
    )  # fmt: skip
    stored = training.checkpoints.epochs()
    await ctx.send(active, Hello(Public(stored), Public(block.rank)), scope=SCOPE)
    start = await ctx.receive(Start, from_=active, scope=SCOPE)
    ranks = start.ranks.value
    own = dict(zip(ctx.roster.data_parties, ranks, strict=False)).get(ctx.name)
    if (
        len(ranks) != len(ctx.roster.data_parties)
        or own != block.rank
        or not all(0 <= rank <= len(X) for rank in ranks)
    ):
        raise ProtocolError(f"{active} says that the tables have ranks {ranks}")
    return await _train(ctx, training, block, block.columns, ranks, start.after.value)


async def active(ctx: Context, training: SealedTraining, X: Vector, label: Vector) -> Trained:
    """A: X (n, f), label (n,) with mean 0 where the model has an intercept."""
    passives, checkpoints = ctx.roster.passives, training.checkpoints
    await ctx.broadcast(passives, Offer(Public(len(X))), scope=SCOPE)
    block = await ctx.compute("compute", Block.fit, X, training)
    hellos = await ctx.gather(Hello, from_=passives, scope=SCOPE)
    step = common_step(ctx, checkpoints, [hello.steps.value for hello in hellos.values()])
    for name in passives:
        if not 1 <= (rank := hellos[name].rank.value) <= len(X):
            raise ProtocolError(f"{name} sent {rank} as the rank of its columns, of {len(X)} rows")
    ranks = [block.rank, *(hellos[name].rank.value for name in passives)]
    await ctx.broadcast(passives, Start(Public(step), Public(ranks)), scope=SCOPE)
    table = np.column_stack([block.columns, label])
    return await _train(ctx, training, block, table, ranks, step)


async def _train(
    ctx: Context, training: SealedTraining, block: Block, table: Vector, ranks: list[int],
    step: int,
) -> Trained:  # fmt: skip
    """All parties, table (n, r) being what each brings to the products."""
    checkpoints = training.checkpoints
    layout = Layout(ctx.roster, dict(zip(ctx.roster.data_parties, ranks, strict=True)))
    shapes = [*layout.shapes(ctx.name, len(table)), quadratic.shape(layout.weights)]
    holder, evaluators = await _exchange_keys(ctx, training.scheme(shapes))
    if layout.openings(ctx.name) > holder.openings_left:
        raise SecurityError(
            f"{ctx.name} would hand {layout.openings(ctx.name)} decrypted shares to another party, "
            f"and a key may open {holder.openings_left}; use fewer columns"
        )
    checkpoints.rewind(step)
    if step:
        basis, moments = _restored(ctx.name, checkpoints.load(step), layout)
    else:
        basis = block.basis
        whole = await ctx.compute("compute", table_of, ctx.name, table)
        moments = await Sharing(ctx, layout, holder, evaluators, whole).run()
        state = {"basis": basis.tolist(), "moments": _stored(moments)}
        await ctx.compute("compute", checkpoints.save, _SHARED, state)
    shares = []
    if ctx.name in layout.trainers:
        peer = next(name for name in layout.trainers if name != ctx.name)
        goal = Quadratic(ctx, peer, holder, evaluators[peer], moments)
        u = await _descend(ctx, goal, training.rounds, layout)
        shares.append(u[_weights_of(layout, ctx.name)].modulo(HANDED_BITS))
        for name in layout.roster.data_parties:
            if name != ctx.name and layout.ranks[name]:
                limbs = handed(u[_weights_of(layout, name)], holder)
                sent = Coefficients(Disclosed(limbs, OWN))
                await ctx.send(name, sent, scope=f"{SCOPE}/end")
    else:
        for number in range(training.rounds):
            await ctx.receive(Round, from_=ctx.roster.active, scope=f"{SCOPE}/{number}")
    rank = basis.shape[1]
    for name in layout.trainers:
        if name != ctx.name and rank:
            message = await ctx.receive(Coefficients, from_=name, scope=f"{SCOPE}/end")
            shares.append(read_handed(message.values.value, rank, name))
    holder.close()
    u_own = (shares[0] + shares[1]).signed(WEIGHT_FRACTION) if rank else np.zeros(0)
    weights = basis @ u_own
    return Trained(weights, -float(block.means @ weights), training.rounds)


async def _exchange_keys(
    ctx: Context, scheme: SharingScheme
) -> tuple[ShareHolder, dict[str, ShareEvaluator]]:
    """A new key of one's own, and everybody else's public one."""
    others = [name for name in ctx.roster.data_parties if name != ctx.name]
    holder = await ctx.compute("encrypt", scheme.share_holder)
    ctx.know_key(holder.evaluator.info)
    key = Key(Public(np.frombuffer(holder.public_key, dtype=np.uint8)))
    await ctx.broadcast(others, key, scope=SCOPE)
    evaluators = {}
    for name, message in (await ctx.gather(Key, from_=others, scope=SCOPE)).items():
        public = message.key.value.tobytes()
        evaluators[name] = await ctx.compute("encrypt", scheme.evaluator, public)
        ctx.know_key(evaluators[name].info)
    await ctx.broadcast(others, Ready(Public(len(others))), scope=SCOPE)
    await ctx.gather(Ready, from_=others, scope=SCOPE)
    return holder, evaluators


async def _descend(ctx: Context, goal: Quadratic, rounds: int, layout: Layout) -> Words:
    """The own share of all weights in the end."""
    trail = Trail.zero(layout.weights)
    waiting = ctx.roster.passives[1:] if ctx.role == "active" else ()
    steps = chebyshev.steps(rounds, len(ctx.roster.data_parties))
    for number, step in enumerate(steps):
        at = f"{SCOPE}/{number}"
        trail = trail.moved(await goal.gradient(trail.u, at), step)
        await ctx.broadcast(waiting, Round(Public(number)), scope=at)
        if ctx.role == "active":
            ctx.progress("training", number + 1, rounds)
    return trail.u


def _weights_of(layout: Layout, name: str) -> slice:
    start = layout.place(name).start
    return slice(start, start + layout.ranks[name])


def _stored(moments: Words) -> str:
    return base64.b64encode(moments.packed().tobytes()).decode()


def _restored(party: str, state: dict[str, Any], layout: Layout) -> tuple[Vector, Words]:
    """Basis and moments as they were stored. Raises `CheckpointError`."""
    basis = np.array(state["basis"], dtype=np.float64)
    columns, count = len(state["basis"]), layout.kept(party) ** 2
    octets = np.frombuffer(base64.b64decode(state["moments"]), dtype=np.uint8)
    fits = len(octets) == -(-count * MOMENT_BITS // 8)
    if not fits or basis.size != columns * layout.ranks[party]:
        raise CheckpointError(
            f"{party}: what it stored is of tables with other ranks; run again without --resume"
        )
    basis = basis.reshape(columns, layout.ranks[party])
    return basis, Words.unpacked(octets, count, MOMENT_BITS)
