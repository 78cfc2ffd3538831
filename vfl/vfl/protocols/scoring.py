"""Joint prediction: the active party learns, per row asked for, the sum of the passives' scores.

With two or more passive parties their scores are masked pairwise (`vfl_crypto.secagg`), so only the
sum shows. With one, the sum is that party's score: it is sent as such and declared. No key holder
takes part, so a model can be used long after its arbiter has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.declaration import Declaration, Disclosure, Flow
from vfl.errors import ProtocolError
from vfl.messages import Array, Disclosed, Masked, Message
from vfl.protocols import masked_sum
from vfl_crypto.errors import KeyMismatchError
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.secagg import round_context, unmask_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context

SCOPE = "score"
# Scores in steps of 2^-12: exact ones would tell rows with equal columns, and more, apart.
STEPS = FixedPoint(integer_bits=20, fraction_bits=12)


class MaskedScores(Message, kind="score.masked"):
    values: Masked


class SoleScores(Message, kind="score.sole"):
    values: Disclosed[Array]


DECLARATION = Declaration(
    protocol="scoring",
    flows=(
        Flow(masked_sum.MaskKey, "passive", "passive"),
        Flow(MaskedScores, "passive", "active"),
        Flow(SoleScores, "passive", "active"),
    ),
    disclosures=(
        Disclosure(
            "active", "per scored row the sum of the passive parties' scores, in steps of 2^-12"
        ),
        Disclosure(
            "active",
            "per scored row the score of the only passive party, in steps of 2^-12",
            "score.sole",
        ),
    ),
)


async def passive(ctx: Context, scores: NDArray[np.float64]) -> None:
    """scores (n, k): X_p theta_p of the rows asked for."""
    scores = scores.reshape(-1)
    masker = await masked_sum.agree(ctx, SCOPE, STEPS)
    if masker is None:
        reason = "score of the only passive party; it is the sum that is asked for"
        rounded = STEPS.decode(STEPS.encode(scores, f"a score of {ctx.name}"))
        await ctx.send(ctx.roster.active, SoleScores(Disclosed(rounded, reason)), scope=SCOPE)
        return
    masked = await ctx.compute("compute", masker.mask, scores, round_context("", 0, 0, SCOPE))
    await ctx.send(ctx.roster.active, MaskedScores(Masked(masked, "pairwise")), scope=SCOPE)


async def active(ctx: Context, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum (n, k) of all parties' scores for the rows asked for, the own ones included."""
    passives = ctx.roster.passives
    if not passives:  # all were lost
        return scores
    if len(passives) == 1:
        message = await ctx.receive(SoleScores, from_=passives[0], scope=SCOPE)
        others = message.values.value
    else:
        masked = await ctx.gather(MaskedScores, from_=passives, scope=SCOPE)
        try:
            others = unmask_sum([m.values.value for m in masked.values()], STEPS)
        except KeyMismatchError as error:
            raise ProtocolError(
                f"{ctx.name} cannot add the passive parties' scores: {error}"
            ) from error
    good = others.dtype == np.float64 and others.shape == (scores.size,)
    if not good or not np.isfinite(others).all():
        raise ProtocolError(f"{ctx.name} needs {scores.size} scores and got {len(others)}")
    return scores + others.reshape(scores.shape)
