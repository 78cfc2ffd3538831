"""How long a call takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def best(work: Callable[[], T], times: int) -> tuple[float, T]:
    """The least seconds of a few calls, for others at work only add; what the last returned."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - begin)
    return min(taken), result
