"""What every party has: a name, a folder, a job it agreed to. And what data parties share."""

from __future__ import annotations

import csv
import hashlib
import resource
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vfl.checkpoint import Checkpoints, read_json, write_atomically
from vfl.data.coefficients import Coefficient, coefficients
from vfl.data.encode import Coding, encode, fit_codings
from vfl.data.pca import Projection
from vfl.data.preprocess import Preprocessor
from vfl.data.table import Table, read_table
from vfl.errors import AlignmentError, CheckpointError, DataError, JobError
from vfl.models import linear
from vfl.results import PartyResult
from vfl.schemes import matrix_bits
from vfl.spec import MultinomialRegression

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.models.response import Response
    from vfl.parties.outcome import Outcome
    from vfl.spec import JobSpec, PartySpec


LATE_EPOCHS = 16  # that a party may be behind another and still resume where it stood
TINY_STEPS = 64  # of the cipher's fixed point; a column below is all rounding


class StoredModel(msgspec.Struct, frozen=True):
    """A party's share of a model: `model.json` in its private folder. Nobody else reads it."""

    party: str
    model: str  # "logistic_regression", "linear_regression", ...
    names: list[str]  # the columns of its table
    weights: list[list[float]]  # (g, k) of the encoded and preprocessed columns, as in `names`,
    # or of their projection
    intercept: list[float]  # (k,), the party's part: zeros at a passive one, but for sealed models
    preprocessor: dict[str, Any]
    label_values: list[float] = []  # negative and positive class, or mean and spread of the label
    classes: list[str] = []  # of a multinomial model, at the active party
    codings: list[Coding] = []
    scores_opened: int = 0  # vectors of training scores that the active party has learnt
    projection: Projection | None = None

    @property
    def whole(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (g, k) of all encoded and preprocessed columns, and intercepts (k,) for them."""
        intercept = np.array(self.intercept)
        weights = np.array(self.weights).reshape(-1, len(intercept))
        return (
            self.projection.expand(weights, intercept) if self.projection else (weights, intercept)
        )


@dataclass
class Prepared:
    """A data party's aligned columns, training rows first.

    Encoded, preprocessed and, with `pca`, projected: float64 (n, g).
    """

    table: Table
    X: NDArray[np.float64]
    codings: list[Coding]
    preprocessor: Preprocessor
    projection: Projection | None
    train: slice
    held_out: slice

    @property
    def digest(self) -> str:
        """Of the table as it was aligned: what a resumed run must find again.

        And of its projection, but for rounding: weights so far are of those axes.
        """
        if self.projection is None:
            return self.table.digest
        axes = np.rint(np.ldexp(self.projection.matrix, 20)).astype(np.int64)
        return hashlib.sha256(self.table.digest.encode() + axes.tobytes()).hexdigest()

    @property
    def scaled(self) -> NDArray[np.float64]:
        """All columns, not projected: float64 (n, f)."""
        if self.projection is None:
            return self.X
        return self.preprocessor.transform(encode(self.table, self.codings)[0])


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

    def checkpoints(self, identity: str) -> Checkpoints:
        """Those of this run. Without `resume` earlier ones are removed."""
        model = msgspec.json.encode(self.job.model).decode()
        checkpoints = Checkpoints(
            self.folder, self.spec.name, f"{self.job.security} {model} {identity}",
            keep=LATE_EPOCHS if self.job.schedule.tolerant else 2,
        )  # fmt: skip
        if not self.resume:
            checkpoints.rewind(0)
        return checkpoints

    def result(self, ctx: Context, **fields: Any) -> PartyResult:
        return PartyResult(
            party=ctx.name, role=ctx.role, folder=str(self.folder),
            timings={str(stage): seconds for stage, seconds in ctx.timings.items()},
            entries=ctx.ledger.entries, peak_bytes=_peak_bytes(), timeline=ctx.recorder.timeline(),
            lost=[name for name in self.job.roster.passives if name not in ctx.roster.passives],
            **fields,
        )  # fmt: skip


class DataParty(Party):
    """A party with a table."""

    def read(self) -> Table:
        """The table to train on."""
        spec = self.spec
        return read_table(
            spec.data, party=spec.name, id=spec.id, label=spec.label, columns=spec.columns,
            drop=spec.drop, categorical=(spec.one_hot.columns or "text") if spec.one_hot else (),
            weight=spec.weight, classes=isinstance(self.job.model, MultinomialRegression),
        )  # fmt: skip

    async def prepare(self, ctx: Context, table: Table, rows: NDArray[np.intp]) -> Prepared:
        """Put the joint rows in order; fit encoding, scaling, pca on training rows, and apply."""
        spec = self.spec
        train, held_out = linear.split(len(rows), self.job.test_fraction)
        if not train.stop:
            raise AlignmentError(
                f"{spec.name}: test_fraction {self.job.test_fraction} leaves none of the "
                f"{len(rows)} joint rows for training; lower it"
            )
        aligned = table.take(rows)
        batches = [train]
        if self.job.opens_gradients:
            batches = linear.batches(train.stop, self.job.model.batch_size)

        def work() -> Prepared:
            codings, fitted, values = self._fit_columns(aligned, batches)
            X, projection = fitted.transform(values), None
            if spec.pca:
                projection = Projection.fit(X[train], spec.pca, fitted.party)
                if not projection.axes and spec.label is None:
                    raise DataError(
                        f"{fitted.party}: no column varies over the training rows, so pca leaves "
                        "none; check columns:"
                    )
                X = projection.compress(X)
            return Prepared(aligned, X, codings, fitted, projection, train, held_out)

        data = await ctx.compute("compute", work)
        if self.job.security == "arbiter":
            least = TINY_STEPS * 2.0 ** -matrix_bits(self.job.cipher)
            _refuse_tiny_columns(spec.name, data, least)
        return data

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

    def store(self, data: Prepared, outcome: Outcome, response: Response | None = None) -> None:
        """Write `model.json`, and `coefficients.csv` for people to read."""
        kind = type(self.job.model).__struct_config__.tag
        width = outcome.weights.shape[1]
        model = StoredModel(
            self.spec.name, str(kind), list(data.table.names), outcome.weights.tolist(),
            outcome.intercept.tolist(), data.preprocessor.to_dict(),
            list(response.values) if response else [], list(response.classes) if response else [],
            data.codings, outcome.opened, data.projection,
        )  # fmt: skip
        write_atomically(self.folder / "model.json", model, self.spec.name)
        whole, intercept = model.whole
        names = model.classes or [str(place + 1) for place in range(width)]
        several = isinstance(self.job.model, MultinomialRegression)
        lines = [
            (name, *line) if several else line
            for name, weights, own in zip(names, whole.T, intercept, strict=True)
            for line in coefficients(
                model.names, model.codings, data.preprocessor, weights, float(own)
            )
        ]
        header = ("class", *Coefficient._fields) if several else Coefficient._fields
        self.write_csv("coefficients.csv", header, lines)

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
        return read_json(self.folder / "model.json", StoredModel, self.spec.name, "train first")

    def folder_in(self, run: str) -> Path:
        """The party's private folder in another run."""
        return folder_of(self.spec, Path(run))

    def read_for(self, model: StoredModel) -> tuple[Table, NDArray[np.float64]]:
        """A new table's rows and this party's scores (n, k) for each, its intercepts included."""
        if self.spec.data is None:
            raise JobError(f"{self.spec.name} needs a table to predict on")
        table = read_table(
            self.spec.data, party=self.spec.name, id=self.spec.id, columns=model.names,
            drop=self.spec.drop, categorical=[coding.column for coding in model.codings],
        )  # fmt: skip
        values, _ = encode(table, model.codings)
        fitted = Preprocessor.from_dict(model.preprocessor)
        fitted = replace(fitted, party=f"{self.spec.name}, {table.source}")  # who errors name
        X = fitted.transform(values)
        if model.projection:
            X = model.projection.compress(X)
        weights = np.array(model.weights).reshape(-1, len(model.intercept))
        return table, X @ weights + np.array(model.intercept)


def _peak_bytes() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # elsewhere in units of 1024


def folder_of(party: PartySpec, run: Path) -> Path:
    """A party's private folder in a run: in the run's own, unless the job names another place."""
    return Path(party.folder) / run.name if party.folder else run / party.name


def _refuse_tiny_columns(party: str, data: Prepared, least: float) -> None:
    """Columns whose training rows fixed point would turn into zeros, or nearly."""
    size = np.sqrt(np.mean(data.X[data.train] ** 2, axis=0))
    tiny = (size > 0.0) & (size < least)
    if data.projection and tiny.any():
        raise DataError(
            f"{party}: pca keeps {tiny.sum()} axes along which the columns vary too little to be "
            f"encrypted (root mean square below {least:g}); lower its ratio or variance"
        )
    if tiny.any():
        named = dict.fromkeys(np.array(data.preprocessor.names)[tiny])  # a category has one name
        raise DataError(
            f"{party}: the values of {', '.join(list(named)[:20])} are too small to be encrypted "
            f"(root mean square below {least:g}); set scale: standard, or another unit"
        )


def remarks(data: Prepared) -> list[str]:
    """What the driver is told about a party's columns: a count. Their names stay in its folder."""
    count = len(data.preprocessor.notes) + sum(not coding.width for coding in data.codings)
    return [f"{count} of its columns do not vary; its model.json names them"] if count else []
