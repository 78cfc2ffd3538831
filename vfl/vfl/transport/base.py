"""What every transport does: carry frames between named parties, in any order, each once."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, ParamSpec, TypeVar

from vfl.messages import Array

P = ParamSpec("P")
R = TypeVar("R")


class Transport(ABC):
    """One party's end. `send` returns when the receiver's end holds the frame."""

    in_process: ClassVar[bool] = False  # True only where no other process ever sees a frame

    @abstractmethod
    async def send(self, to: str, frame: Array) -> None:
        """Deliver a uint8 frame. Raises `PartyLostError` naming `to` when it cannot be reached."""

    @abstractmethod
    async def receive(self) -> tuple[str, Array]:
        """The next frame, with the sender's name as the transport knows it."""

    @abstractmethod
    async def close(self) -> None:
        """Stop receiving."""

    def wall_s(self) -> float:
        """Now, on a clock that all parties have: Unix seconds."""
        return time.time()

    async def compute(
        self,
        stage: str,  # noqa: ARG002  what a clock of its own may charge by
        work: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Do a party's work of that stage while frames keep coming in: on a thread."""
        return await asyncio.to_thread(work, *args, **kwargs)
