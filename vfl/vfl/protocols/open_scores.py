"""Scores of a batch that passive parties know, of which the active party learns the sum.

They go in steps of 2^-16, modulo 2^32, under pairwise masks; those of an only passive party as they
are. The sum of the rounded values is exact.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl.errors import JobError, ProtocolError
from vfl.messages import Disclosed, Masked
from vfl.protocols.open_messages import SOLE, MaskedScores, SoleScores
from vfl_crypto.secagg import round_context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl_crypto.secagg import PairwiseMasker

    Vector = NDArray[np.float64]

_FRACTION: Final = 16
_LIMIT: Final = 2.0**15  # of the sum's magnitude


async def send_scores(ctx: Context, scores: Vector, masker: PairwiseMasker | None, at: str) -> None:
    """p's scores (m, k), in steps of 2^-16."""
    if not np.abs(scores).max() < _LIMIT / len(ctx.roster.passives):
        raise JobError(
            f"{ctx.name}: training diverged: its scores leave the fixed-point range; "
            "lower model.learning_rate"
        )
    words = np.rint(np.ldexp(scores.reshape(-1), _FRACTION)).astype(np.int64)
    if masker is None:
        sole = Disclosed(words.astype(np.uint32), SOLE)
        await ctx.send(ctx.roster.active, SoleScores(sole), scope=at)
        return
    context = round_context(at, 0, 0, "scores")
    masked = masker.mask_words(words.view(np.uint64), context).astype(np.uint32)
    await ctx.send(ctx.roster.active, MaskedScores(Masked(masked, "pairwise")), scope=at)


async def receive_scores(ctx: Context, rows: int, outputs: int, at: str) -> Vector:
    """The sum (m, k) of all passive parties' scores."""
    passives = ctx.roster.passives
    if len(passives) == 1:
        sole = await ctx.receive(SoleScores, from_=passives[0], scope=at)
        parts = [sole.values.value]
    else:
        masked = await ctx.gather(MaskedScores, from_=passives, scope=at)
        parts = [message.values.value for message in masked.values()]
    if any(part.dtype != np.uint32 or part.shape != (rows * outputs,) for part in parts):
        raise ProtocolError(f"{rows * outputs} scores were expected in {at}; others were sent")
    total = functools.reduce(np.add, parts).view(np.int32)
    return np.ldexp(total.astype(np.float64), -_FRACTION).reshape(rows, outputs)
