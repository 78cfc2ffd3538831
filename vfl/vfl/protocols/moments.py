"""Second moments of all parties' whitened columns, shared between two of them.

Each party o has a table T_o (n, r_o) of whitened columns, at the active party A with the label as
its last one. For each pair, the party with the narrower table encrypts it column by column:

    i -> j     [[t / n]]                  once for all j
    j -> i     [[T_j' t / n + mask]]

so i and j share T_j' T_i / n. What trains are A and the first passive party: a share that another
party holds goes to one of these two, the pair's other share to the other one. A share alone is
uniform, so only A and the first passive party together could open a moment.

Products have 56 fraction bits; both shares drop 28, and are kept modulo 2^72 with 43 bits of room
above the value (`vfl_crypto.words`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl.errors import DataError, ProtocolError
from vfl.messages import Masked
from vfl.protocols.sealed_messages import Column, Moments, MomentShares
from vfl_crypto.errors import EncodingOverflowError
from vfl_crypto.sharing import masked_layout
from vfl_crypto.words import IntegerMatrix, Words, limbs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vfl.context import Context, Roster
    from vfl_crypto.sharing import ShareEvaluator, ShareHolder

SCOPE: Final = "train/moments"
PRODUCT_BITS: Final = 96  # of the modulus
MOMENT_BITS: Final = 72
MOMENT_FRACTION: Final = 28
_MATRIX_FRACTION: Final = 20
MATRIX_BITS: Final = 30  # of an entry, with its sign: whitened columns stay below 512
_COLUMN_FRACTION: Final = 36
_DROPPED: Final = _MATRIX_FRACTION + _COLUMN_FRACTION - MOMENT_FRACTION


@dataclass(frozen=True)
class Layout:
    """Who brings how many columns, and where they stand: A's last, and the label after them."""

    roster: Roster
    ranks: Mapping[str, int]

    @property
    def trainers(self) -> tuple[str, str]:
        """Who shares the moments and all weights."""
        return self.roster.active, self.roster.passives[0]

    @property
    def weights(self) -> int:
        return sum(self.ranks.values())

    def kept(self, name: str) -> int:
        """How many columns a party keeps its share of all moments of."""
        return self.weights + 1 if name in self.trainers else 0

    def width(self, name: str) -> int:
        """Columns of a party's table."""
        return self.ranks[name] + (name == self.roster.active)

    def place(self, name: str) -> slice:
        """Of a party's table among all columns."""
        order = (*self.roster.passives, self.roster.active)
        start = sum(self.ranks[one] for one in order[: order.index(name)])
        return slice(start, start + self.width(name))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(who encrypts, who multiplies)."""
        order = sorted(self.roster.data_parties, key=self.width)
        return [(i, j) for place, i in enumerate(order) for j in order[place + 1 :]]

    def holders(self, i: str, j: str) -> tuple[str, str]:
        """Which of the two that train keeps i's share, and which keeps j's."""
        active, passive = self.trainers
        swapped = i == passive or j == active
        return (passive, active) if swapped else (active, passive)

    def openings(self, name: str) -> int:
        """Values that `name` decrypts and hands to another holder: moments, then weights."""
        moments = sum(
            self.width(i) * self.width(j)
            for i, j in self.pairs
            if i == name and self.holders(i, j)[0] != name
        )
        return moments + (self.weights - self.ranks[name] if name in self.trainers else 0)

    def shapes(self, name: str, rows: int) -> list[tuple[int, int]]:
        """Of the matrices that are multiplied with what `name` encrypts here."""
        return [(self.width(j), rows) for i, j in self.pairs if i == name]


def table_of(party: str, columns: NDArray[np.float64]) -> IntegerMatrix:
    """T' (r, n) of columns (n, r). Raises `DataError` where an entry leaves the range."""
    try:
        return IntegerMatrix(np.rint(np.ldexp(columns.T, _MATRIX_FRACTION)), MATRIX_BITS)
    except EncodingOverflowError as error:
        raise DataError(
            f"{party}: a row is so far from all others that its columns, made independent, "
            "leave the fixed-point range (512 deviations); cap or drop its outliers"
        ) from error


