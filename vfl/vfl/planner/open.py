"""Seconds, bytes and memory of a job at the level `open` (`vfl.protocols.open`).

    read, align     each party by itself
    once            guards checked; matrices prepared
    a batch         passives score | A adds up, encrypts | all multiply and mask | A reads, opens
    score           the held-out rows

A key opens so many values; then A makes another between two epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfl.planner.forecast import Forecast
from vfl.planner.memory import data_memory
from vfl.planner.share_costs import share_costs
from vfl.planner.timing import BASELINE, Timing
from vfl.planner.traffic import array, epoch_scopes, lengths, plain, scopes
from vfl.protocols import masked_sum
from vfl.protocols import open_messages as messages
from vfl.protocols.open import SCOPE
from vfl.protocols.open_gradient import DROPPED, MATRIX_BITS, PRODUCT_BITS
from vfl_crypto.sharing import masked_layout, words_layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.messages import FieldHeader
    from vfl.planner.counting import Size
    from vfl.planner.forecast import PartyForecast
    from vfl.planner.shape import Shape
    from vfl.planner.share_costs import ShareCosts
    from vfl.planner.units import Link, Units
    from vfl.spec import CryptoSpec

_COPIES: Final = 3
"""Of a passive party's columns: scaled, as integers, and once more while these are made."""


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
        self.products = {
            name: {
                rows: cipher.product(shape.columns[name], rows, MATRIX_BITS, PRODUCT_BITS)
                for rows in set(shape.batches)
            }
            for name in self.passives
        }
        shapes = {(shape.columns[name], rows) for name in self.passives for rows in shape.batches}
        self.key = cipher.key(sorted(shapes), DROPPED)
        columns = sum(shape.columns[name] for name in self.passives)
        an_epoch = columns * shape.outputs * len(shape.batches)
        each = max(1, self.key.openings // max(1, an_epoch))  # epochs of a key
        self.key_epochs = range(0, shape.epochs, each)

    def forecast(self) -> Forecast:
        before, shape = self.read() + self.align(), self.shape
        key_bytes = self._send_keys()
        self._send_once()
        epoch_bytes = self._send_epochs()
        guarded = self._guard()
        prepared = self._prepare()
        epoch, longest = self._epoch(epoch_bytes)
        keys = len(self.key_epochs)
        training = guarded + keys * self._make_key(key_bytes) + prepared + shape.epochs * epoch
        total = before + training + self.score()
        if not shape.held_out:
            total += self.book(self.active, "compute", BASELINE)
        self.wait(total)
        return Forecast(
            self.cipher.name, self.cipher.parameters, self.cipher.security_bits, total, training,
            epoch, epoch_bytes, shape.epochs, keys, self.traffic.bytes.total(), keys * key_bytes,
            max(longest, prepared + longest, guarded),
            [self._party(name) for name in self.roster.roles],
        )  # fmt: skip

    def _send_once(self) -> None:
        send, shape, active = self.traffic.send, self.shape, self.active
        for name in self.passives:
            offer = plain("batch_rows", list(shape.batches)), plain("outputs", shape.outputs)
            send(messages.Offer, active, name, SCOPE, *offer)
            hello = (
                plain("epochs", []), plain("columns", shape.columns[name]),
                plain("rank", shape.ranks[name]),
            )  # fmt: skip
            send(messages.Hello, name, active, SCOPE, *hello)
            start = (
                plain("after", 0), plain("epochs", shape.epochs),
                plain("ranks", list(shape.ranks.values())),
            )  # fmt: skip
            send(messages.Start, active, name, SCOPE, *start)
            for peer in self.passives:
                if peer != name:
                    send(masked_sum.MaskKey, name, peer, SCOPE, plain("key", bytes(32)))

    def _send_keys(self) -> int:
        """Bytes of one key to all."""
        one, size = 0, self.key.size
        for epoch in self.key_epochs:
            one = 0
            for name in self.passives:
                at = f"{SCOPE}/{epoch}"
                key = array("key", "public", size)
                one += self.traffic.send(
                    messages.PublicKey, self.active, name, at, key, content=size
                )
                self.traffic.send(messages.Ready, name, self.active, at, plain("keys", 1))
        return one

    def _send_epochs(self) -> int:
        """All epochs; about the bytes of one."""
        before, shape = self.traffic.bytes.total(), self.shape
        for name in self.passives:
            for at, times in epoch_scopes(shape.epochs + 1):
                stop = plain("stop", False, "disclosed", messages.STOP)
                fields = stop, plain("new_key", False)
                self.traffic.send(messages.Epoch, self.active, name, at, *fields, times=times)
            skipped = 1  # the first scores, which are zero
            for at, rows, times in scopes(shape.epochs, shape.batches):
                self._send_scores(name, at, rows, times - skipped)
                skipped = 0
                for output, more in lengths(shape.outputs):
                    self._send_gradient(name, f"{at}/{output}", rows, times * more)
        return (self.traffic.bytes.total() - before) // shape.epochs

    def _send_scores(self, name: str, at: str, rows: int, times: int) -> None:
        if not times:
            return
        count = rows * self.shape.outputs
        kind: type[messages.SoleScores | messages.MaskedScores] = messages.MaskedScores
        values = array("values", "masked", count, "pairwise")
        if len(self.passives) == 1:
            kind, values = messages.SoleScores, array("values", "disclosed", count, messages.SOLE)
        self.traffic.send(kind, name, self.active, at, values, content=4 * count, times=times)

    def _send_gradient(self, name: str, at: str, rows: int, times: int) -> None:
        send, columns, product = self.traffic.send, self.shape.columns[name], self.products[name]
        vector = self._encrypted(rows, words_layout(PRODUCT_BITS))
        exponent = plain("exponent", 0, "disclosed", messages.EXPONENT)
        masked = self._encrypted(columns, masked_layout(PRODUCT_BITS))
        own = array("values", "disclosed", columns, messages.OWN)
        for message, sender, receiver, fields, content in (
            (messages.Residual, self.active, name, (vector, exponent), product[rows].vector),
            (messages.Product, name, self.active, (masked,), product[rows].masked),
            (messages.Gradient, self.active, name, (own,), 4 * columns),
        ):
            send(message, sender, receiver, at, *fields, content=content, times=times)

    def _encrypted(self, count: int, layout: str) -> FieldHeader:
        key = "0" * self.cipher.id_length
        return array(
            "values", "encrypted", count, self.cipher.name, key_id=key, layout=layout, terms=1
        )

    def _guard(self) -> float:
        entries = {name: self.shape.train * self.shape.columns[name] for name in self.passives}
        return self.at_once(
            {
                name: self.book(
                    name, "compute", count * self.shape.columns[name] * self.units.leverage
                )
                for name, count in entries.items()
            }
        )

    def _make_key(self, size: int) -> float:
        keys = len(self.key_epochs)
        self.book(self.active, "encrypt", keys * self.key.make)
        read = self.key.read + self.key.first
        for name in self.passives:
            self.book(name, "encrypt", keys * read)
        both = self.at_once(dict.fromkeys(self.passives, read))
        return self.key.make + both + self.carried(size, 2 * len(self.passives))

    def _prepare(self) -> float:
        """What a cipher makes of the matrices before its first products."""
        made = {
            name: sum(self.products[name][rows].prepare for rows in self.shape.batches)
            for name in self.passives
        }
        return self.at_once({name: self.book(name, "encrypt", s) for name, s in made.items()})

    def _kept(self, name: str) -> int:
        return sum(self.products[name][rows].kept for rows in self.shape.batches)

    def _epoch(self, size: int) -> tuple[float, float]:
        """(one epoch, the longest work in it for which another party waits)."""
        shape, units, epochs = self.shape, self.units, self.shape.epochs
        seconds, longest = 0.0, 0.0
        for rows in shape.batches:
            busy = {}
            for name in self.passives:
                product, columns = self.products[name][rows], shape.columns[name]
                own = rows * shape.outputs * (columns * units.entry + units.shared.score)
                multiplied = shape.outputs * product.multiply
                self.book(name, "compute", epochs * own)
                self.book(name, "encrypt", epochs * multiplied)
                busy[name] = own + multiplied
            products = [self.products[name][rows] for name in self.passives]
            shares = max(p.encrypt for p in products) + sum(p.share for p in products)
            clear = 2 * shape.columns[self.active] * units.entry + units.shared.decide
            decided = rows * shape.outputs * clear
            self.book(self.active, "encrypt", epochs * shape.outputs * shares)
            self.book(self.active, "compute", epochs * decided)
            worked = self.at_once(busy)
            seconds += worked + shape.outputs * shares + decided
            longest = max(longest, worked, shape.outputs * shares + decided)
        for name in self.data:
            self.book(name, "compute", epochs * units.checkpoint)
        stored = self.at_once(dict.fromkeys(self.data, units.checkpoint))
        turns = len(shape.batches) * (1 + 3 * shape.outputs)
        carried = self.carried(size, turns * len(self.passives))
        return seconds + stored + carried + (turns - 1) * self.link.latency, longest

    def _party(self, name: str) -> PartyForecast:
        rows, columns, text = self.shape.train, self.shape.columns[name], self.is_text(name)
        most = max(self.shape.batches)
        if name == self.active:
            products = [self.products[passive][most] for passive in self.passives]
            memory = data_memory(
                self.shape, name, matrix=8 * rows * (columns + 6 * self.shape.outputs), tiles=0,
                ciphertexts=4 * sum(p.vector + p.masked for p in products),
                keys=2 * self.key.memory, text=text,
            )  # fmt: skip
            return self.party(name, memory)
        memory = data_memory(
            self.shape, name, matrix=8 * _COPIES * rows * columns,
            tiles=min(self._kept(name), self.units.tile_budget),
            ciphertexts=self.products[name][most].working, keys=self.key.memory, text=text,
        )  # fmt: skip
        return self.party(name, memory)
