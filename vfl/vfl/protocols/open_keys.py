"""The active party's key: how an epoch begins under it, and when another is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import SecurityError
from vfl.messages import Disclosed, Public
from vfl.protocols.open_messages import STOP, Epoch, PublicKey, Ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vfl.context import Context
    from vfl_crypto.sharing import ShareEvaluator, ShareHolder, SharingScheme

    Factory = Callable[[Sequence[tuple[int, int]]], SharingScheme]  # for products of these shapes


class Keys:
    """A's key, and when another is due."""

    def __init__(
        self, ctx: Context, scheme: Factory, columns: Mapping[str, int],
        sizes: Sequence[int], outputs: int,
    ) -> None:  # fmt: skip
        self._ctx = ctx
        shapes = {(f, rows) for f in columns.values() for rows in sizes if f}
        self._scheme = scheme(sorted(shapes))
        self._openings = sum(columns.values()) * outputs * len(sizes)
        self._holder: ShareHolder | None = None

    async def begin(self, epoch: int, *, stop: bool) -> ShareHolder | None:
        """Announces an epoch, under a new key if the last one may not open all of it; or the end.

        Raises `SecurityError` where no key may.
        """
        ctx, passives, at = self._ctx, self._ctx.roster.passives, f"train/{epoch}"
        holder = self._holder
        new = not stop and (holder is None or holder.openings_left < self._openings)
        await ctx.broadcast(passives, Epoch(Disclosed(stop, STOP), Public(new)), scope=at)
        if holder and (new or stop):
            holder.close()
        if stop:
            return None
        if new:
            holder = self._holder = await ctx.compute("encrypt", self._scheme.share_holder)
            if holder.openings_left < self._openings:
                raise SecurityError(
                    f"{ctx.name}: an epoch opens {self._openings} gradient entries and a key of "
                    f"this cipher {holder.openings_left}; use fewer, larger batches "
                    "(model.batch_size)"
                )
            ctx.know_key(holder.evaluator.info)
            key = np.frombuffer(holder.public_key, dtype=np.uint8)
            await ctx.broadcast(passives, PublicKey(Public(key)), scope=at)
            await ctx.gather(Ready, from_=passives, scope=at)
        return holder


async def receive_key(ctx: Context, scheme: Factory, at: str) -> ShareEvaluator:
    """p's side of a new key."""
    message = await ctx.receive(PublicKey, from_=ctx.roster.active, scope=at)
    read = scheme([]).evaluator
    evaluator = await ctx.compute("encrypt", read, message.key.value.tobytes())
    ctx.know_key(evaluator.info)
    await ctx.send(ctx.roster.active, Ready(Public(1)), scope=at)
    return evaluator
