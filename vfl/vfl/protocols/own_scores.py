"""A passive party's contributions: its scores for one round, and again under a new key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.protocols.arbiter_messages import Scores
from vfl.protocols.contributions import AGAIN, scope_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.protocols.training import DataSide
    from vfl_scheduler import At


class OwnScores:
    """Sends [[s X theta]] to the active party; `keep` remembers the last ones in the clear."""

    def __init__(self, ctx: Context, side: DataSide, *, keep: bool) -> None:
        self._ctx = ctx
        self._side = side
        self._keep = keep
        self._keys = 0
        self._last: dict[int, tuple[At, NDArray[np.float64]]] = {}  # by batch

    async def send(self, at: At) -> None:
        """Contribute to a round, under a fresh encryption."""
        values = self._side.scaled_score(at)
        if self._keep:
            self._last[at.batch] = at, values
        await self._encrypted(values, scope_of(at))

    async def catch_up(self, number: int) -> None:
        """The passes before `number` are over. Under a new key all that stands in goes out anew."""
        if await self._side.catch_up(number):
            self._keys += 1
            for at, values in self._last.values():
                await self._encrypted(values, f"{scope_of(at)}{AGAIN}{self._keys}")

    async def _encrypted(self, values: NDArray[np.float64], scope: str) -> None:
        scores = await self._side.encrypt(values)
        await self._ctx.send(self._ctx.roster.active, Scores(scores), scope=scope)
