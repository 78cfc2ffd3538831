"""Seconds, bytes and memory of a linear model that is trained sealed (`vfl.protocols.sealed`).

    read, align     each party by itself
    keys            everybody makes one and reads all others'
    moments         i encrypts a column | j multiplies and masks it | i reads: for every pair i, j
    a round         both that train encrypt | both multiply and mask | both read
    score           the held-out rows

A column is encrypted while the one before is multiplied, so two of them cost the link's latency
twice. Passive parties that do not train wait for the first round: for all moments that are not
theirs, in one go.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from vfl.planner.forecast import Forecast
from vfl.planner.memory import data_memory
from vfl.planner.sealed_traffic import SealedTraffic
from vfl.planner.share_costs import share_costs
from vfl.planner.timing import Timing
from vfl.protocols import moments, quadratic
from vfl.protocols import sealed_messages as messages
from vfl.protocols.iterate import WEIGHT_BITS
from vfl.protocols.moments import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.messages import Message
    from vfl.planner.counting import Size
    from vfl.planner.forecast import PartyForecast
    from vfl.planner.shape import Shape
    from vfl.planner.share_costs import ShareCosts
    from vfl.planner.units import Link, Units
    from vfl.spec import CryptoSpec

_COPIES: Final = 5
"""Of a party's columns: centred, independent, with the label, integers; one while these are made,
whose memory is not given back."""

_STEP: Final = 1.5e-3
"""Seconds of a round at a party that trains, beside what depends on sizes; measured once."""


def forecast(
    shape: Shape, crypto: CryptoSpec, units: Units, link: Link, *, ray: bool,
    tables: Mapping[str, Size] | None = None,
) -> Forecast:  # fmt: skip
    """One job under one cipher. Raises `CryptoError` where the cipher's range is too small."""
    cipher = share_costs(crypto, units)
    return _Job(shape, cipher, units, link, ray=ray, tables=tables).forecast()


