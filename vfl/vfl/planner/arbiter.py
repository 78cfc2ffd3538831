"""Seconds, bytes and memory of a job under the coordinated protocol (`vfl.protocols.arbiter`).

read, align       each party by itself
keys              made, sent to each data party, read
a round           passives encrypt | the active party adds on | all multiply and depart |
                  the arbiter opens one gradient after the other
score             the held-out rows
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from vfl.planner.ciphers import cipher_costs
from vfl.planner.forecast import Forecast
from vfl.planner.memory import data_memory
from vfl.planner.timing import Timing
from vfl.planner.training import send_training
from vfl.protocols import arbiter_messages as messages
from vfl_crypto.errors import EncodingOverflowError
from vfl_crypto.lattice.product import DEFAULT_BUDGET_BYTES as TILES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vfl.planner.ciphers import Batch, Cipher
    from vfl.planner.counting import Size
    from vfl.planner.forecast import PartyForecast
    from vfl.planner.shape import Shape
    from vfl.planner.units import Link, Units
    from vfl.spec import CryptoSpec


def forecast(
    shape: Shape, crypto: CryptoSpec, units: Units, link: Link, *, ray: bool,
    tables: Mapping[str, Size] | None = None,
) -> Forecast:  # fmt: skip
    """One job under one cipher. Raises `CryptoError` where the cipher's range is too small."""
    cipher = cipher_costs(crypto, units)
    return _Job(shape, cipher, units, link, ray=ray, tables=tables).forecast()


class _Job(Timing):
    def __init__(
        self, shape: Shape, cipher: Cipher, units: Units, link: Link, *, ray: bool,
        tables: Mapping[str, Size] | None,
    ) -> None:  # fmt: skip
        super().__init__(shape, units, link, ray=ray, tables=tables)
        self.cipher = cipher
        assert self.roster.arbiter is not None  # a checked job of this level has one
        self.arbiter = self.roster.arbiter
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
        before = self.read() + self.align() + self._guard()
        send_training(self.traffic, self.shape, self.cipher, self.work, self.keys)
        training = self._key()
        once, each, longest = self._rounds()
        training += once + self.shape.epochs * each
        total = before + training + self.score()
        self.wait(total)
        sizes = self.traffic.bytes
        key_bytes = sum(n for border, n in sizes.items() if border[2] == messages.PublicKey.kind)
        rounds = sum(n for border, n in sizes.items() if border[2].startswith("train.")) - key_bytes
        return Forecast(
            self.cipher.name, self.cipher.parameters, self.cipher.security_bits, total, training,
            once / self.shape.epochs + each, round(rounds / self.shape.epochs), self.shape.epochs,
            self.keys, sum(sizes.values()), key_bytes, longest,
            [self._party(name) for name in self.roster.roles],
        )  # fmt: skip

    def _guard(self) -> float:
        columns = self.shape.columns
        each = {n: self.shape.train * columns[n] ** 2 * self.units.leverage for n in self.data}
        return self.at_once({n: self.book(n, "compute", s) for n, s in each.items()})

    # keys

    def _key_pairs(self) -> int:
        opened = sum(self.shape.columns[name] for name in self.data) * len(self.shape.batches)
        epochs = max(1, self.cipher.key.openings // opened)
        return math.ceil(self.shape.epochs / epochs)

    def _key(self) -> float:
        """All key pairs, to everybody."""
        key, arbiter = self.cipher.key, self.arbiter
        made = self.keys * key.make
        self.book(arbiter, "encrypt", made)
        read = {n: self.book(n, "encrypt", self.keys * key.read + key.first) for n in self.data}
        return (
            made
            + self.at_once(read)
            + self.keys * self.carried(len(self.data) * key.size, len(self.data))
        )

    # rounds

    def _rounds(self) -> tuple[float, float, float]:
        """(once, each epoch, the longest work for which another party waits)."""
        once = self.at_once(
            {n: self.book(n, "compute", self._sum(n, lambda b: b.prepare)) for n in self.data}
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
            self.book(name, "compute", self.shape.epochs * products[name])
            encrypted = depart[name] + (onto if name == self.roster.active else scores[name])
            self.book(name, "encrypt", self.shape.epochs * encrypted)
        self.book(self.arbiter, "encrypt", self.shape.epochs * opened)
        work = {name: products[name] + depart[name] for name in self.data}
        vectors = passives * self._sum(self.roster.active, lambda b: b.vector)
        sums = sum(self._sum(name, lambda b: b.sums) for name in self.data)
        batches = len(self.shape.batches)
        carried = (
            2 * self.carried(vectors, batches * passives)
            + self.carried(sums, batches * len(self.data))
            + self.carried(0.0, (batches + 1) * len(self.data))  # steps, and the verdict
            + 4 * (batches - 1) * self.link.latency
            + self.at_once(dict.fromkeys(self.roster.roles, self.units.checkpoint))
        )
        parts = (self.at_once(scores), onto, self.at_once(work), opened)
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
            memory = data_memory(
                self.shape, name,
                matrix=8 * self.shape.columns[name] * self.shape.train * (2 if tiles else 1),
                tiles=tiles, ciphertexts=max(batch.working for batch in batches), keys=key,
                text=self.is_text(name),
            )  # fmt: skip
        return self.party(name, memory)
