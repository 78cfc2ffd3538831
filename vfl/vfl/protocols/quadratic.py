"""A quadratic whose coefficients two parties share, descended by both without either seeing it.

    gradient(u) = u + M u - m,    M (k, k) moments between tables, m (k,) theirs with the label

Shares of M and u are both secret, so each party sends its share of u encrypted, and gets back the
product with the other's share of M. The label is a column of weight -1, known to A alone:

    A -> p    [[(<u>_A, -1)]]               p -> A    [[(<u>_p, 0)]]
    p -> A    [[<M|m>_p (<u>_A, -1) + mask]]           and the same the other way

A share of a moment is a signed number of 72 bits. A matrix has entries of 25, so it is cut into
three pieces, each multiplied with u times a power of two: a product that is off by one unit is then
off by one unit in the sum. Weights have 24 fraction bits, products 52, gradients 40, and a step is
divided by 2^28 as in `iterate`: 40 bits stay above |u| < 16 each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from vfl.errors import ProtocolError
from vfl.models.chebyshev import UNIT
from vfl.protocols.iterate import WEIGHT_BITS, WEIGHT_FRACTION
from vfl.protocols.moments import MOMENT_FRACTION
from vfl.protocols.sealed_messages import Gradient, Weights
from vfl_crypto.sharing import masked_layout
from vfl_crypto.words import IntegerMatrix, Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.models.chebyshev import Step
    from vfl_crypto.sharing import ShareEvaluator, ShareHolder

PIECES: Final = 3
_PIECE: Final = 24  # bits
MATRIX_BITS: Final = _PIECE + 1  # of an entry, with its sign
_GRADIENT_FRACTION: Final = 40
_MORE: Final = 1 << (_GRADIENT_FRACTION - WEIGHT_FRACTION)


@dataclass(frozen=True, eq=False)
class Trail:
    """A share of the weights (k,) and of their predecessors."""

    u: Words
    before: Words

    @classmethod
    def zero(cls, count: int) -> Self:
        nothing = Words.zeros(count, WEIGHT_BITS)
        return cls(nothing, nothing)

    def moved(self, gradient: Words, step: Step) -> Self:
        """u + b (u - before) - a gradient, of a share of the gradient."""
        kept = self.u.times((UNIT + step.momentum) * _MORE)
        kept -= self.before.times(step.momentum * _MORE)
        by = _GRADIENT_FRACTION - WEIGHT_FRACTION + UNIT.bit_length() - 1
        return type(self)((kept - gradient.times(step.length)).shifted(by), self.u)


class Quadratic:
    """One party's share of it. moments (m m,) are those of all columns, the label's last."""

    def __init__(
        self, ctx: Context, peer: str, holder: ShareHolder, evaluator: ShareEvaluator,
        moments: Words,
    ) -> None:  # fmt: skip
        self._ctx = ctx
        self._peer = peer
        self._holder = holder
        self._evaluator = evaluator
        size = round(len(moments) ** 0.5)
        own = np.array([-1 << WEIGHT_FRACTION if ctx.role == "active" else 0])
        self._label = Words.of(own, WEIGHT_BITS)
        pieces = _pieces(moments).reshape(size, size, PIECES)[:-1]
        self._matrix = IntegerMatrix(
            np.hstack([pieces[:, :, k] for k in range(PIECES)]), MATRIX_BITS
        )

    async def gradient(self, u: Words, at: str) -> Words:
        """The own share of the gradient (k,) at the own share of u (k,)."""
        ctx, peer = self._ctx, self._peer
        vector = _shifted_copies(u.join(self._label))
        sent = await ctx.compute("encrypt", self._holder.encrypt_words, vector)
        await ctx.send(peer, Weights(sent), scope=at)
        theirs = await ctx.receive(Weights, from_=peer, scope=at)
        product, mine = await ctx.compute(
            "encrypt", self._evaluator.multiply, self._matrix, theirs.values
        )
        await ctx.send(peer, Gradient(product), scope=at)
        mine += await ctx.compute("compute", self._matrix.__matmul__, vector)
        answer = await ctx.receive(Gradient, from_=peer, scope=at)
        expected = len(u), masked_layout(vector.bits)
        if (answer.values.count, answer.values.layout) != expected:
            raise ProtocolError(
                f"{peer} sent {answer.values.count} gradient entries as "
                f"{answer.values.layout[:32]!r} where {expected[0]} as {expected[1]!r} were "
                "expected"
            )
        share = await ctx.compute("encrypt", self._holder.share, answer.values)
        dropped = MOMENT_FRACTION + WEIGHT_FRACTION - _GRADIENT_FRACTION
        return u.times(_MORE) + (mine + share).shifted(dropped)


def shape(weights: int) -> tuple[int, int]:
    """Of the matrix that is multiplied with what the other party encrypts."""
    return weights, PIECES * (weights + 1)


def _pieces(moments: Words) -> NDArray[np.float64]:
    """(count, 3): signed numbers as sums of pieces times 2^0, 2^24, 2^48; the last has the sign."""
    octets = np.ascontiguousarray(moments.limbs, dtype="<u4").view(np.uint8)
    wide = octets[:, : PIECES * _PIECE // 8].reshape(-1, PIECES, _PIECE // 8).astype(np.float64)
    pieces = wide @ 256.0 ** np.arange(_PIECE // 8)
    pieces[:, -1] -= (pieces[:, -1] >= 1 << (_PIECE - 1)) * float(1 << _PIECE)
    return pieces


def _shifted_copies(vector: Words) -> Words:
    """The vector times 2^0, 2^24, 2^48."""
    whole = last = vector
    for _ in range(PIECES - 1):
        last = last.times(1 << _PIECE)
        whole = whole.join(last)
    return whole
