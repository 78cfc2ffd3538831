"""What every party has: a name, a folder, a job it agreed to. And what data parties share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vfl.checkpoint import Checkpoints, write_atomically
from vfl.data.preprocess import Preprocessor
from vfl.data.table import Table, read_table
from vfl.errors import AlignmentError, CheckpointError, DataError, JobError
from vfl.models import linear
from vfl.protocols.training import Fitted, Training
from vfl.results import PartyResult
from vfl.schemes import make_scheme, matrix_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.spec import JobSpec, PartySpec


TINY_STEPS = 64  # of the cipher's fixed point; a column below is all rounding


class StoredModel(msgspec.Struct, frozen=True):
    """A party's share of a model: `model.json` in its private folder. Nobody else reads it."""

    party: str
    model: str  # "logistic_regression", "linear_regression"
    names: list[str]
    weights: list[float]  # of the preprocessed columns, in the order of `names`
    intercept: float
    preprocessor: dict[str, Any]
    label_values: list[float] = []  # negative and positive class, or mean and spread of the label


@dataclass
class Prepared:
    """A data party's aligned columns, preprocessed: float64 (n, f), training rows first."""

    table: Table
    X: NDArray[np.float64]
    preprocessor: Preprocessor
    train: slice
    held_out: slice


class Party(ABC):
    """One participant in one job. `fit` and `predict` are its side of the protocols."""

    def __init__(self, job: JobSpec, spec: PartySpec, folder: Path, *, resume: bool) -> None:
        self.job = job
        self.spec = spec
        self.folder = folder
        self.resume = resume

    @abstractmethod
    async def fit(self, ctx: Context) -> PartyResult:
        """Train, store the own share of the model, report."""

    @abstractmethod
    async def predict(self, ctx: Context) -> PartyResult:
        """Score the joint rows of new tables with the stored model."""

    def training(self, identity: str) -> Training:
        """What the training protocol needs. Without `resume` earlier checkpoints are removed."""
        model = msgspec.json.encode(self.job.model).decode()
        checkpoints = Checkpoints(self.folder, self.spec.name, f"{model} {identity}")
        if not self.resume:
            checkpoints.rewind(0)
        cipher = self.job.cipher
        return Training(
            self.job.model, make_scheme(cipher), checkpoints, matrix_bits(cipher),
            self.job.accept_gradient_leak,
        )  # fmt: skip

    def result(self, ctx: Context, fitted: Fitted | None = None, **fields: Any) -> PartyResult:
        if fitted:
            fields |= {
                "epochs": fitted.epochs, "converged": fitted.converged,
                "changes": list(fitted.changes),
            }  # fmt: skip
        return PartyResult(
            party=ctx.name, role=ctx.role, folder=str(self.folder),
            timings={str(stage): seconds for stage, seconds in ctx.timings.items()},
            entries=ctx.ledger.entries, **fields,
        )  # fmt: skip


class DataParty(Party):
    """A party with a table."""

    def read(self, columns: list[str] | None, label: str | None) -> Table:
        spec = self.spec
        return read_table(
            spec.data, party=spec.name, id=spec.id, label=label, columns=columns, drop=spec.drop
        )

    async def prepare(self, ctx: Context, table: Table, rows: NDArray[np.intp]) -> Prepared:
        """Put the joint rows in order, fit the preprocessing on the training rows, apply it."""
        spec = self.spec
        train, held_out = linear.split(len(rows), self.job.test_fraction)
        if not train.stop:
            raise AlignmentError(
                f"{spec.name}: test_fraction {self.job.test_fraction} leaves none of the "
                f"{len(rows)} joint rows for training; lower it"
            )
        aligned = table.take(rows)

        def work() -> tuple[Preprocessor, NDArray[np.float64]]:
            fitted = self.fit_preprocessing(table, aligned.values[train])
            return fitted, fitted.transform(aligned.values)

        preprocessor, X = await ctx.compute("compute", work)
        step = 2.0 ** -matrix_bits(self.job.cipher)
        _refuse_tiny_columns(spec.name, table.names, X[train], TINY_STEPS * step)
        return Prepared(aligned, X, preprocessor, train, held_out)

    def check_early(self, table: Table) -> None:
        """Refuse missing values without a rule before anything is sent."""
        self.fit_preprocessing(table, table.values)

    def fit_preprocessing(self, table: Table, values: NDArray[np.float64]) -> Preprocessor:
        """Fit as this party's spec says on some rows (n, f) of `table`."""
        spec = self.spec
        return Preprocessor.fit(
            values, table.names,
            party=f"{spec.name}, {table.source}", impute=spec.impute, scale=spec.scale,
        )  # fmt: skip

    def store(self, model: StoredModel) -> None:
        write_atomically(self.folder / "model.json", model, self.spec.name)

    def load(self) -> StoredModel:
        path = self.folder / "model.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=StoredModel)
        except (OSError, msgspec.MsgspecError) as error:
            raise CheckpointError(
                f"{self.spec.name}: cannot read its model {path} ({error}); train first"
            ) from error

    def read_for(self, model: StoredModel) -> tuple[Table, NDArray[np.float64]]:
        """A new table's rows and this party's score (n,) for each, before the intercept."""
        if self.spec.data is None:
            raise JobError(f"{self.spec.name} needs a table to predict on")
        table = self.read(columns=model.names, label=None)
        X = Preprocessor.from_dict(model.preprocessor).transform(table.values)
        return table, X @ np.array(model.weights)


def _refuse_tiny_columns(
    party: str, names: Sequence[str], X: NDArray[np.float64], least: float
) -> None:
    """Columns (n, f) that fixed point would turn into zeros, or nearly."""
    size = np.sqrt(np.mean(X**2, axis=0))
    tiny = [name for name, rms in zip(names, size, strict=True) if 0.0 < rms < least]
    if tiny:
        raise DataError(
            f"{party}: the values of {', '.join(tiny[:20])} are too small to be encrypted (root "
            f"mean square below {least:g}); set scale: standard, or another unit"
        )


def remarks(data: Prepared) -> list[str]:
    """What the driver is told about a party's columns: a count. Their names stay in its folder."""
    count = len(data.preprocessor.notes)
    return [f"{count} of its columns do not vary; its model.json names them"] if count else []
