"""Seconds, bytes and memory of a job under the coordinated protocol (`vfl.protocols.arbiter`).

    read, align       each party by itself
    keys              made, sent to each data party, read
    a round           passives encrypt | the active party adds on | all multiply and depart |
                      the arbiter opens one gradient after the other
    score             the held-out rows

Parties on machines of their own work side by side and share a link, so the slowest counts; parties
on one machine share its processors, so all count.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from vfl.planner.alignment import send_alignment, send_scores
from vfl.planner.forecast import Forecast, PartyForecast
from vfl.planner.memory import data_memory
from vfl.planner.traffic import Traffic
from vfl.planner.training import send_training
from vfl.protocols import arbiter_messages as messages
from vfl_crypto.errors import EncodingOverflowError
from vfl_crypto.lattice.product import DEFAULT_BUDGET_BYTES as TILES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vfl.planner.ciphers import Batch, Cipher
    from vfl.planner.counting import Size
    from vfl.planner.shape import Shape
    from vfl.planner.units import Link, Units

RAY_MESSAGE: Final = 3e-3
"""Seconds that a message between two Ray actors takes beside its bytes; measured once."""

BASELINE: Final = 2.5
"""Seconds in which the active party loads scikit-learn and fits its own columns; measured once."""


def forecast(
    shape: Shape, cipher: Cipher, units: Units, link: Link, *, ray: bool,
    tables: Mapping[str, Size] | None = None,
) -> Forecast:  # fmt: skip
    """One job under one cipher. Raises `CryptoError` where the cipher's range is too small."""
    return _Job(shape, cipher, units, link, ray=ray, tables=tables or {}).forecast()


