"""What every party has: a name, a folder, a job it agreed to. And what data parties share."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vfl.checkpoint import Checkpoints, write_atomically
from vfl.data.coefficients import Coefficient, coefficients
from vfl.data.encode import Coding, encode, fit_codings
from vfl.data.preprocess import Preprocessor
from vfl.data.table import Table, read_table
from vfl.errors import AlignmentError, CheckpointError, DataError, JobError
from vfl.models import linear
from vfl.protocols.training import Fitted, Training
from vfl.results import PartyResult
from vfl.schemes import make_scheme, matrix_bits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.spec import JobSpec, PartySpec


TINY_STEPS = 64  # of the cipher's fixed point; a column below is all rounding


class StoredModel(msgspec.Struct, frozen=True):
    """A party's share of a model: `model.json` in its private folder. Nobody else reads it."""

    party: str
    model: str  # "logistic_regression", "linear_regression"
    names: list[str]  # the columns of its table
    weights: list[float]  # of the encoded and preprocessed columns, in the order of `names`
    intercept: float
    preprocessor: dict[str, Any]
    label_values: list[float] = []  # negative and positive class, or mean and spread of the label
    codings: list[Coding] = []


@dataclass
class Prepared:
    """A data party's aligned columns, encoded and preprocessed: float64 (n, g), training first."""

    table: Table
    X: NDArray[np.float64]
    codings: list[Coding]
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

    def read(self) -> Table:
        """The table to train on."""
        spec = self.spec
        return read_table(
            spec.data, party=spec.name, id=spec.id, label=spec.label, columns=spec.columns,
            drop=spec.drop, categorical=(spec.one_hot.columns or "text") if spec.one_hot else (),
        )  # fmt: skip

    async def prepare(self, ctx: Context, table: Table, rows: NDArray[np.intp]) -> Prepared:
        """Put the joint rows in order, fit encoding and scaling on training rows, apply both."""
        spec = self.spec
        train, held_out = linear.split(len(rows), self.job.test_fraction)
        if not train.stop:
            raise AlignmentError(
                f"{spec.name}: test_fraction {self.job.test_fraction} leaves none of the "
                f"{len(rows)} joint rows for training; lower it"
            )
        aligned = table.take(rows)
        batches = linear.batches(train.stop, self.job.model.batch_size)

        def work() -> tuple[list[Coding], Preprocessor, NDArray[np.float64]]:
            codings, fitted, values = self._fit_columns(aligned, batches)
            return codings, fitted, fitted.transform(values)

        codings, preprocessor, X = await ctx.compute("compute", work)
        step = 2.0 ** -matrix_bits(self.job.cipher)
        _refuse_tiny_columns(spec.name, preprocessor.names, X[train], TINY_STEPS * step)
        return Prepared(aligned, X, codings, preprocessor, train, held_out)

    def check_early(self, table: Table) -> None:
        """Refuse columns that cannot be encoded or filled before anything is sent."""
        self._fit_columns(table, [slice(0, len(table.ids))])

    def _fit_columns(
        self, table: Table, batches: Sequence[slice]
    ) -> tuple[list[Coding], Preprocessor, NDArray[np.float64]]:
        """Fit as this party's spec says on the rows in `batches`, which are the first of `table`.

        Also all rows, encoded: (n, g).
        """
        spec = self.spec
        codings = []
        if spec.one_hot:
            codings = fit_codings(
                table, batches, min_rows=spec.one_hot.min_rows, max_levels=spec.one_hot.max_levels
            )
        values, names = encode(table, codings)
        if not names and table.names and spec.label is None:
            raise DataError(
                f"{spec.name}, {table.source}: every column has one category in all rows, so there "
                "is nothing to learn from; check columns: and encode:"
            )
        fitted = Preprocessor.fit(
            values[: batches[-1].stop], names,
            party=f"{spec.name}, {table.source}", impute=spec.impute, scale=spec.scale,
        )  # fmt: skip
        return codings, fitted, values

    def store(self, data: Prepared, weights: NDArray[np.float64], **fields: Any) -> None:
        """Write `model.json`, and `coefficients.csv` for people to read."""
        kind = type(self.job.model).__struct_config__.tag
        model = StoredModel(
            self.spec.name, str(kind), list(data.table.names), weights.tolist(),
            preprocessor=data.preprocessor.to_dict(), codings=data.codings, **fields,
        )  # fmt: skip
        write_atomically(self.folder / "model.json", model, self.spec.name)
        lines = coefficients(
            model.names, model.codings, data.preprocessor, weights, model.intercept
        )
        self.write_csv("coefficients.csv", Coefficient._fields, lines)

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
        """A file in the private folder, floats in full. Raises `CheckpointError`."""
        path = self.folder / name
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([header, *rows])
        except OSError as error:
            raise CheckpointError(
                f"{self.spec.name}: cannot write {path}: {error.strerror}"
            ) from error
        return path

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
        table = read_table(
            self.spec.data, party=self.spec.name, id=self.spec.id, columns=model.names,
            drop=self.spec.drop, categorical=[coding.column for coding in model.codings],
        )  # fmt: skip
        values, _ = encode(table, model.codings)
        X = Preprocessor.from_dict(model.preprocessor).transform(values)
        return table, X @ np.array(model.weights)


def _refuse_tiny_columns(
    party: str, names: Sequence[str], X: NDArray[np.float64], least: float
) -> None:
    """Columns (n, f) that fixed point would turn into zeros, or nearly."""
    size = np.sqrt(np.mean(X**2, axis=0))
    tiny = [name for name, rms in zip(names, size, strict=True) if 0.0 < rms < least]
    tiny = list(dict.fromkeys(tiny))  # the columns of one category have one name
    if tiny:
        raise DataError(
            f"{party}: the values of {', '.join(tiny[:20])} are too small to be encrypted (root "
            f"mean square below {least:g}); set scale: standard, or another unit"
        )


def remarks(data: Prepared) -> list[str]:
    """What the driver is told about a party's columns: a count. Their names stay in its folder."""
    count = len(data.preprocessor.notes) + sum(not coding.width for coding in data.codings)
    return [f"{count} of its columns do not vary; its model.json names them"] if count else []
