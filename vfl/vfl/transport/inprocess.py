"""All parties on one event loop: tests, verification and the mock cipher."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, ClassVar, TypeVar

from vfl.errors import PartyLostError
from vfl.transport.base import Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
    from typing import Any

    from vfl.context import Event
    from vfl.messages import Array

A = TypeVar("A")
R = TypeVar("R")


class InProcess(Transport):
    """An end of an in-process network; make all ends of one with `network`."""

    in_process: ClassVar[bool] = True

    def __init__(self, name: str, inboxes: dict[str, asyncio.Queue[tuple[str, Array]]]) -> None:
        self._name = name
        self._inboxes = inboxes

    @classmethod
    def network(cls, names: Iterable[str]) -> dict[str, Transport]:
        """Connected ends for all `names`."""
        inboxes: dict[str, asyncio.Queue[tuple[str, Array]]] = {n: asyncio.Queue() for n in names}
        return {name: cls(name, inboxes) for name in inboxes}

    async def send(self, to: str, frame: Array) -> None:
        inbox = self._inboxes.get(to)
        if inbox is None:
            raise PartyLostError(f"{self._name} cannot reach {to}: it has left the job")
        inbox.put_nowait((self._name, frame.copy()))

    async def receive(self) -> tuple[str, Array]:
        return await self._inboxes[self._name].get()

    async def close(self) -> None:
        self._inboxes.pop(self._name, None)


def launch(
    program: Callable[[A, Transport, Callable[[Event], None]], Awaitable[R]],
    assignments: Mapping[str, A],
    on_event: Callable[[Event], None],
) -> dict[str, R]:
    """Run `program` once a party, all on one event loop, and return their results.

    The first error of any party ends all of them and is raised.
    """

    async def everyone() -> dict[str, R]:
        ends = InProcess.network(assignments)
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(as_coroutine(program(assignment, ends[name], on_event)))
                for name, assignment in assignments.items()
            }
        return {name: task.result() for name, task in tasks.items()}

    return run_apart(everyone)


def run_apart(
    main: Callable[[], Coroutine[Any, Any, R]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> R:
    """Run `main` on a loop and a thread of its own: so it works inside a notebook's event loop.

    Of a group of errors the first is raised.
    """
    outcome: list[R | BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                outcome.append(runner.run(main()))
        except BaseExceptionGroup as group:
            outcome.append(group.exceptions[0])
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=run, name="vfl-inprocess", daemon=True)
    thread.start()
    thread.join()
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


async def as_coroutine(awaitable: Awaitable[R]) -> R:
    """A task wants a coroutine."""
    return await awaitable
