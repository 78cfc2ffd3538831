"""Vectors of which only the sum shows: the passive parties agree on pairwise masks for a session.

Their keys go from one to the other directly, so whoever learns the sum has no part in the masks
(`vfl_crypto.secagg`). With one passive party there is nobody to hide among, and no masker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.messages import Message, Public
from vfl_crypto.secagg import SCORES, PairwiseMasker

if TYPE_CHECKING:
    from vfl.context import Context
    from vfl_crypto.fixedpoint import FixedPoint


class MaskKey(Message, kind="sum.key"):
    key: Public[bytes]


async def agree(ctx: Context, scope: str, fixed: FixedPoint = SCORES) -> PairwiseMasker | None:
    """The own masker with all others; None if it is the only one."""
    peers = [name for name in ctx.roster.passives if name != ctx.name]
    if not peers:
        return None
    masker = PairwiseMasker(ctx.name, fixed)
    await ctx.broadcast(peers, MaskKey(Public(masker.public_key)), scope=scope)
    keys = await ctx.gather(MaskKey, from_=peers, scope=scope)
    masker.agree({name: message.key.value for name, message in keys.items()})
    return masker
