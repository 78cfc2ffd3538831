"""Both halves of X' d / n over one batch, which opens to the owner of X and to nobody else.

    A -> p    [[d / (n 2^e)]]
    p -> A    [[X~' d / (n 2^e) + mask]]      x = c x~, c the column's largest rms in a batch
    A -> p    A's share without its low bits  (`ShareHolder.open_share`)

By Cauchy and Schwarz an entry of the product is at most rms(x~) rms(d) / 2^e, and that is at most
1, because A sends e with 2^e >= rms(d). So 16 fraction bits are at most 16 significant ones,
although neither party can look first: A never sees a gradient, and p never sees one in full. e is
never smaller than before on the same batch, so a gradient that shrinks is not opened more finely,
for the reason that `release` gives.

Columns have 16 fraction bits and products 44, of which 28 are dropped. A's share is rounded at
random, p's to the nearest, so the sum is right on average and off by less than 1.5 steps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl.errors import DataError, ProtocolError
from vfl.messages import Disclosed
from vfl.protocols.guards import OPENED_BITS
from vfl.protocols.open_messages import EXPONENT, OWN, Gradient, Product, Residual
from vfl_crypto.errors import EncodingOverflowError
from vfl_crypto.words import IntegerMatrix, Words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.messages import Array
    from vfl_crypto.linear import Ciphertext
    from vfl_crypto.sharing import ShareEvaluator, ShareHolder

    Vector = NDArray[np.float64]

MATRIX_FRACTION: Final = 16
MATRIX_BITS: Final = 26  # of an entry, with its sign: below 512 root mean squares
_PRODUCT_FRACTION: Final = 44
PRODUCT_BITS: Final = 48  # of the modulus: products stay within +-1, to rounding
DROPPED: Final = _PRODUCT_FRACTION - OPENED_BITS
_KEPT_BITS: Final = PRODUCT_BITS - DROPPED
LEAST_EXPONENT: Final = -64
_MOST_EXPONENT: Final = 64
MAX_RESIDUAL: Final = 2.0 ** (_MOST_EXPONENT - 1)


class Columns:
    """p's columns X~ = X / c (n, f), batch by batch, as integers.

    They are what both scores and gradients are computed from; c (f,) are `sizes_of` X. Raises
    `DataError` for an entry out of range.
    """

    def __init__(self, party: str, X: Vector, sizes: Vector, batches: Sequence[slice]) -> None:
        self._size = sizes
        try:
            self._matrices = [
                IntegerMatrix(np.rint(np.ldexp(X[rows].T, MATRIX_FRACTION)), MATRIX_BITS)
                for rows in batches
            ]
        except EncodingOverflowError as error:
            raise DataError(
                f"{party}: an entry of a column is more than 512 times its root mean square, "
                "beyond the fixed-point range; cap or drop outliers"
            ) from error

    def matrix(self, batch: int) -> IntegerMatrix:
        """X~' (f, m)."""
        return self._matrices[batch]

    def scores(self, batch: int, weights: Vector) -> Vector:
        """X w (m, k) of weights (f, k)."""
        scaled = np.ldexp(weights * self._size[:, None], -MATRIX_FRACTION)
        return np.asarray(self._matrices[batch].values.T @ scaled)

    def gradient(self, share: Words, limbs: NDArray[np.uint32], exponent: int) -> Vector:
        """X' d / m (f,) from p's share and A's, a multiple of 2^(exponent - 16) c."""
        half = Words.of(np.full(len(share), 1 << (DROPPED - 1)), share.bits)
        kept = (share + half).shifted(DROPPED).modulo(_KEPT_BITS)
        total = kept + Words(limbs[:, None], _KEPT_BITS)
        return np.asarray(np.ldexp(total.signed(OPENED_BITS), exponent) * self._size)


def sizes_of(X: Vector, batches: Sequence[slice]) -> Vector:
    """c (f,): the largest root mean square of each column in a batch, 1 where all is zero."""
    rms = np.sqrt([np.mean(X[rows] ** 2, axis=0) for rows in batches]).max(axis=0)
    return np.where(rms > 0, rms, 1.0)


def exponent_of(residual: Vector) -> int:
    """The least e for which 2^e is not below the root mean square of any column (m, k)."""
    mantissa, exponent = math.frexp(float(np.sqrt(np.mean(residual**2, axis=0)).max()))
    return exponent - (mantissa == 0.5)


async def open_gradients(
    ctx: Context, holder: ShareHolder, columns: Mapping[str, int], d: Vector, exponent: int,
    at: str,
) -> None:  # fmt: skip
    """A's side, of residuals d (m, k): each passive party gets its gradient."""
    for output, column in enumerate(d.T):
        scope = f"{at}/{output}"
        sent = await ctx.compute("encrypt", holder.encrypt_words, _encoded(column, exponent))
        residual = Residual(sent, Disclosed(exponent, EXPONENT))
        await ctx.broadcast(columns, residual, scope=scope)
        for name, product in (await ctx.gather(Product, from_=columns, scope=scope)).items():
            if product.values.count != columns[name]:
                raise ProtocolError(
                    f"{name} sent {product.values.count} gradient entries in {scope} where "
                    f"{columns[name]} were expected"
                )
            limbs = await ctx.compute("encrypt", _opened, holder, product.values)
            await ctx.send(name, Gradient(Disclosed(limbs, OWN)), scope=scope)


async def receive_gradient(
    ctx: Context, columns: Columns, index: int, evaluator: ShareEvaluator, outputs: int, at: str
) -> Vector:
    """p's side, of one batch: its gradient (f, k)."""
    active, matrix, found = ctx.roster.active, columns.matrix(index), []
    for output in range(outputs):
        scope = f"{at}/{output}"
        residual = await ctx.receive(Residual, from_=active, scope=scope)
        product, share = await ctx.compute("encrypt", evaluator.multiply, matrix, residual.values)
        await ctx.send(active, Product(product), scope=scope)
        message = await ctx.receive(Gradient, from_=active, scope=scope)
        limbs, exponent = message.values.value, residual.exponent.value
        _check_opened(limbs, exponent, len(share), active)
        found.append(columns.gradient(share, limbs, exponent))
    return np.stack(found, axis=1)


def _encoded(residual: Vector, exponent: int) -> Words:
    """d / (m 2^e) of one output's residuals (m,)."""
    scaled = np.ldexp(residual / len(residual), _PRODUCT_FRACTION - MATRIX_FRACTION - exponent)
    return Words.of(np.rint(scaled).astype(np.int64), PRODUCT_BITS)


def _opened(holder: ShareHolder, product: Ciphertext) -> NDArray[np.uint32]:
    """A's share (f,) of a masked product, without its low bits."""
    share = holder.open_share(holder.share(product), DROPPED)
    return share.shifted(DROPPED).modulo(_KEPT_BITS).limbs[:, 0]


def _check_opened(limbs: Array, exponent: int, columns: int, sender: str) -> None:
    """Raises `ProtocolError` for what the active party does not make."""
    fits = limbs.dtype == np.uint32 and limbs.shape == (columns,)
    if (
        not fits
        or (limbs.astype(np.uint32) >= 1 << _KEPT_BITS).any()
        or not LEAST_EXPONENT <= exponent <= _MOST_EXPONENT
    ):
        raise ProtocolError(
            f"{sender} opened a gradient of {limbs.dtype}, shape {limbs.shape}, exponent "
            f"{exponent}; {columns} integers below 2^{_KEPT_BITS} were expected"
        )
