"""Both halves of the two products of a round on shares, for one passive party.

    u (r, k)   whitened weights, shared by active and passive party: <u>_A + <u>_p modulo 2^96
    scores     X~ u            p multiplies its columns with [[<u>_A]], masked
    gradient   X~' d + R u     p multiplies its columns and ridge with [[(d, <u>_A)]], masked

What p can multiply in the clear, <u>_p, it does itself. Weights have 24 fraction bits, whitened
columns 16, gradients 44; scores are computed modulo 2^52 and opened in steps of 2^-16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vfl.errors import DataError, ProtocolError
from vfl.messages import Disclosed, Masked, Public
from vfl.protocols.iterate import GRADIENT_FRACTION, WEIGHT_BITS, WEIGHT_FRACTION
from vfl.protocols.shared_messages import (
    OWN,
    SOLE,
    Coefficients,
    Gradient,
    MaskedScores,
    Products,
    Residual,
    SoleScores,
    Weights,
)
from vfl_crypto.errors import EncodingOverflowError
from vfl_crypto.secagg import round_context
from vfl_crypto.sharing import masked_layout
from vfl_crypto.words import IntegerMatrix, Words, limbs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.models.whitening import Whitening
    from vfl_crypto.linear import Ciphertext
    from vfl_crypto.secagg import PairwiseMasker
    from vfl_crypto.sharing import ShareEvaluator, ShareHolder

MATRIX_FRACTION: Final = 16
MATRIX_BITS: Final = 26  # of an entry, with its sign: whitened columns stay below 512
SCORE_BITS: Final = 52
OPENED_FRACTION: Final = 16
_DROPPED: Final = WEIGHT_FRACTION + MATRIX_FRACTION - OPENED_FRACTION
_OPENED_BITS: Final = SCORE_BITS - _DROPPED
_OPENED_MASK: Final = (1 << _OPENED_BITS) - 1
SPARE_BITS: Final = 16
HANDED_BITS: Final = WEIGHT_BITS - SPARE_BITS  # of the modulus of shares that are handed over


class PassiveBlock:
    """p's whitened columns as integers. Raises `DataError` where they leave the range."""

    def __init__(self, ctx: Context, whitening: Whitening, outputs: int) -> None:
        self._ctx = ctx
        self._outputs = outputs
        rows, rank = whitening.columns.shape
        backward = np.zeros((rank, rows + rank))  # the columns, once in memory, beside the ridge
        columns, ridge = backward[:, :rows], backward[:, rows:]
        np.ldexp(whitening.columns.T, MATRIX_FRACTION, out=columns)
        np.rint(columns, out=columns)
        scaled = np.ldexp(whitening.ridge, GRADIENT_FRACTION - WEIGHT_FRACTION)
        np.fill_diagonal(ridge, np.rint(scaled))
        try:
            self._forward = IntegerMatrix(columns.T, MATRIX_BITS)
            self._ridge = IntegerMatrix(ridge, MATRIX_BITS)
            self._backward = IntegerMatrix(backward, MATRIX_BITS)
        except EncodingOverflowError as error:
            raise DataError(
                f"{ctx.name}: a row is so far from all others that its columns, made independent, "
                "leave the fixed-point range (512 deviations); cap or drop its outliers"
            ) from error

    async def open_scores(
        self, v: Words, evaluator: ShareEvaluator, masker: PairwiseMasker | None, at: str
    ) -> None:
        """Both shares of X~ v leave: A's as a masked product, p's own pairwise masked."""
        ctx, active = self._ctx, self._ctx.roster.active
        for scope, own in _per_output(v, self._outputs, at):
            sent = await ctx.receive(Weights, from_=active, scope=scope)
            _require_all(ctx, sent)
            product, share = await ctx.compute(
                "encrypt", evaluator.multiply, self._forward, sent.values
            )
            await ctx.send(active, Products(product), scope=scope)
            share += await ctx.compute("compute", self._forward.__matmul__, own.modulo(SCORE_BITS))
            opened = share.shifted(_DROPPED).modulo(_OPENED_BITS).limbs[:, 0]
            if masker is None:
                await ctx.send(active, SoleScores(Disclosed(opened, SOLE)), scope=scope)
                continue
            context = round_context(scope, 0, 0, "scores")
            masked = masker.mask_words(opened.astype(np.uint64), context)
            # Beyond its modulus a sum would count who wrapped.
            masked = (masked & np.uint64(_OPENED_MASK)).astype(np.uint32)
            await ctx.send(active, MaskedScores(Masked(masked, "pairwise")), scope=scope)

    async def gradient(self, v: Words, evaluator: ShareEvaluator, at: str) -> Words:
        """p's share of X~' d + R v."""
        ctx, active = self._ctx, self._ctx.roster.active
        shares = []
        for scope, own in _per_output(v, self._outputs, at):
            sent = await ctx.receive(Residual, from_=active, scope=scope)
            product, share = await ctx.compute(
                "encrypt", evaluator.multiply, self._backward, sent.values
            )
            await ctx.send(active, Gradient(product), scope=scope)
            shares.append(share + self._ridge @ own)
        return _joined(shares)

    async def receive_weights(self, v: Words, at: str) -> NDArray[np.float64]:
        """u (r, k) from both shares."""
        active = self._ctx.roster.active
        message = await self._ctx.receive(Coefficients, from_=active, scope=at)
        theirs = read_handed(message.values.value, len(v), active)
        u = (v.modulo(HANDED_BITS) + theirs).signed(WEIGHT_FRACTION)
        return u.reshape(self._outputs, -1).T