class _Job(Timing):
    def __init__(
        self, shape: Shape, cipher: ShareCosts, units: Units, link: Link, *, ray: bool,
        tables: Mapping[str, Size] | None,
    ) -> None:  # fmt: skip
        super().__init__(shape, units, link, ray=ray, tables=tables)
        self.cipher = cipher
        own = min(shape.columns[self.roster.active], shape.train - 1)
        self.layout = layout = Layout(self.roster, {self.roster.active: own} | shape.ranks)
        rows, pairs = shape.train, layout.pairs
        self.asks = {name: [j for i, j in pairs if i == name] for name in self.data}
        self.answers = {name: [i for i, j in pairs if j == name] for name in self.data}
        self.moments = {
            name: cipher.product(
                layout.width(name), rows, moments.MATRIX_BITS, moments.PRODUCT_BITS
            )
            for name in self.data
        }
        joint = quadratic.shape(layout.weights)
        self.joint = cipher.product(*joint, quadratic.MATRIX_BITS, WEIGHT_BITS)
        self.keys = {name: cipher.key([*layout.shapes(name, rows), joint]) for name in self.data}

    def forecast(self) -> Forecast:
        before = self.read() + self.align()
        traffic = SealedTraffic(self.traffic, self.cipher, self.layout, self.shape.train)
        key_bytes = traffic.send_once(self.keys)
        traffic.send_moments(self.moments)
        round_bytes = traffic.send_rounds(self.shape.epochs, self.joint)
        whitened, keys = self._whiten(), self._exchange_keys()
        shared, waited = self._share_moments()
        each = self._rounds(round_bytes)
        training = whitened + keys + shared + self.shape.epochs * each
        training += self._exchanged(messages.Coefficients)
        total = before + training + self.score()
        self.wait(total)
        return Forecast(
            self.cipher.name, self.cipher.parameters, self.cipher.security_bits, total, training,
            each, round_bytes, self.shape.epochs, len(self.data), self.traffic.bytes.total(),
            key_bytes, max(whitened, keys, waited, each),
            [self._party(name) for name in self.roster.roles],
        )  # fmt: skip

    def _whiten(self) -> float:
        """Everybody's own columns, made independent and integers; the moments, once stored."""
        units, rows, seconds = self.units.shared, self.shape.train, {}
        for name in self.data:
            columns = self.shape.columns[name]
            entry = units.whiten_entry + columns * units.whiten_pair
            seconds[name] = self.book(
                name, "compute", rows * columns * entry + self.units.checkpoint
            )
        return self.at_once(seconds)

    def _exchange_keys(self) -> float:
        made = {name: self.book(name, "encrypt", key.make) for name, key in self.keys.items()}
        read = {
            name: self.book(name, "encrypt", sum(k.read for n, k in self.keys.items() if n != name))
            for name in self.data
        }
        return self.at_once(made) + self.at_once(read) + self._exchanged(messages.Key)

    def _share_moments(self) -> tuple[float, float]:
        """(seconds, those of them in which another party waits)."""
        layout, columns = self.layout, {n: self.layout.width(n) for n in self.data}
        busy, first = {}, {}  # until the first product is there
        for name in self.data:
            product, peers = self.moments[name], self.answers[name]
            encrypted = product.encrypt if self.asks[name] else 0.0
            read = columns[name] * sum(self.moments[j].share for j in self.asks[name])
            answered = product.multiply + product.prepare * (1.0 - self._kept(name))
            evaluators = {*peers, *(n for n in layout.trainers if name in layout.trainers)}
            prepared = self._prepared(name) + self.keys[name].first * len(evaluators - {name})
            first[name] = prepared + encrypted + len(peers) * answered
            work = prepared + columns[name] * encrypted + sum(columns[i] for i in peers) * answered
            busy[name] = self.book(name, "encrypt", work + read)
        longest = max(columns[name] for name in self.data if self.asks[name])
        seconds = (
            self.at_once(busy)
            + self._exchanged(messages.Column, messages.Moments, messages.MomentShares)
            + (longest + 1) // 2 * 2 * self.link.latency
        )
        idle = [seconds - busy[name] for name in self.roster.passives[1:]]
        return seconds, max(self.at_once(first), *idle, 0.0)

    def _prepared(self, name: str) -> float:
        """What a cipher makes of a party's matrices before their first products."""
        found = self.moments[name].prepare * self._kept(name) if self.answers[name] else 0.0
        return found + (self.joint.prepare if name in self.layout.trainers else 0.0)

    def _kept(self, name: str) -> float:
        """The part of what is made of a party's table that there is room to keep."""
        whole = self.moments[name].kept
        return min(1.0, self.units.tile_budget / whole) if whole else 1.0

    def _rounds(self, size: int) -> float:
        """Each."""
        joint, units, trainers = self.joint, self.units, self.layout.trainers
        rows, inner = quadratic.shape(self.layout.weights)
        clear = rows * inner * units.shared.multiply + _STEP
        encrypted = joint.encrypt + joint.multiply + joint.share
        for name in trainers:
            self.book(name, "encrypt", self.shape.epochs * encrypted)
            self.book(name, "compute", self.shape.epochs * clear)
        return (
            self.at_once(dict.fromkeys(trainers, encrypted + clear))
            + self.carried(size, 2 + len(self.roster.passives))
            + self.link.latency
        )

    def _exchanged(self, *kinds: type[Message]) -> float:
        """Seconds of all messages of these kinds: those of one machine, or of the busiest party."""
        names = {one.kind for one in kinds}
        size, count = Counter[str](), Counter[str]()
        for border, n in self.traffic.bytes.items():
            if border[2] in names:
                for party in border[:2]:
                    size[party] += n
                    count[party] += self.traffic.messages[border]
        if self.link.local:
            return self.carried(size.total() / 2, count.total() // 2)
        return self.carried(max(size.values()), max(count.values()))

    def _party(self, name: str) -> PartyForecast:
        rows, columns = self.shape.train, self.layout.width(name)
        trains = name in self.layout.trainers
        product, answers = self.moments[name], bool(self.answers[name])
        kept = product.kept * answers + self.joint.kept * trains
        memory = data_memory(
            self.shape, name, matrix=8 * rows * columns * _COPIES,
            tiles=min(kept, self.units.tile_budget),
            ciphertexts=max(product.working * answers, self.joint.working * trains),
            keys=sum(key.memory for key in self.keys.values()), text=self.is_text(name),
        )  # fmt: skip
        return self.party(name, memory)
