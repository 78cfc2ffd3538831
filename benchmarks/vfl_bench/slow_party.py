"""One party slowed down on a real transport, in a seeded share of its rounds.

    vfl.run_job(job, program=SlowParty("p1", times=10, share=0.25, seed=1))

Before a contribution leaves, the first one apart, the party sleeps `times - 1` times as long as it
has worked since the last one: its own work takes `times` as long; links and all others are as ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np

from vfl.context import Event
from vfl.messages import Array, unpack
from vfl.program import Assignment, take_part
from vfl.protocols.arbiter_messages import Scores
from vfl.protocols.contributions import round_of
from vfl.results import PartyResult
from vfl.transport.base import Transport

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class SlowParty:
    """A program for `run_job`: `take_part`, with the end of `party` slowed down.

    share  of rounds; which ones follows from the seed, the pass and the batch alone
    """

    party: str
    times: float = 10.0
    share: float = 1.0
    seed: int = 0

    async def __call__(
        self, assignment: Assignment, transport: Transport, on_event: Callable[[Event], None]
    ) -> PartyResult:
        end = SlowEnd(transport, self) if assignment.party == self.party else transport
        return await take_part(assignment, end, on_event)

    def slowed(self, number: int, batch: int) -> bool:
        """Whether its contribution to this round is slow."""
        return bool(np.random.default_rng([self.seed, number, batch]).random() < self.share)


class SlowEnd(Transport):
    """A party's end whose contributions leave late."""

    def __init__(self, end: Transport, plan: SlowParty) -> None:
        self.in_process = end.in_process  # type: ignore[misc]
        self._end = end
        self._plan = plan
        self._worked_s: float | None = None  # since the last contribution, from the first on

    async def send(self, to: str, frame: Array) -> None:
        _, envelope, _ = unpack(frame)
        if envelope.kind == Scores.kind:
            worked_s, self._worked_s = self._worked_s, 0.0
            if worked_s and self._plan.slowed(*round_of(envelope.scope, envelope.sender)):
                await asyncio.sleep((self._plan.times - 1) * worked_s)
        await self._end.send(to, frame)

    async def receive(self) -> tuple[str, Array]:
        return await self._end.receive()

    async def close(self) -> None:
        await self._end.close()

    def wall_s(self) -> float:
        return self._end.wall_s()

    async def compute(
        self, stage: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        begin = time.perf_counter()
        try:
            return await self._end.compute(stage, work, *args, **kwargs)
        finally:
            if self._worked_s is not None:
                self._worked_s += time.perf_counter() - begin
