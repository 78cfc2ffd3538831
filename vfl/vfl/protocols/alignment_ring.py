"""Alignment of three or more parties: every list travels the ring of all parties.

A list goes from its owner to the next party and on, and each raises and shuffles it; the last hands
it, fully masked, to the active party. Places of joint rows go the other way, and each party undoes
its own shuffle, so that only the owner learns which of its rows they are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from vfl.messages import Disclosed, Masked
from vfl.protocols.alignment_messages import CURVE, MINE, NOT_MINE, MaskedIds, Trace
from vfl.protocols.alignment_steps import checked_places, raise_foreign, raise_own
from vfl_crypto.psi import Blinder, shuffled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.context import Context

    Rows = NDArray[np.intp]


class Ring:
    """One party's place in the ring of three or more: raises, shuffles, hands on, leads back."""

    def __init__(self, ctx: Context, ids: Sequence[bytes], salt: bytes) -> None:
        self.parties = ctx.roster.data_parties
        self._ctx = ctx
        self._ids = ids
        self._salt = salt
        self._me = self.parties.index(ctx.name)
        self._blinder = Blinder()
        self._orders: dict[str, Rows] = {}  # list's owner -> how this party shuffled it

    def _at(self, place: int) -> str:
        return self.parties[place % len(self.parties)]

    async def circulate(self) -> list[NDArray[np.uint8]]:
        """Every list through this party; the finished lists, in party order, at the active."""
        ctx, finished = self._ctx, {}
        own = self._shuffle(ctx.name, len(self._ids))
        masked = await raise_own(ctx, self._blinder, self._ids, own, self._salt)
        await self._hand_on(ctx.name, masked)
        for hop in range(1, len(self.parties)):
            owner, previous = self._at(self._me - hop), self._at(self._me - 1)
            message = await ctx.receive(MaskedIds, from_=previous, scope=f"align/{owner}/{hop}")
            points = message.points.value
            raised = await raise_foreign(ctx, self._blinder, points, previous)
            raised = raised[self._shuffle(owner, len(raised))]
            if hop < len(self.parties) - 1:
                await self._hand_on(owner, raised)
            elif ctx.role == "active":
                finished[owner] = raised
            else:
                message = MaskedIds(Masked(raised, CURVE))
                await ctx.send(ctx.roster.active, message, scope=f"align/{owner}/finished")
        if ctx.role != "active":
            return []
        for place, owner in enumerate(self.parties):
            if owner not in finished:
                last = self._at(place - 1)
                message = await ctx.receive(MaskedIds, from_=last, scope=f"align/{owner}/finished")
                finished[owner] = message.points.value
        return [finished[owner] for owner in self.parties]

    def _shuffle(self, owner: str, count: int) -> Rows:
        self._orders[owner] = shuffled(count)
        return self._orders[owner]

    async def _hand_on(self, owner: str, points: NDArray[np.uint8]) -> None:
        hop = (self._me - self.parties.index(owner)) % len(self.parties) + 1
        message = MaskedIds(Masked(points, CURVE))
        await self._ctx.send(self._at(self._me + 1), message, scope=f"align/{owner}/{hop}")

    # leading back: from the party that shuffled a list last, to its owner

    async def trace_own(self, places: Rows) -> Rows:
        """The active's own list, first: its rows decide the order of all others."""
        await self._send_trace(self._at(self._me - 1), self._ctx.name, places)
        return await self._receive_trace(self._ctx.name, len(places))

    async def trace_others(self, places: Sequence[Rows]) -> None:
        """All other lists from the active: it shuffled one of them last, and passes the rest."""
        passing = []
        for place, owner in enumerate(self.parties):
            if place == self._me:
                continue
            last = self._at(place - 1)
            if last == self._ctx.name:
                back = self._orders[owner][places[place]]
                await self._send_trace(self._at(self._me - 1), owner, back)
            else:
                await self._send_trace(last, owner, places[place])
                passing.append(owner)
        await asyncio.gather(*(self._pass_trace(owner, len(places[0])) for owner in passing))

    async def trace(self, count: int) -> Rows:
        """A passive party: lead the others' lists back, and receive its own `count` rows."""
        others = [name for name in self.parties if name != self._ctx.name]
        results = await asyncio.gather(
            self._receive_trace(self._ctx.name, count),
            *(self._pass_trace(owner, count) for owner in others),
        )
        return results[0]

    async def _pass_trace(self, owner: str, count: int) -> Rows:
        rows = await self._receive_trace(owner, count)
        await self._send_trace(self._at(self._me - 1), owner, rows)
        return rows

    async def _receive_trace(self, owner: str, count: int) -> Rows:
        """`count` places in the list of `owner` as it was before this party shuffled it."""
        ctx = self._ctx
        shuffled_last = self._at(self.parties.index(owner) - 1) == ctx.name
        from_ = ctx.roster.active if shuffled_last else self._at(self._me + 1)
        trace = await ctx.receive(Trace, from_=from_, scope=f"align/{owner}")
        order = self._orders[owner]
        return order[checked_places(trace, len(order), count, from_)]

    async def _send_trace(self, to: str, owner: str, places: Rows) -> None:
        reason = MINE if to == owner else NOT_MINE
        await self._ctx.send(to, Trace(Disclosed(places, reason)), scope=f"align/{owner}")
