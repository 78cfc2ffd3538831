"""What the roles of the coordinated protocol share, and what both data roles do alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import ProtocolError
from vfl.messages import Public
from vfl.models import linear
from vfl.protocols.arbiter_messages import EpochEnd, Gradient, PublicKey, Start, Step
from vfl.protocols.contributions import scope_of
from vfl.protocols.guards import check_gradient_leak
from vfl_crypto.linear import Matrix
from vfl_scheduler import At

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.checkpoint import Checkpoints
    from vfl.context import Context
    from vfl.spec import ModelSpec
    from vfl_crypto.linear import Ciphertext, Encryptor, LinearScheme
    from vfl_scheduler import Policy


@dataclass(frozen=True)
class Training:
    """What all roles share. `scheme` is the cipher; nothing here names which.

    `matrix_bits` are the fraction bits it keeps of an entry of X.
    """

    model: ModelSpec
    scheme: LinearScheme
    checkpoints: Checkpoints
    matrix_bits: int
    policy: Policy
    accept_gradient_leak: bool = False

    @property
    def local_steps(self) -> int:
        """The most steps that a party takes on one residual."""
        return self.policy.local_steps

    @property
    def tolerant(self) -> bool:
        """Whether training may go on without somebody."""
        return self.policy.fills or self.policy.deadline.on_lost == "drop"


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
            steps=training.local_steps,
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
        self.passes = 0  # that the arbiter has ended
        self._order: tuple[int, NDArray[np.intp]] | None = None

    async def receive_key(self, scope: str = "train") -> None:
        assert self._ctx.roster.arbiter is not None
        message = await self._ctx.receive(PublicKey, from_=self._ctx.roster.arbiter, scope=scope)
        read = self._training.scheme.encryptor
        self.encryptor = await self._ctx.compute("encrypt", read, message.key.value.tobytes())
        self._ctx.know_key(self.encryptor.info)

    def resume(self, start: Start) -> At:
        """The first round to come."""
        if start.batch_rows.value != self.batch_rows:
            raise ProtocolError(
                f"{self._ctx.name} would train on batches of {self.batch_rows} rows, the active "
                f"party on {start.batch_rows.value}: the parties' job files differ"
            )
        self.passes = start.epoch.value
        self._training.checkpoints.rewind(self.passes)
        if self.passes:
            state = self._training.checkpoints.load(self.passes)
            self._theta = np.array(state["theta"])
            self._changes = list(state["changes"])
            self._converged = state["converged"]
        return At(self.passes, 0)

    @property
    def finished(self) -> bool:
        return self._converged or self.passes >= self._training.model.descent.epochs

    def batch(self, at: At) -> Batch:
        """Of a round; with `reshuffle` the rows behind it change by pass, alike at all parties."""
        X = self._X
        if X is None:
            return self._fixed[at.batch]
        if self._order is None or self._order[0] != at.number:
            self._order = at.number, np.random.default_rng(at.number).permutation(len(X))
        rows = self._order[1][self._slices[at.batch]]
        return Batch(rows, X[rows])

    def usable(self, sent: Ciphertext) -> bool:
        """Whether it is under the key at hand, where a late one may be of an earlier key.

        Where nothing comes late a foreign key is an error of its sender, which adding up tells.
        """
        return not self._training.tolerant or sent.key_id == self.encryptor.info.key_id

    def scaled_score(self, at: At) -> NDArray[np.float64]:
        """s X theta over the rows of a round's batch."""
        X = np.asarray(self.batch(at).X, dtype=np.float64)
        return linear.slope(self._training.model) * (X @ self._theta)

    async def encrypt(
        self, values: NDArray[np.float64], onto: Ciphertext | None = None
    ) -> Ciphertext:
        return await self._ctx.compute("encrypt", self.encryptor.encrypt, values, onto)

    async def descend(self, at: At, residual: Ciphertext, steps: int) -> None:
        """So many steps on a round's residual, in which only this party's own scores move along.

        The others' stay as they were when the residual was made (FedBCD: Liu et al. 2019, arXiv
        1912.11187). One product serves all steps: X^T (d + s X m) is X^T d, encrypted,
        plus s X^T X m, m being this party's movement since the first step, which it knows.

        Raises `ProtocolError` for more steps than the job allows.
        """
        if not 1 <= steps <= self._training.local_steps:
            raise ProtocolError(
                f"{self._ctx.roster.active} asked for {steps} steps on the residual of "
                f"{scope_of(at)}; schedule.local_steps allows {self._training.local_steps}"
            )
        compute, batch, begin = self._ctx.compute, self.batch(at), self._theta
        product = await compute("compute", self.encryptor.rmatmul, batch.X, residual)
        for local in range(steps):
            own = len(batch.X) * self._ridge * self._theta
            if local:
                own += await compute("compute", self._pull, batch, self._theta - begin)
            gradient = await self.encrypt(own, product)
            message = Gradient(gradient, Public(steps - 1 - local))
            if not await self._step(message, scope_of(at, local)):
                return  # the key was replaced under way

    def _pull(self, batch: Batch, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """s X^T X m."""
        X = np.asarray(batch.X, dtype=np.float64)
        return np.asarray(linear.slope(self._training.model) * (X.T @ (X @ moved)))

    async def _step(self, gradient: Gradient, scope: str) -> bool:
        """[[X^T d + m lambda theta]] to the arbiter; its step back; theta moves, if it can."""
        ctx = self._ctx
        assert ctx.roster.arbiter is not None
        await ctx.send(ctx.roster.arbiter, gradient, scope=scope)
        message = await ctx.receive(Step, from_=ctx.roster.arbiter, scope=scope)
        step = message.values.value
        if self._training.tolerant and not step.size:
            return False
        good = step.dtype == np.float64 and step.shape == self._theta.shape
        if not good or not np.isfinite(step).all():
            raise ProtocolError(
                f"{ctx.name} got a step of {step.dtype}, shape {step.shape}, for {scope}; "
                f"{len(self._theta)} finite numbers were expected"
            )
        self._theta = self._theta - step
        return True

    async def catch_up(self, number: int) -> bool:
        """The arbiter's verdicts on all passes before `number`; whether there is a new key."""
        ctx, new_key = self._ctx, False
        assert ctx.roster.arbiter is not None
        while self.passes < number and not self.finished:
            scope = f"train/{self.passes}"
            end = await ctx.receive(EpochEnd, from_=ctx.roster.arbiter, scope=scope)
            self.passes += 1
            self._changes.append(end.change.value)
            self._converged = end.converged.value
            state = {
                "theta": self._theta.tolist(), "changes": self._changes,
                "converged": self._converged,
            }  # fmt: skip
            await ctx.compute("compute", self._training.checkpoints.save, self.passes, state)
            if end.new_key.value:
                await self.receive_key(scope)
                new_key = True
        return new_key

    def fitted(self) -> Fitted:
        return Fitted(self._theta, self.passes, self._converged, tuple(self._changes))
