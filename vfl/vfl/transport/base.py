"""What every transport does: carry frames between named parties, in any order, each once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from vfl.messages import Array


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