class ActiveBlock:
    """A's half of the products with one passive party."""

    def __init__(self, ctx: Context, passive: str, rank: int, outputs: int) -> None:
        self._ctx = ctx
        self._outputs = outputs
        self.passive = passive
        self.rank = rank

    async def scores(self, v: Words, holder: ShareHolder, rows: int, at: str) -> list[Words]:
        """A's share of X~ v, low bits gone, for each output: (n,)."""
        found = []
        for scope, own in _per_output(v, self._outputs, at):
            sent = await self._ctx.compute("encrypt", holder.encrypt_words, own.modulo(SCORE_BITS))
            weights = Weights(sent, Public(list(self._ctx.roster.passives)))
            await self._ctx.send(self.passive, weights, scope=scope)
            message = await self._ctx.receive(Products, from_=self.passive, scope=scope)
            share = await self._share(holder, message.values, "scores", rows, SCORE_BITS)
            found.append(share.shifted(_DROPPED).modulo(_OPENED_BITS))
        return found

    async def gradient(
        self, d: NDArray[np.float64], v: Words, holder: ShareHolder, at: str
    ) -> Words:
        """A's share of X~' d + R v, d (n, k) being residuals over n and the Hessian's bound."""
        shares = []
        scaled = np.rint(np.ldexp(d, GRADIENT_FRACTION - MATRIX_FRACTION)).astype(np.int64)
        for column, (scope, own) in zip(scaled.T, _per_output(v, self._outputs, at), strict=True):
            both = Words.of(column, WEIGHT_BITS).join(own)
            sent = await self._ctx.compute("encrypt", holder.encrypt_words, both)
            await self._ctx.send(self.passive, Residual(sent), scope=scope)
            message = await self._ctx.receive(Gradient, from_=self.passive, scope=scope)
            share = await self._share(
                holder, message.values, "gradient entries", self.rank, WEIGHT_BITS
            )
            shares.append(share)
        return _joined(shares)

    async def hand_over(self, v: Words, holder: ShareHolder, at: str) -> None:
        """A's share of v."""
        limbs = handed(v, holder)
        await self._ctx.send(self.passive, Coefficients(Disclosed(limbs, OWN)), scope=at)

    async def _share(
        self, holder: ShareHolder, masked: Ciphertext, what: str, expected: int, bits: int
    ) -> Words:
        """Of `expected` values modulo 2^bits, which the message must say before it is opened."""
        layout = masked_layout(bits)
        if (masked.count, masked.layout) != (expected, layout):
            raise ProtocolError(
                f"{self.passive} sent {masked.count} {what} as {masked.layout[:32]!r} where "
                f"{expected} as {layout!r} were expected"
            )
        return await self._ctx.compute("encrypt", holder.share, masked)


