"""An asyncio event loop on virtual time: when nothing is ready, it is the time of the next timer.

Nothing sleeps, so a deadline of five minutes passes in no time, and nothing depends on how fast
this machine is. What would wait for something outside the loop is an error: a thread's work cannot
be waited for in virtual time, and where no timer is left, nothing will ever happen.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, NoReturn

from vfl.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable


class _Jump(selectors.SelectSelector):
    """Instead of waiting for files, moves the clock on by the time it was asked to wait."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlineError(
                f"nothing is left that could happen after {self.now_s:.3f} s of virtual time, and "
                f"{_waiting()}"
            )
        self.now_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0 and is moved on by timers alone.

    Raises `DeadlineError`, naming each task and what it waits in, when nothing is left to happen.
    """

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> NoReturn:  # type: ignore[override]  # noqa: ARG002
        raise RuntimeError(
            "work on a thread takes real time, which a virtual clock does not know; "
            "give it to Context.compute"
        )


def _waiting() -> str:
    """Which tasks wait, in what: those with names, if any have one."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    named = [task for task in tasks if not task.get_name().startswith("Task-")]
    return ", ".join(f"{t.get_name()} waits in {_innermost(t)}" for t in named or tasks)


def _innermost(task: asyncio.Task[Any]) -> str:
    """The name of the innermost coroutine that is not of asyncio itself."""
    inner: Any = task.get_coro()
    name = inner.__qualname__
    while hasattr(inner, "cr_await"):
        if inner.cr_frame and not inner.cr_frame.f_globals["__name__"].startswith("asyncio"):
            name = inner.__qualname__
        inner = inner.cr_await
    return str(name)
