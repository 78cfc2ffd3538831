"""Messages of some kinds as they come, whatever round they are of."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from vfl.messages import Message

if TYPE_CHECKING:
    from collections.abc import Collection

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Delivery(Generic[M]):
    """A message, who sent it, in which scope, and when it came (the event loop's seconds)."""

    sender: str
    scope: str
    message: M
    at_s: float


@dataclass
class Stream(Generic[M]):
    """A queue that a `Context` fills; made by `Context.stream`."""

    kinds: Collection[type[M]]
    senders: tuple[str, ...]
    _waiting: deque[Delivery[M]] = field(default_factory=deque)
    _failure: BaseException | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, delivery: Delivery[M]) -> None:
        self._waiting.append(delivery)
        self._news.set()

    def fail(self, error: BaseException) -> None:
        """Whoever waits, now or later, gets this error."""
        self._failure = error
        self._news.set()

    def take(self) -> Delivery[M] | None:
        """What has come already. Raises the error that the stream failed with."""
        if self._waiting:
            return self._waiting.popleft()
        if self._failure:
            raise self._failure
        self._news.clear()
        return None

    async def next(self, until_s: float) -> Delivery[M] | None:
        """The next message; None if none comes until the event loop's time is `until_s`."""
        while (found := self.take()) is None:
            try:
                async with asyncio.timeout_at(until_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        return found