class _Job:
    def __init__(
        self, shape: Shape, cipher: Cipher, units: Units, link: Link, *, ray: bool,
        tables: Mapping[str, Size],
    ) -> None:  # fmt: skip
        self.shape, self.cipher, self.units, self.link = shape, cipher, units, link
        self.roster = shape.roster
        self.data = self.roster.data_parties
        self.tables = tables
        self.message = RAY_MESSAGE if ray else units.message
        self.traffic = Traffic()
        self.seconds = {name: defaultdict[str, float](float) for name in self.roster.roles}
        if len(self.data) > cipher.terms:
            raise EncodingOverflowError(
                f"{cipher.name} adds up what at most {cipher.terms:.0f} parties encrypt"
            )
        self.sizes = Counter(shape.batches)
        self.work: dict[str, dict[int, Batch]] = {
            name: {rows: cipher.batch(rows, shape.columns[name]) for rows in self.sizes}
            for name in self.data
        }
        self.keys = self._key_pairs()

    def forecast(self) -> Forecast:
        read = self._at_once({n: self._book(n, "read", self._cells(n)) for n in self.data})
        align = self._align()
        guard = self._at_once({n: self._book(n, "compute", self._guard(n)) for n in self.data})
        send_training(self.traffic, self.shape, self.cipher, self.work, self.keys)
        training = self._key()
        once, each, longest = self._rounds()
        training += once + self.shape.epochs * each
        score = self._score()
        total = read + align + guard + training + score
        for booked in self.seconds.values():
            booked["wait"] = max(0.0, total - sum(booked.values()))
        sizes = self.traffic.bytes
        return Forecast(
            self.cipher.name, self.cipher.parameters, self.cipher.security_bits, total, training,
            once / self.shape.epochs + each, self.shape.epochs, self.keys, sum(sizes.values()),
            sum(size for border, size in sizes.items() if border[2] == messages.PublicKey.kind),
            longest, [self._party(name) for name in self.roster.roles],
        )  # fmt: skip

    # time

    def _book(self, party: str, stage: str, seconds: float) -> float:
        self.seconds[party][stage] += seconds
        return seconds

    def _at_once(self, seconds: Mapping[str, float]) -> float:
        """Until all are done that begin together."""
        return sum(seconds.values()) if self.link.local else max(seconds.values(), default=0.0)

    def _carried(self, size: float, count: int = 1) -> float:
        """Seconds of `count` messages of `size` bytes together, through one party's link."""
        return (
            self.link.latency + count * self.message
            + self.link.seconds(size) + 2 * size * self.units.byte
        )  # fmt: skip

    def _cells(self, name: str) -> float:
        return self.shape.rows[name] * (self.shape.columns[name] + 1) * self.units.read_cell

    def _guard(self, name: str) -> float:
        return self.shape.train * self.shape.columns[name] ** 2 * self.units.leverage

    def _align(self) -> float:
        size = send_alignment(self.traffic, self.shape)
        foreign = sum(self.shape.rows.values())
        busy = {}
        for name in self.data:
            own = self.shape.rows[name]
            points = own * self.units.own_point + (foreign - own) * self.units.foreign_point
            busy[name] = self._book(name, "align", points)
        return self._at_once(busy) + self._carried(size, 2 * len(self.data))

    def _score(self) -> float:
        if not self.shape.held_out:
            return 0.0
        size = send_scores(self.traffic, self.shape)
        return self._book(self.roster.active, "compute", BASELINE) + self._carried(size)

    # keys

    def _key_pairs(self) -> int:
        opened = sum(self.shape.columns[name] for name in self.data) * len(self.shape.batches)
        epochs = max(1, self.cipher.key.openings // opened)
        return math.ceil(self.shape.epochs / epochs)

    def _key(self) -> float:
        """All key pairs, to everybody."""
        key, arbiter = self.cipher.key, self.shape.arbiter
        made = self.keys * key.make
        self._book(arbiter, "encrypt", made)
        read = {n: self._book(n, "encrypt", self.keys * key.read + key.first) for n in self.data}
        return (
            made
            + self._at_once(read)
            + self.keys * self._carried(len(self.data) * key.size, len(self.data))
        )

    # rounds

    def _rounds(self) -> tuple[float, float, float]:
        """(once, each epoch, the longest work for which another party waits)."""
        once = self._at_once(
            {n: self._book(n, "compute", self._sum(n, lambda b: b.prepare)) for n in self.data}
        )
        scores, products, depart = {}, {}, {}
        for name in self.data:
            clear = self.shape.train * self.shape.columns[name] * self.units.entry
            again = self._sum(name, lambda b: b.prepare) * (self._kept(name) > TILES)
            products[name] = self._sum(name, lambda b: b.product) + clear + again
            depart[name] = self._sum(name, lambda b: b.depart)
        for name in self.roster.passives:
            scores[name] = self._sum(name, lambda b: b.encrypt)
        passives = len(self.roster.passives)
        added = (passives - 1) * self._sum(self.roster.active, lambda b: b.add)
        onto = self._sum(self.roster.active, lambda b: b.onto) + added
        opened = sum(self._sum(name, lambda b: b.open) for name in self.data)
        for name in self.data:
            self._book(name, "compute", self.shape.epochs * products[name])
            encrypted = depart[name] + (onto if name == self.roster.active else scores[name])
            self._book(name, "encrypt", self.shape.epochs * encrypted)
        self._book(self.shape.arbiter, "encrypt", self.shape.epochs * opened)
        work = {name: products[name] + depart[name] for name in self.data}
        vectors = passives * self._sum(self.roster.active, lambda b: b.vector)
        sums = sum(self._sum(name, lambda b: b.sums) for name in self.data)
        batches = len(self.shape.batches)
        carried = (
            2 * self._carried(vectors, batches * passives)
            + self._carried(sums, batches * len(self.data))
            + self._carried(0.0, (batches + 1) * len(self.data))  # steps, and the verdict
            + 4 * (batches - 1) * self.link.latency
            + self._at_once(dict.fromkeys(self.roster.roles, self.units.checkpoint))
        )
        parts = (self._at_once(scores), onto, self._at_once(work), opened)
        return once, sum(parts) + carried, max(max(parts) / batches, once)

    def _sum(self, name: str, what: Callable[[Batch], float]) -> float:
        """Over the batches of an epoch."""
        return sum(times * what(self.work[name][rows]) for rows, times in self.sizes.items())

    def _kept(self, name: str) -> int:
        return round(self._sum(name, lambda b: b.kept))

    def _party(self, name: str) -> PartyForecast:
        key = self.cipher.key.memory
        memory = {"keys": 2 * key, "peak": 2 * key}
        if name in self.data:
            tiles, batches = min(self._kept(name), TILES), list(self.work[name].values())
            text = name not in self.tables or self.tables[name].text
            memory = data_memory(self.shape, name, self.cipher, batches, tiles, text=text)
        return PartyForecast(
            name, self.roster.roles[name], dict(self.seconds[name]),
            self.traffic.by_kind(name, 0), self.traffic.by_kind(name, 1), memory,
        )  # fmt: skip
