"""What each party did when, and whom each round of training had.

Times are Unix seconds by the clock of the party's own machine: on one machine the same clock, on
several as close as NTP keeps them; in virtual time the seconds of the virtual clock. The newest
`LIMIT` spans and rounds are kept, so a long run's timeline stays small; counts and sums are of all.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LIMIT = 4000
JOIN_S = 1e-3  # spans this close, of one kind, are one
LEAST_S = 1e-4  # shorter spans are not kept

What = Literal["compute", "send", "wait"]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of time. `of`: the stage of a computation, or the parties sent to or waited for."""

    what: What
    begin_s: float
    end_s: float
    of: tuple[str, ...]


class Round(msgspec.Struct, frozen=True, array_like=True):
    """One round at the party that gathers: from its start to the decision to the next round.

    arrived  party -> when its contribution came, or the start if it was there by then
    filled   party -> passes since the contribution was made that stood in for it
    missing  whose contribution was neither
    """

    number: int
    batch: int
    started_s: float
    decided_s: float
    ended_s: float
    arrived: dict[str, float]
    filled: dict[str, int]
    missing: list[str]


class Attendance(msgspec.Struct, frozen=True):
    """Of how many rounds a party was part, by what; `oldest` in passes."""

    fresh: int = 0
    filled: int = 0
    missed: int = 0
    oldest: int = 0

    @property
    def rounds(self) -> int:
        return self.fresh + self.filled + self.missed


class Timeline(msgspec.Struct, frozen=True):
    """One party's account. `rounds` and `attendance` only where it gathered contributions.

    waited  party -> seconds waited for it; a wait for several counts in equal parts
    marks   when each epoch began, at the active party
    """

    spans: list[Span] = []
    rounds: list[Round] = []
    attendance: dict[str, Attendance] = {}
    waited: dict[str, float] = {}
    marks: list[float] = []


class Recorder:
    """Collects a party's timeline. Times come in seconds of the event loop's clock."""

    def __init__(self) -> None:
        self.offset_s = 0.0  # from the event loop's clock to Unix time
        self._spans: deque[Span] = deque(maxlen=LIMIT)
        self._growing: dict[What, Span] = {}  # the newest of each kind
        self._rounds: deque[Round] = deque(maxlen=LIMIT)
        self._attendance: dict[str, Attendance] = {}
        self._waited: dict[str, float] = {}
        self._marks: deque[float] = deque(maxlen=LIMIT)

    def span(self, what: What, begin_s: float, end_s: float, of: Collection[str]) -> None:
        if what == "wait":
            for name in of:
                share = (end_s - begin_s) / len(of)
                self._waited[name] = self._waited.get(name, 0.0) + share
        if end_s - begin_s < LEAST_S:
            return
        begin_s, end_s = self._unix(begin_s), self._unix(end_s)
        last, names = self._growing.get(what), tuple(sorted(of))
        if last and last.of == names and last.begin_s <= begin_s <= last.end_s + JOIN_S:
            begin_s, end_s = last.begin_s, max(last.end_s, end_s)
        elif last:
            self._spans.append(last)
        self._growing[what] = Span(what, begin_s, end_s, names)

    def round(
        self,
        at: tuple[int, int],
        times_s: tuple[float, float, float],
        arrived: Mapping[str, float],
        filled: Mapping[str, int],
        missing: Collection[str],
    ) -> None:
        """`at` pass and batch; `times_s` when it started, was decided and ended."""
        for name in arrived:
            self._attended(name, fresh=1)
        for name, age in filled.items():
            self._attended(name, filled=1, age=age)
        for name in missing:
            self._attended(name, missed=1)
        came = {name: self._unix(max(at_s, times_s[0])) for name, at_s in arrived.items()}
        started, decided, ended = (self._unix(time_s) for time_s in times_s)
        entry = Round(*at, started, decided, ended, came, dict(filled), sorted(missing))
        self._rounds.append(entry)

    def mark(self, at_s: float) -> None:
        """An epoch begins."""
        self._marks.append(self._unix(at_s))

    def timeline(self) -> Timeline:
        spans = sorted((*self._spans, *self._growing.values()), key=lambda span: span.begin_s)
        waited = {name: round(seconds, 6) for name, seconds in sorted(self._waited.items())}
        return Timeline(
            spans[-LIMIT:], list(self._rounds), self._attendance, waited, list(self._marks)
        )

    def _attended(
        self, name: str, *, fresh: int = 0, filled: int = 0, missed: int = 0, age: int = 0
    ) -> None:
        old = self._attendance.get(name, Attendance())
        self._attendance[name] = Attendance(
            old.fresh + fresh, old.filled + filled, old.missed + missed, max(old.oldest, age)
        )

    def _unix(self, at_s: float) -> float:
        return round(at_s + self.offset_s, 6)
