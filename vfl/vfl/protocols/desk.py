"""Where the arbiter opens gradients: each party's as it comes, with an optimiser of its own.

An optimiser works column by column, so a party's steps are the same whether its gradient is opened
beside the others' or alone. A gradient says how many of its sender's local steps follow it. What
was encrypted under a key that has been replaced is not opened: its sender gets an empty step and
contributes anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import JobError, ProtocolError, SecurityError
from vfl.messages import Disclosed, Message, Public
from vfl.models.optimizer import Optimizer
from vfl.outbox import Outbox
from vfl.protocols.arbiter_messages import (
    MOVED,
    Done,
    EpochEnd,
    Finished,
    Gradient,
    PublicKey,
    Start,
    Step,
)
from vfl.protocols.contributions import SCOPE, round_of, scope_of
from vfl.protocols.guards import OPENED_BITS
from vfl.protocols.training import Fitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.protocols.training import Training
    from vfl.stream import Delivery, Stream
    from vfl_crypto.linear import Ciphertext, KeyHolder
    from vfl_crypto.release import Released
    from vfl_scheduler import At

STEP = "the optimiser's step on the receiver's own columns"
NO_STEP = "no step: the gradient was under a key that has been replaced"


class Desk:
    """The arbiter's keys, optimisers and counts."""

    holder: KeyHolder

    def __init__(self, ctx: Context, training: Training) -> None:
        self.parties = ctx.roster.data_parties
        self.outdated = 0
        self._ctx = ctx
        self._training = training
        descent = training.model.descent
        self._optimizers = {
            name: Optimizer(descent.optimizer, descent.learning_rate, descent.decay)
            for name in self.parties
        }
        self._columns: dict[str, int] = {}
        self._quanta: dict[str, float] = {}  # how finely each was opened first; never finer later
        self._changes: list[float] = []
        self._converged = False
        self._pass = 0
        self._batch_rows: list[int] = []
        self._moved: dict[str, NDArray[np.float64]] = {}  # in this pass
        self._served: dict[str, int] = {}  # rounds
        self._due: dict[str, tuple[At, int, range]] = {}  # the local step that must follow
        self._stream: Stream[Message] = ctx.stream(Gradient, Done, Finished, from_=(*self.parties,))
        may_miss = training.tolerant or training.policy.deadline.on_lost == "wait"
        self._outbox = Outbox(ctx, self._stream.fail, may_miss=may_miss)

    @property
    def finished(self) -> bool:
        return self._converged or self._pass >= self._training.model.descent.epochs

    async def new_key(self, scope: str) -> None:
        """A new key, its public part with everybody."""
        ctx = self._ctx
        self.holder = await ctx.compute("encrypt", self._training.scheme.generate)
        ctx.know_key(self.holder.encryptor.info)
        key = np.frombuffer(self.holder.public_key, dtype=np.uint8)
        self._outbox.post(self.parties, PublicKey(Public(key)), scope=scope)

    def resume(self, start: Start) -> None:
        """Continue where everybody does."""
        active, checkpoints = self._ctx.roster.active, self._training.checkpoints
        self._batch_rows, self._pass = start.batch_rows.value, start.epoch.value
        if min(self._batch_rows, default=0) < 1:
            raise ProtocolError(f"{active} announced batches of {self._batch_rows} rows")
        checkpoints.rewind(self._pass)
        if self._pass:
            state = checkpoints.load(self._pass)
            for name, optimizer in self._optimizers.items():
                optimizer.restore(state["optimizers"][name])
            self._changes, self._converged = state["changes"], state["converged"]
            self._quanta = state["quanta"]

    async def serve_pass(self) -> None:
        """Open gradients until all parties have sent those of the pass's last batch.

        Where training goes on without somebody, the active party's are enough.
        """
        self._moved, self._served = {}, dict.fromkeys(self.parties, 0)
        needed = {self._ctx.roster.active} if self._training.tolerant else set(self.parties)
        waiting: list[Delivery[Message]] = []
        patient = self._training.tolerant or self._training.policy.deadline.on_lost == "wait"
        if not self._columns and not patient:
            waiting = await self._first_gradients()
        while needed:
            found = waiting.pop() if waiting else await self._next(self._served)
            at = await self._serve(found)
            if at is None:
                continue
            if at.batch == len(self._batch_rows) - 1 and at.number == self._pass:
                needed.discard(found.sender)

    async def end_pass(self) -> None:
        """Say how far all moved, and whether that was the end; perhaps change the key."""
        residuals = len(self._batch_rows) + self._training.tolerant  # a late one on top
        gradients = residuals * self._training.local_steps
        budget = sum(self._columns.values()) * gradients
        everybody = len(self._moved) == len(self.parties)
        moved = [self._moved[name] for name in self.parties if name in self._moved]
        with np.errstate(over="ignore"):  # a diverging run is refused at its next step
            self._changes.append(float(np.linalg.norm(np.concatenate(moved))))
        self._converged = everybody and self._changes[-1] <= self._training.model.tolerance
        scope = f"{SCOPE}/{self._pass}"
        self._pass += 1
        new_key = self.holder.openings_left < budget and not self.finished
        state = {
            "optimizers": {name: one.to_dict() for name, one in self._optimizers.items()},
            "changes": self._changes, "converged": self._converged, "quanta": self._quanta,
        }  # fmt: skip
        self._training.checkpoints.save(self._pass, state)
        change = Disclosed(float(f"{self._changes[-1]:.3g}"), MOVED)
        end = EpochEnd(Public(self._converged), Public(new_key), change)
        self._outbox.post(self.parties, end, scope=scope)
        if new_key:
            self.holder.close()
            await self.new_key(scope)

    async def close(self) -> None:
        """Serve who still takes a last step; then forget the key."""
        present, done = None, set()
        while self._training.tolerant and (present is None or not present <= done):
            late = self.parties if present is None else sorted(present - done)
            found = await self._ctx.next(self._stream, SCOPE, late)
            if isinstance(found.message, Finished):
                present = set(found.message.passives.value)
            elif isinstance(found.message, Done):
                done.add(found.sender)
            else:
                await self._serve(found)
        await self._outbox.flush()
        self.holder.close()

    def fitted(self) -> Fitted:
        return Fitted(np.zeros(0), self._pass, self._converged, tuple(self._changes))

    async def _serve(self, found: Delivery[Message]) -> At | None:
        """The round whose last gradient this was; None if local steps follow."""
        name, at = found.sender, round_of(found.scope, found.sender)
        if not isinstance(found.message, Gradient):
            raise ProtocolError(f"{name} sent {found.message.kind!r} while training goes on")
        gradient, left = found.message.values, found.message.left.value
        self._in_turn(found, at, left)
        if self._training.tolerant and gradient.key_id != self.holder.encryptor.info.key_id:
            self.outdated += 1
            self._due.pop(name, None)
            self._outbox.post([name], Step(Disclosed(np.zeros(0), NO_STEP)), scope=found.scope)
            return at
        if not 0 <= at.batch < len(self._batch_rows):
            raise ProtocolError(f"{name} sent a gradient of {found.scope}, which is no batch")
        if gradient.count != self._columns.setdefault(name, gradient.count):
            raise ProtocolError(
                f"{name}'s gradient has {gradient.count} columns in {scope_of(at)}, "
                f"{self._columns[name]} before"
            )
        which = f"{name}/{at.batch}"
        released = await self._ctx.compute(
            "encrypt", _open, self.holder, gradient, self._quanta.get(which, 0.0)
        )
        self._quanta[which] = released.quantum
        with np.errstate(over="ignore", invalid="ignore"):  # found and named below
            step = self._optimizers[name].step(
                released.values / self._batch_rows[at.batch], at.number
            )
        if not np.isfinite(step).all():
            raise JobError(f"training diverged in epoch {at.number + 1}; lower model.learning_rate")
        self._moved[name] = self._moved[name] + step if name in self._moved else step
        self._outbox.post([name], Step(Disclosed(step, STEP)), scope=found.scope)
        if left:
            return None
        self._served[name] += 1
        return at

    def _in_turn(self, found: Delivery[Message], at: At, left: int) -> None:
        """Local steps come one after the other, as announced. Raises `ProtocolError`."""
        first = at, 0, range(self._training.local_steps)
        at, local, allowed = self._due.pop(found.sender, first)
        if found.scope != scope_of(at, local) or left not in allowed:
            raise ProtocolError(
                f"{found.sender} sent a gradient of {found.scope} with {left} more to follow; "
                f"{scope_of(at, local)} with {allowed.start} to {allowed.stop - 1} was expected"
            )
        if left:
            self._due[found.sender] = at, local + 1, range(left - 1, left)

    async def _first_gradients(self) -> list[Delivery[Message]]:
        """Of all parties: a key is changed between passes, so one must do for the first one."""
        found: dict[str, Delivery[Message]] = {}
        while len(found) < len(self.parties):
            delivery = await self._next({name: name in found for name in self.parties})
            found[delivery.sender] = delivery
        counts = [
            one.message.values.count for one in found.values() if isinstance(one.message, Gradient)
        ]
        needed, left = sum(counts) * len(self._batch_rows), self.holder.openings_left
        if needed > left:
            raise SecurityError(
                f"{self._ctx.name}: this epoch needs {needed} more opened values and its key "
                f"allows {left}; use fewer, larger batches (model.batch_size)"
            )
        return list(found.values())

    async def _next(self, progress: Mapping[str, int]) -> Delivery[Message]:
        """The next message; those that are behind are waited for."""
        least = min(progress.values())
        late = [name for name, count in progress.items() if count == least]
        return await self._ctx.next(self._stream, f"{SCOPE}/{self._pass}", late)


def _open(holder: KeyHolder, gradient: Ciphertext, quantum: float) -> Released:
    if gradient.layout != "sums":
        raise ProtocolError(f"asked to open {gradient.layout!r}: only sums over rows are opened")
    return holder.release(holder.decrypt(gradient), OPENED_BITS, quantum)