def handed(v: Words, holder: ShareHolder) -> NDArray[np.uint32]:
    """A share of weights as it goes to their owner, modulo 2^80, counted by the holder.

    It goes as it stands: the bits that `open_share` drops are added for it. What was decrypted has
    lost its 20 lowest bits or more in each step, rounded down (`iterate`), so the carries of all
    rounds tell less about the key than 12 dropped bits would in up to 256 rounds.
    """
    opened = holder.open_share(v.times(1 << SPARE_BITS), SPARE_BITS).shifted(SPARE_BITS)
    return opened.modulo(HANDED_BITS).limbs


def read_handed(limbs: NDArray[np.uint32], count: int, sender: str) -> Words:
    """What `handed` made, of `count` weights. Raises `ProtocolError` for anything else."""
    if limbs.dtype != np.uint32 or limbs.shape != (count, limbs_of(HANDED_BITS)):
        raise ProtocolError(
            f"{sender} sent a share of {limbs.dtype}, shape {limbs.shape}; "
            f"{count} weights were expected"
        )
    return Words(limbs, HANDED_BITS)


async def receive_scores(
    ctx: Context, outputs: int, rows: int, at: str
) -> list[list[NDArray[np.uint32]]]:
    """The passive parties' shares of their scores, or of the sum: for each output."""
    passives, found = ctx.roster.passives, []
    for output in range(outputs):
        scope = f"{at}/{output}"
        if len(passives) == 1:
            sole = await ctx.receive(SoleScores, from_=passives[0], scope=scope)
            parts = {passives[0]: sole.values.value}
        else:
            masked = await ctx.gather(MaskedScores, from_=passives, scope=scope)
            parts = {name: message.values.value for name, message in masked.items()}
        for name, part in parts.items():
            good = part.dtype == np.uint32 and part.shape == (rows,)
            if not good or (part > _OPENED_MASK).any():
                raise ProtocolError(
                    f"{name} sent a share of scores of {part.dtype}, shape {part.shape}; {rows} "
                    f"of uint32 below 2^{_OPENED_BITS} were expected"
                )
        found.append(list(parts.values()))
    return found


def opened_scores(
    own: Sequence[Sequence[Words]], sent: Sequence[Sequence[NDArray[np.uint32]]]
) -> NDArray[np.float64]:
    """The sum (n, k) of all passive parties' scores from A's shares and theirs.

    Each share was rounded down, by half a step on average.
    """
    columns = []
    for output, theirs in enumerate(sent):
        parts = [*theirs, *(shares[output].limbs[:, 0] for shares in own)]
        sums = np.add.reduce(parts, dtype=np.uint32) & np.uint32(_OPENED_MASK)
        total = Words(sums[:, None], _OPENED_BITS)
        columns.append(total.signed(OPENED_FRACTION) + 0.5 * len(parts) * 2.0**-OPENED_FRACTION)
    return np.stack(columns, axis=1)


def _per_output(v: Words, outputs: int, at: str) -> list[tuple[str, Words]]:
    """(scope, u of that output (r,))."""
    size = len(v) // outputs
    return [(f"{at}/{o}", v[o * size : (o + 1) * size]) for o in range(outputs)]


def _joined(parts: list[Words]) -> Words:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.join(part)
    return whole


def _require_all(ctx: Context, sent: Weights) -> None:
    """The set of contributors is fixed before masks are drawn: everybody, or nothing is sent."""
    if sent.contributors.value != list(ctx.roster.passives):
        raise ProtocolError(
            f"{ctx.name} was asked to open a sum over {sent.contributors.value}; "
            f"all passive parties take part: {list(ctx.roster.passives)}"
        )
