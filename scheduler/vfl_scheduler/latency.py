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
        self._best: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._ordered)

    def observe(self, latency_s: float) -> None:
        """Raises `ValueError` for what is no duration."""
        if not 0 <= latency_s < math.inf:
            raise ValueError(f"{latency_s} s is no latency")
        if len(self._recent) == self._size:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]
        self._best.clear()
        self._recent.append(latency_s)
        insort(self._ordered, latency_s)

    def quantile(self, share: float) -> float:
        """The smallest latency that at least `share` of the window does not exceed."""
        if not self._ordered:
            raise ValueError("no latency was observed yet")
        return self._ordered[max(0, math.ceil(share * len(self._ordered)) - 1)]

    def best_wait(self, parties: int) -> float:
        """How long to wait for `parties` so that most new contributions come a second.

        With F the distribution in the window, a wait of D gets parties F(D) contributions and
        ends, at D or with the last, after the integral of 1 - F^parties from 0 to D. The best D
        is one of the latencies seen.
        """
        if parties not in self._best:
            self._best[parties] = self._find_best_wait(parties)
        return self._best[parties]

    def _find_best_wait(self, parties: int) -> float:
        if not self._ordered:
            raise ValueError("no latency was observed yet")
        count, best, best_rate = len(self._ordered), self._ordered[-1], 0.0
        spent = before = 0.0
        for below, latency in enumerate(self._ordered):
            spent += (latency - before) * (1 - (below / count) ** parties)
            before = latency
            rate = (below + 1) / max(spent, 1e-12)
            if rate >= best_rate:
                best, best_rate = latency, rate
        return best
