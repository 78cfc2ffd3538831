"""The passive party: features only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.parties.base import DataParty, remarks
from vfl.parties.levels import PASSIVE
from vfl.protocols import alignment, scoring

if TYPE_CHECKING:
    from vfl.context import Context
    from vfl.results import PartyResult


class PassiveParty(DataParty):
    """Aligns, trains its own weights, contributes its scores."""

    async def fit(self, ctx: Context) -> PartyResult:
        table = await ctx.compute("read", self.read)
        self.check_early(table)
        rows = await alignment.passive(ctx, table.ids, minimum=self.job.min_overlap)
        data = await self.prepare(ctx, table, rows)
        outcome = await PASSIVE[self.job.level](self, ctx, data)
        self.store(data, outcome)
        if data.held_out.stop > data.held_out.start:
            z = data.X[data.held_out] @ outcome.weights + outcome.intercept
            await scoring.passive(ctx, z)
        return self.result(
            ctx, columns=data.X.shape[1], notes=remarks(data), epochs=outcome.epochs,
            converged=outcome.converged, changes=outcome.changes,
        )  # fmt: skip

    async def predict(self, ctx: Context) -> PartyResult:
        model = self.load()
        table, scores = await ctx.compute("read", self.read_for, model)
        rows = await alignment.passive(ctx, table.ids, minimum=1)
        await scoring.passive(ctx, scores[rows])
        return self.result(ctx, rows={"table": len(table.ids), "aligned": len(rows)})
