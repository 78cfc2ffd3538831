"""Sending without waiting for slow links: a slow receiver must not hold the sender up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vfl.errors import DeadlineError, PartyLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vfl.context import Context
    from vfl.messages import Message


class Outbox:
    """Messages on their way from one party.

    on_error    is told of a send that failed
    may_miss    receivers that cannot be reached are no error: a deadline elsewhere names them
    """

    def __init__(
        self, ctx: Context, on_error: Callable[[BaseException], None], *, may_miss: bool
    ) -> None:
        self._ctx = ctx
        self._on_error = on_error
        self._may_miss = may_miss
        self._sending: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    def post(self, to: Iterable[str], message: Message, *, scope: str) -> None:
        """Send to each of `to`, at the pace of each link."""
        for name in to:
            task = asyncio.create_task(self._ctx.send(name, message, scope=scope))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    async def flush(self) -> None:
        """Wait until all is sent. Raises the first error of a send."""
        while self._sending:
            await asyncio.wait(self._sending)
        if self._error:
            raise self._error

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not (self._may_miss and isinstance(error, PartyLostError | DeadlineError)):
            self._error = self._error or error
            self._on_error(error)
