"""Seconds, bytes and memory of a job on shares (`vfl.protocols.shared`).

    read, align     each party by itself
    once            passive columns made independent; the key made, sent, read; matrices prepared
    a round         A encrypts its shares | all passives multiply and mask | A reads, adds up,
                    decides | A encrypts residuals | all multiply and mask | A reads
    score           the held-out rows

The products of a row's scores are asked for one after the other, so each costs the link's latency.
A cold start opens no scores in its first round, and opens some once more at its last: rounds all
cost alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfl.planner.forecast import Forecast
from vfl.planner.memory import data_memory
from vfl.planner.share_costs import share_costs
from vfl.planner.shared_traffic import RoundTraffic
from vfl.planner.timing import BASELINE, Timing
from vfl.protocols.blocks import MATRIX_BITS, SCORE_BITS
from vfl.protocols.iterate import WEIGHT_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.planner.counting import Size
    from vfl.planner.forecast import PartyForecast
    from vfl.planner.shape import Shape
    from vfl.planner.share_costs import ShareCosts
    from vfl.planner.units import Link, Units
    from vfl.spec import CryptoSpec

_COPIES: Final = 5
"""Of a passive party's columns: independent, integers in both directions; two while these are made,
whose memory is not given back."""


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
        self.active, self.passives = self.roster.active, self.roster.passives
        self.ranks, rows = shape.ranks, shape.train
        ranks = self.ranks.items()
        self.forward = {
            name: cipher.product(rows, rank, MATRIX_BITS, SCORE_BITS) for name, rank in ranks
        }
        self.backward = {
            name: cipher.product(rank, rows + rank, MATRIX_BITS, WEIGHT_BITS)
            for name, rank in ranks
        }
        shapes = [s for _, rank in ranks for s in ((rows, rank), (rank, rows + rank))]
        self.key = cipher.key(shapes)

    def forecast(self) -> Forecast:
        before = self.read() + self.align()
        traffic = RoundTraffic(
            self.traffic, self.shape, self.cipher, self.forward, self.backward
        )  # fmt: skip
        key_bytes = traffic.send_once(self.key.size)
        round_bytes = traffic.send_rounds()
        rounds = self.shape.fits * self.shape.epochs
        whitened = self._whiten()
        prepared = self._prepare()
        each, longest = self._rounds(round_bytes, rounds)
        training = whitened + self._exchange_key(key_bytes) + prepared + rounds * each
        total = before + training + self.score()
        if not self.shape.held_out:
            total += self.book(self.active, "compute", BASELINE)
        self.wait(total)
        return Forecast(
            self.cipher.name, self.cipher.parameters, self.cipher.security_bits, total, training,
            each, round_bytes, self.shape.epochs, 1, self.traffic.bytes.total(), key_bytes,
            max(longest, prepared + longest, whitened),
            [self._party(name) for name in self.roster.roles], self.shape.fits,
        )  # fmt: skip

    def _whiten(self) -> float:
        """Everybody's own columns, before the first product."""
        units, rows = self.units.shared, self.shape.train
        seconds = {}
        for name in self.data:
            columns = self.shape.columns[name]
            entries = rows * columns * (units.whiten_entry if name != self.active else 0.0)
            pairs = rows * columns**2 * units.whiten_pair
            seconds[name] = self.book(name, "compute", entries + pairs)
        return self.at_once(seconds)

    def _exchange_key(self, size: int) -> float:
        made = self.book(self.active, "encrypt", self.key.make)
        read = {n: self.book(n, "encrypt", self.key.read + self.key.first) for n in self.passives}
        return made + self.at_once(read) + self.carried(size, 4 * len(self.passives))

    def _prepare(self) -> float:
        """What a cipher makes of the matrices before its first products."""
        return self.at_once(
            {
                name: self.book(name, "encrypt", self._tiles_made(name) * self._kept(name))
                for name in self.passives
            }
        )

    def _tiles_made(self, name: str) -> float:
        return self.forward[name].prepare + self.backward[name].prepare

    def _kept(self, name: str) -> float:
        """The part of what is made of a party's matrices that there is room to keep."""
        whole = self.forward[name].kept + self.backward[name].kept
        return min(1.0, self.units.tile_budget / whole) if whole else 1.0

    def _rounds(self, size: int, rounds: int) -> tuple[float, float]:
        """(each, the longest work in it for which another party waits)."""
        units, rows, outputs = self.units, self.shape.train, self.shape.outputs
        forward, backward, times = self.forward, self.backward, rounds * outputs
        busy = {}
        for name in self.passives:
            again = self._tiles_made(name) * (1.0 - self._kept(name))
            products = forward[name].multiply + backward[name].multiply + again
            own = rows * (self.ranks[name] * units.shared.multiply + units.shared.score)
            self.book(name, "encrypt", times * products)
            self.book(name, "compute", times * own + rounds * units.checkpoint)
            busy[name] = outputs * (products + own)
        both = [*forward.values(), *backward.values()]
        shares = outputs * sum(one.encrypt + one.share for one in both)
        clear = 2 * self.shape.columns[self.active] * units.entry + units.shared.decide
        decided = outputs * rows * clear
        self.book(self.active, "encrypt", rounds * shares)
        self.book(self.active, "compute", rounds * (decided + units.checkpoint))
        carried = (
            self.carried(size, (5 * outputs + 1) * len(self.passives))
            + (4 * outputs - 1) * self.link.latency
            + self.at_once(dict.fromkeys(self.data, units.checkpoint))
        )
        worked = self.at_once(busy)
        return shares + worked + decided + carried, max(worked, shares + decided)

    def _party(self, name: str) -> PartyForecast:
        rows, columns, text = self.shape.train, self.shape.columns[name], self.is_text(name)
        if name == self.active:
            both = [*self.forward.values(), *self.backward.values()]
            memory = data_memory(
                self.shape, name, matrix=8 * rows * (columns + 8 * self.shape.outputs), tiles=0,
                ciphertexts=4 * sum(one.vector + one.masked for one in both),
                keys=2 * self.key.memory, text=text,
            )  # fmt: skip
            return self.party(name, memory)
        forward, backward, rank = self.forward[name], self.backward[name], self.ranks[name]
        memory = data_memory(
            self.shape, name, matrix=8 * rank * (_COPIES * rows + 2 * rank),
            tiles=min(forward.kept + backward.kept, self.units.tile_budget),
            ciphertexts=max(forward.working, backward.working), keys=self.key.memory, text=text,
        )  # fmt: skip
        return self.party(name, memory)
