"""Whose seconds a job takes: what every protocol's forecast adds up in the same way.

Parties on machines of their own work side by side and share a link, so the slowest counts; parties
on one machine share its processors, so all count.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from vfl.planner.alignment import send_alignment, send_scores
from vfl.planner.forecast import PartyForecast
from vfl.planner.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.planner.counting import Size
    from vfl.planner.shape import Shape
    from vfl.planner.units import Link, Units

RAY_MESSAGE: Final = 3e-3
"""Seconds that a message between two Ray actors takes beside its bytes; measured once."""

BASELINE: Final = 2.5
"""Seconds in which the active party loads scikit-learn and fits its own columns; measured once."""

NUMBER: Final = 0.1
"""What a cell that is a number already takes to be read, of one that is parsed; measured once."""


class Timing:
    """One job: seconds by party and stage, and what crosses each border."""

    def __init__(
        self, shape: Shape, units: Units, link: Link, *, ray: bool,
        tables: Mapping[str, Size] | None = None,
    ) -> None:  # fmt: skip
        self.shape, self.units, self.link = shape, units, link
        self.roster = shape.roster
        self.data = self.roster.data_parties
        self.tables = tables or {}
        self.message = RAY_MESSAGE if ray else units.message
        self.traffic = Traffic()
        self.seconds = {name: defaultdict[str, float](float) for name in self.roster.roles}

    def book(self, party: str, stage: str, seconds: float) -> float:
        """The same seconds, after they were added to the party's."""
        self.seconds[party][stage] += seconds
        return seconds

    def at_once(self, seconds: Mapping[str, float]) -> float:
        """Until all are done that begin together."""
        return sum(seconds.values()) if self.link.local else max(seconds.values(), default=0.0)

    def carried(self, size: float, count: int = 1) -> float:
        """Seconds of `count` messages of `size` bytes together, through one party's link."""
        return (
            self.link.latency + count * self.message
            + self.link.seconds(size) + 2 * size * self.units.byte
        )  # fmt: skip

    def read(self) -> float:
        """All tables, and their principal axes where a party asks for them."""
        seconds = {}
        for name in self.data:
            cell = self.units.read_cell * (1.0 if self.is_text(name) else NUMBER)
            cells = self.shape.rows[name] * (self.shape.read(name) + 1)
            pairs = self.shape.train * self.shape.before.get(name, 0) ** 2
            seconds[name] = self.book(name, "read", cells * cell)
            seconds[name] += self.book(name, "compute", pairs * self.units.leverage)
        return self.at_once(seconds)

    def align(self) -> float:
        size = send_alignment(self.traffic, self.shape)
        foreign = sum(self.shape.rows.values())
        busy = {}
        for name in self.data:
            own = self.shape.rows[name]
            points = own * self.units.own_point + (foreign - own) * self.units.foreign_point
            busy[name] = self.book(name, "align", points)
        return self.at_once(busy) + self.carried(size, 2 * len(self.data))

    def score(self) -> float:
        """The held-out rows, where there are any, and what they are compared with."""
        if not self.shape.held_out:
            return 0.0
        size = send_scores(self.traffic, self.shape)
        return self.book(self.roster.active, "compute", BASELINE) + self.carried(size)

    def wait(self, total: float) -> None:
        """Whoever is not busy waits."""
        for booked in self.seconds.values():
            booked["wait"] = max(0.0, total - sum(booked.values()))

    def party(self, name: str, memory: dict[str, int]) -> PartyForecast:
        return PartyForecast(
            name, self.roster.roles[name], dict(self.seconds[name]),
            self.traffic.by_kind(name, 0), self.traffic.by_kind(name, 1), memory,
        )  # fmt: skip

    def is_text(self, name: str) -> bool:
        """Whether a party's table is parsed from text, as far as is known."""
        return name not in self.tables or self.tables[name].text
