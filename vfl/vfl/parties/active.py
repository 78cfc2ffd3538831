"""The active party: labels, and usually features. It alone learns predictions and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.models import metrics
from vfl.models.families import GAUSSIAN, LOGISTIC
from vfl.models.response import FAMILIES, Response
from vfl.parties.base import DataParty, Prepared, remarks
from vfl.parties.levels import ACTIVE
from vfl.protocols import alignment, scoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.results import PartyResult


class ActiveParty(DataParty):
    """Decides the order of rows, forms the residual, evaluates the model on held-out rows."""

    async def fit(self, ctx: Context) -> PartyResult:
        table = await ctx.compute("read", self.read)
        self.check_early(table)
        Response.of(self.job.model, table)
        rows = await alignment.active(
            ctx, table.ids, seed=self.job.seed, minimum=self.job.min_overlap
        )
        data = await self.prepare(ctx, table, rows)
        response = Response.of(self.job.model, data.table.take(range(data.train.stop)))
        outcome = await ACTIVE[self.job.level](self, ctx, data, response)
        self.store(data, outcome, response)
        found: dict[str, float] = {}
        if data.held_out.stop > data.held_out.start:
            z = data.X[data.held_out] @ outcome.weights + outcome.intercept
            z = await scoring.active(ctx, z)
            found = await ctx.compute("compute", self._evaluate, data, response, z)
        sizes = {
            "table": len(table.ids), "aligned": len(rows),
            "train": data.train.stop, "held_out": len(rows) - data.train.stop,
        }  # fmt: skip
        return self.result(
            ctx, columns=data.X.shape[1], notes=remarks(data), rows=sizes,
            metrics=found | outcome.metrics, epochs=outcome.epochs, converged=outcome.converged,
            changes=outcome.changes, losses=outcome.losses, opened=outcome.opened,
        )  # fmt: skip

    def _evaluate(
        self, data: Prepared, response: Response, z: NDArray[np.float64]
    ) -> dict[str, float]:
        """Held-out metrics of the joint model, and of the active party's columns alone."""
        table = data.table.take(range(data.held_out.start, data.held_out.stop))
        found = response.metrics(z, table)
        trained = response.target(data.table.take(range(data.train.stop)))[:, 0]
        scaled = data.scaled
        columns, held_out = scaled[data.train], scaled[data.held_out]
        if response.family is LOGISTIC:
            alone = metrics.logistic_baseline(columns, trained > 0, held_out)
            y = response.target(table)[:, 0] > 0
            return found | _named(metrics.binary(y, alone), "auc")
        if response.family is GAUSSIAN:
            assert data.table.label is not None
            assert table.label is not None
            fit = metrics.linear_baseline(columns, data.table.label[data.train], held_out)
            return found | _named(metrics.regression(table.label, fit), "r2")
        return found

    async def predict(self, ctx: Context) -> PartyResult:
        model = self.load()
        table, scores = await ctx.compute("read", self.read_for, model)
        rows = await alignment.active(ctx, table.ids, seed=self.job.seed, minimum=1)
        z = await scoring.active(ctx, scores[rows])
        family = FAMILIES[type(self.job.model)]
        response = Response(family, tuple(model.label_values), tuple(model.classes))
        names, columns = response.predicted(z)
        ids = (table.ids[row].decode() for row in rows)
        lines = zip(ids, *(column.tolist() for column in columns), strict=True)
        path = self.write_csv("predictions.csv", (self.spec.id, *names), lines)
        return self.result(
            ctx, rows={"table": len(table.ids), "aligned": len(rows)}, predictions=str(path)
        )


def _named(alone: dict[str, float], name: str) -> dict[str, float]:
    return {f"{name}_active_alone": alone[name]} if name in alone else {}
