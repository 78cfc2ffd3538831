"""How long parties took lately: the window from which deadlines are chosen."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque


class Latencies:
    """The last `size` latencies of all parties together, in seconds, kept in order.

    A sorted window answers every quantile exactly, forgets what is long ago, and costs a
    microsecond an observation at the sizes that matter here.
    """

    def __init__(self, size: int = 256) -> None:
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []
        self._size = size

    def __len__(self) -> int:
        return len(self._ordered)

    def observe(self, latency_s: float) -> None:
        """Raises `ValueError` for what is no duration."""
        if not 0 <= latency_s < math.inf:
            raise ValueError(f"{latency_s} s is no latency")
        if len(self._recent) == self._size:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]
        self._recent.append(latency_s)
        insort(self._ordered, latency_s)

    def quantile(self, share: float) -> float:
        """The smallest latency that at least `share` of the window does not exceed."""
        if not self._ordered:
            raise ValueError("no latency was observed yet")
        return self._ordered[max(0, math.ceil(share * len(self._ordered)) - 1)]

    @property
    def mean(self) -> float:
        if not self._ordered:
            raise ValueError("no latency was observed yet")
        return sum(self._ordered) / len(self._ordered)
