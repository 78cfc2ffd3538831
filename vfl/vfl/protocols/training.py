"""What the roles of the coordinated protocol share, and what both data roles do alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import ProtocolError
from vfl.models import linear
from vfl.protocols.arbiter_messages import EpochEnd, Gradient, PublicKey, Start, Step
from vfl.protocols.guards import check_gradient_leak
from vfl_crypto.linear import Matrix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from vfl.checkpoint import Checkpoints
    from vfl.context import Context
    from vfl.spec import ModelSpec
    from vfl_crypto.linear import Ciphertext, Encryptor, LinearScheme


@dataclass(frozen=True)
class Training:
    """What all roles share. `scheme` is the cipher; nothing here names which.

    `matrix_bits` are the fraction bits it keeps of an entry of X.
    """

    model: ModelSpec
    scheme: LinearScheme
    checkpoints: Checkpoints
    matrix_bits: int
    accept_gradient_leak: bool = False


@dataclass(frozen=True)
class Fitted:
    """A role's result: its own weights (f,), empty at the arbiter, and how training went."""

    weights: NDArray[np.float64]
    epochs: int
    converged: bool
    changes: tuple[float, ...]  # Euclidean length of all parties' movement, per epoch


@dataclass(frozen=True)
class Batch:
    """Which training rows, and their columns; a fixed batch as a `Matrix`, prepared once."""

    rows: slice | NDArray[np.intp]
    X: NDArray[np.float64] | Matrix


class DataSide:
    """What the active and the passive coroutine do alike: weights, batches, gradient steps.

    It holds the rows of fixed batches as matrices, and X itself only where batches change.
    """

    encryptor: Encryptor

    def __init__(
        self,
        ctx: Context,
        training: Training,
        X: NDArray[np.float64],
        penalised: NDArray[np.float64],
    ) -> None:
        model = training.model
        slices = linear.batches(len(X), model.batch_size)
        check_gradient_leak(
            ctx.name, X, slices, matrix_bits=training.matrix_bits,
            reshuffled=model.reshuffle, accepted=training.accept_gradient_leak,
        )  # fmt: skip
        self.batch_rows = [rows.stop - rows.start for rows in slices]
        self._ctx = ctx
        self._training = training
        self._slices = slices
        self._X = X if model.reshuffle else None
        self._fixed = [] if model.reshuffle else [Batch(rows, Matrix(X[rows])) for rows in slices]
        self._ridge = model.l2 * penalised
        self._theta = np.zeros(X.shape[1])
        self._changes: list[float] = []
        self._converged = False

    async def receive_key(self, scope: str = "train") -> None:
        assert self._ctx.roster.arbiter is not None
        message = await self._ctx.receive(PublicKey, from_=self._ctx.roster.arbiter, scope=scope)
        read = self._training.scheme.encryptor
        self.encryptor = await self._ctx.compute("encrypt", read, message.key.value.tobytes())
        self._ctx.know_key(self.encryptor.info)

    def resume(self, start: Start) -> int:
        if start.batch_rows.value != self.batch_rows:
            raise ProtocolError(
                f"{self._ctx.name} would train on batches of {self.batch_rows} rows, the active "
                f"party on {start.batch_rows.value}: the parties' job files differ"
            )
        epoch = start.epoch.value
        self._training.checkpoints.rewind(epoch)
        if epoch:
            state = self._training.checkpoints.load(epoch)
            self._theta = np.array(state["theta"])
            self._changes = list(state["changes"])
            self._converged = state["converged"]
        return epoch

    def finished(self, epoch: int) -> bool:
        return self._converged or epoch >= self._training.model.descent.epochs

    def epoch_batches(self, epoch: int) -> Iterable[Batch]:
        """The batches; with `reshuffle` the rows behind them change, alike at all parties."""
        X = self._X
        if X is None:
            return self._fixed
        order = np.random.default_rng(epoch).permutation(len(X))
        return (Batch(order[rows], X[order[rows]]) for rows in self._slices)

    def scaled_score(self, batch: Batch) -> NDArray[np.float64]:
        """s X theta over the rows of a batch."""
        return linear.slope(self._training.model) * (
            np.asarray(batch.X, dtype=np.float64) @ self._theta
        )

    async def encrypt(
        self, values: NDArray[np.float64], onto: Ciphertext | None = None
    ) -> Ciphertext:
        return await self._ctx.compute("encrypt", self.encryptor.encrypt, values, onto)

    async def step(self, batch: Batch, residual: Ciphertext, at: str) -> None:
        """[[X^T d + m lambda theta]] to the arbiter; its step back; theta moves."""
        ctx = self._ctx
        assert ctx.roster.arbiter is not None
        product = await ctx.compute("compute", self.encryptor.rmatmul, batch.X, residual)
        gradient = await self.encrypt(len(batch.X) * self._ridge * self._theta, product)
        await ctx.send(ctx.roster.arbiter, Gradient(gradient), scope=at)
        message = await ctx.receive(Step, from_=ctx.roster.arbiter, scope=at)
        step = message.values.value
        good = step.dtype == np.float64 and step.shape == self._theta.shape
        if not good or not np.isfinite(step).all():
            raise ProtocolError(
                f"{ctx.name} got a step of {step.dtype}, shape {step.shape}, for {at}; "
                f"{len(self._theta)} finite numbers were expected"
            )
        self._theta = self._theta - step

    async def end_epoch(self, epoch: int) -> int:
        """The arbiter's verdict, a checkpoint, perhaps a new key. Returns the next epoch."""
        ctx = self._ctx
        assert ctx.roster.arbiter is not None
        end = await ctx.receive(EpochEnd, from_=ctx.roster.arbiter, scope=f"train/{epoch}")
        self._changes.append(end.change.value)
        self._converged = end.converged.value
        state = {
            "theta": self._theta.tolist(), "changes": self._changes, "converged": self._converged
        }  # fmt: skip
        await ctx.compute("compute", self._training.checkpoints.save, epoch + 1, state)
        if end.new_key.value:
            await self.receive_key(f"train/{epoch}")
        return epoch + 1

    def fitted(self, epoch: int) -> Fitted:
        return Fitted(self._theta, epoch, self._converged, tuple(self._changes))
