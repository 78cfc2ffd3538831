"""The whole model as the active party holds it: its own block in the clear, a share of all others.

It asks all passive parties at once, and moves its own block with its shares of theirs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from vfl.errors import JobError
from vfl.models.iterate import PlainIterate
from vfl.protocols.blocks import opened_scores, receive_scores
from vfl.protocols.iterate import Iterate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.models.nesterov import Advance, Retreat
    from vfl.models.whitening import OwnBlock
    from vfl.protocols.blocks import ActiveBlock
    from vfl_crypto.sharing import ShareHolder

    Vector = NDArray[np.float64]


MAX_RESIDUAL: Final = 1024.0  # over rows and the Hessian's bound: 38 bits of the shares' 96


@dataclass(frozen=True)
class Point:
    """Where the own block and the shares of all others stand."""

    own: PlainIterate
    shares: Mapping[str, Iterate]

    def retreat(self, move: Retreat) -> Self:
        """All back to where the last step began."""
        shares = {name: share.retreat(move) for name, share in self.shares.items()}
        return replace(self, own=self.own.retreat(move), shares=shares)

    def to_dict(self) -> dict[str, Any]:
        shares = {name: share.to_dict() for name, share in self.shares.items()}
        return {"own": self.own.to_dict(), "shares": shares}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        shares = {name: Iterate.from_dict(share) for name, share in state["shares"].items()}
        return cls(PlainIterate.from_dict(state["own"]), shares)


@dataclass(frozen=True)
class Joint:
    """The sides of all products with passive parties, and the own columns."""

    ctx: Context
    holder: ShareHolder
    own: OwnBlock
    bound: float  # of the Hessian in the coordinates of all blocks
    blocks: Sequence[ActiveBlock]
    outputs: int

    def start(self, own: Vector) -> Point:
        """At own weights (f, k); what the others start from, they hold alone."""
        shares = {b.passive: Iterate.zero(b.rank * self.outputs) for b in self.blocks}
        return Point(PlainIterate.at(own), shares)

    def own_scores(self, point: Point) -> Vector:
        """X v (n, k) of the own columns alone."""
        return np.asarray(self.own.columns @ point.own.v)

    async def scores(self, point: Point, at: str) -> Vector:
        """All parties' scores (n, k) at the probe."""
        rows = len(self.own.columns)
        asked = [b.scores(point.shares[b.passive].v, self.holder, rows, at) for b in self.blocks]
        sent, own = await asyncio.gather(
            receive_scores(self.ctx, self.outputs, rows, at), asyncio.gather(*asked)
        )
        return self.own_scores(point) + opened_scores(own, sent)

    async def advance(self, point: Point, residual: Vector, move: Advance, at: str) -> Point:
        """A step of all blocks along the gradient of weighted residuals (n, k)."""
        own = self.own.step(point.own.v, residual)
        scaled = residual / (len(residual) * self.bound)
        if np.abs(scaled).max() > MAX_RESIDUAL:
            raise JobError(
                "residuals left the fixed-point range: a count is far above all others, or the "
                "model to start from does not fit; cap the label, or leave warm_start out"
            )
        asked = [
            b.gradient(scaled, point.shares[b.passive].v, self.holder, at) for b in self.blocks
        ]
        gradients = await asyncio.gather(*asked)
        shares = {
            b.passive: point.shares[b.passive].advance(gradient, move)
            for b, gradient in zip(self.blocks, gradients, strict=True)
        }
        return Point(point.own.advance(own, move), shares)

    async def hand_over(self, point: Point, at: str) -> None:
        """Every passive party learns its own weights."""
        for block in self.blocks:
            await block.hand_over(point.shares[block.passive].v, self.holder, at)
