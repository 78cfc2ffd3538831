"""The active party: labels, and usually features. It alone learns predictions and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.data.table import check_binary_label, check_numeric_label
from vfl.errors import DataError
from vfl.models import linear, metrics
from vfl.parties.base import DataParty, Prepared, remarks
from vfl.protocols import alignment, arbiter, scoring
from vfl.spec import LogisticRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.data.table import Table
    from vfl.results import PartyResult


class ActiveParty(DataParty):
    """Decides the order of rows, forms the residual, evaluates the model on held-out rows."""

    async def fit(self, ctx: Context) -> PartyResult:
        table = await ctx.compute("read", self.read)
        self.check_early(table)
        self._read_label(table)
        rows = await alignment.active(
            ctx, table.ids, seed=self.job.seed, minimum=self.job.min_overlap
        )
        data = await self.prepare(ctx, table, rows)
        label, values = self._read_label(data.table.take(range(data.train.stop)))
        training = self.training(table.digest)
        fitted = await arbiter.active(ctx, training, data.X[data.train], label)
        intercept = float(fitted.weights[-1]) if self.job.model.intercept else 0.0
        weights = fitted.weights[: data.X.shape[1]]
        self.store(data, weights, intercept=intercept, label_values=list(values))
        found: dict[str, float] = {}
        if data.held_out.stop > data.held_out.start:
            z = await scoring.active(ctx, data.X[data.held_out] @ weights + intercept)
            found = await ctx.compute("compute", self._evaluate, data, z, values)
        sizes = {
            "table": len(table.ids), "aligned": len(rows),
            "train": data.train.stop, "held_out": len(rows) - data.train.stop,
        }  # fmt: skip
        return self.result(
            ctx, fitted, columns=data.X.shape[1], notes=remarks(data),
            rows=sizes, metrics=found,
        )  # fmt: skip

    def _read_label(self, table: Table) -> tuple[NDArray[np.float64], tuple[float, float]]:
        """The label as the protocol wants it, and what turns scores back into it."""
        assert table.label is not None
        where = {"party": self.spec.name, "source": table.source, "name": self.spec.label or ""}
        if isinstance(self.job.model, LogisticRegression):
            return check_binary_label(table.label, **where)
        check_numeric_label(table.label, **where)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, spread = float(table.label.mean()), float(table.label.std())
        if not np.isfinite(spread):
            raise DataError(
                f"{self.spec.name}: label '{self.spec.label}' of {table.source} is too large to be "
                "standardised; use a larger unit"
            )
        return (table.label - mean) / spread, (mean, spread)

    def _evaluate(
        self, data: Prepared, z: NDArray[np.float64], values: tuple[float, float]
    ) -> dict[str, float]:
        """Held-out metrics of the joint model, and of the active party's columns alone."""
        assert data.table.label is not None
        label = data.table.label
        train, held_out = data.X[data.train], data.X[data.held_out]
        if isinstance(self.job.model, LogisticRegression):
            y = label == values[1]
            alone = metrics.logistic_baseline(train, y[data.train], held_out)
            return metrics.binary(y[data.held_out], linear.sigmoid(z)) | {
                f"{name}_active_alone": value
                for name, value in metrics.binary(y[data.held_out], alone).items()
                if name == "auc"
            }
        mean, spread = values
        fit = metrics.linear_baseline(train, label[data.train], held_out)
        return metrics.regression(label[data.held_out], mean + spread * z) | {
            f"{name}_active_alone": value
            for name, value in metrics.regression(label[data.held_out], fit).items()
            if name == "r2"
        }

    async def predict(self, ctx: Context) -> PartyResult:
        model = self.load()
        table, scores = await ctx.compute("read", self.read_for, model)
        rows = await alignment.active(ctx, table.ids, seed=self.job.seed, minimum=1)
        z = await scoring.active(ctx, scores[rows] + model.intercept)
        first, second = model.label_values
        predicted = (
            linear.sigmoid(z)
            if isinstance(self.job.model, LogisticRegression)
            else first + second * z
        )
        lines = zip((table.ids[row].decode() for row in rows), predicted.tolist(), strict=True)
        path = self.write_csv("predictions.csv", (self.spec.id, "prediction"), lines)
        return self.result(
            ctx, rows={"table": len(table.ids), "aligned": len(rows)}, predictions=str(path)
        )