@dataclass
class Sharing:
    """One party's side of it."""

    ctx: Context
    layout: Layout
    holder: ShareHolder
    evaluators: Mapping[str, ShareEvaluator]
    table: IntegerMatrix
    _limbs: NDArray[np.uint32] = field(init=False)

    def __post_init__(self) -> None:
        size = self.layout.kept(self.ctx.name)
        self._limbs = np.zeros((size, size, limbs_of(MOMENT_BITS)), dtype=np.uint32)

    async def run(self) -> Words:
        """A share of all moments (m m,), or nothing where others train.

        Within a table they stay zero, but those of A's columns with the label: A's alone.
        """
        me, pairs = self.ctx.name, self.layout.pairs
        if self.ctx.role == "active":
            await self.ctx.compute("compute", self._write_label)
        asked = [j for i, j in pairs if i == me]
        await asyncio.gather(
            self._ask(asked),
            *(self._answer(i) for i, j in pairs if j == me),
            *(
                self._collect(i, j, source)
                for i, j in pairs
                for source, keeper in zip((i, j), self.layout.holders(i, j), strict=True)
                if keeper == me != source
            ),
        )
        return Words(self._limbs.reshape(-1, self._limbs.shape[2]), MOMENT_BITS)

    async def _ask(self, others: list[str]) -> None:
        """Two columns under way at a time: the others multiply one while the next is encrypted."""
        rows = self.table.shape[1]
        scale = 2.0 ** (_COLUMN_FRACTION - _MATRIX_FRACTION) / rows
        count = len(self.table.values) if others else 0
        for place in range(count):
            column = np.rint(self.table.values[place] * scale).astype(np.int64)
            words = Words.of(column, PRODUCT_BITS)
            sent = await self.ctx.compute("encrypt", self.holder.encrypt_words, words)
            await self.ctx.broadcast(others, Column(sent), scope=f"{SCOPE}/{place}")
            if place:
                await self._open(others, place - 1)
        if count:
            await self._open(others, count - 1)

    async def _open(self, others: list[str], place: int) -> None:
        me = self.ctx.name
        for j in others:
            message = await self.ctx.receive(Moments, from_=j, scope=f"{SCOPE}/{place}")
            expected = self.layout.width(j), masked_layout(PRODUCT_BITS)
            if (message.values.count, message.values.layout) != expected:
                raise ProtocolError(
                    f"{j} sent {message.values.count} moments as {message.values.layout[:32]!r} "
                    f"where {expected[0]} as {expected[1]!r} were expected"
                )
            share = await self.ctx.compute("encrypt", self.holder.share, message.values)
            keeper, _ = self.layout.holders(me, j)
            if keeper != me:  # a decrypted value leaves
                share = self.holder.open_share(share, _DROPPED)
            await self._keep(me, j, place, keeper, share)

    async def _answer(self, i: str) -> None:
        me = self.ctx.name
        _, keeper = self.layout.holders(i, me)
        for place in range(self.layout.width(i)):
            scope = f"{SCOPE}/{place}"
            column = await self.ctx.receive(Column, from_=i, scope=scope)
            product, share = await self.ctx.compute(
                "encrypt", self.evaluators[i].multiply, self.table, column.values
            )
            await self.ctx.send(i, Moments(product), scope=scope)
            await self._keep(i, me, place, keeper, share)

    async def _keep(self, i: str, j: str, place: int, keeper: str, share: Words) -> None:
        limbs = share.shifted(_DROPPED).modulo(MOMENT_BITS).limbs
        if keeper == self.ctx.name:
            self._write(i, j, place, limbs)
            return
        scope = f"{SCOPE}/{i}/{j}/{place}"
        await self.ctx.send(keeper, MomentShares(Masked(limbs, "additive")), scope=scope)

    async def _collect(self, i: str, j: str, source: str) -> None:
        expected = self.layout.width(j), self._limbs.shape[2]
        for place in range(self.layout.width(i)):
            scope = f"{SCOPE}/{i}/{j}/{place}"
            message = await self.ctx.receive(MomentShares, from_=source, scope=scope)
            limbs = message.values.value
            if limbs.dtype != np.uint32 or limbs.shape != expected:
                raise ProtocolError(
                    f"{source} sent shares of {limbs.dtype}, shape {limbs.shape}; "
                    f"{expected[0]} moments were expected"
                )
            self._write(i, j, place, Words(limbs, MOMENT_BITS).limbs)

    def _write_label(self) -> None:
        columns, label = self.table.values[:-1], self.table.values[-1]
        scale = 2.0 ** (MOMENT_FRACTION - 2 * _MATRIX_FRACTION) / len(label)
        moments = np.rint(columns @ label * scale).astype(np.int64)
        place = self.layout.place(self.ctx.name)
        rows = slice(place.start, place.stop - 1)
        self._limbs[rows, -1] = Words.of(moments, MOMENT_BITS).limbs

    def _write(self, i: str, j: str, place: int, limbs: NDArray[np.uint32]) -> None:
        column, rows = self.layout.place(i).start + place, self.layout.place(j)
        self._limbs[rows, column] = self._limbs[column, rows] = limbs
