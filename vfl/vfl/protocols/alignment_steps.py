"""Steps that alignment of two and of more parties have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import ProtocolError
from vfl_crypto.errors import AlignmentError as BadPoints
from vfl_crypto.psi import Blinder, match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vfl.context import Context
    from vfl.messages import Array
    from vfl.protocols.alignment_messages import Trace
    from vfl_crypto.psi import Match

    Rows = NDArray[np.intp]


async def raise_own(
    ctx: Context, blinder: Blinder, ids: Sequence[bytes], order: Rows, salt: bytes
) -> NDArray[np.uint8]:
    def show(done: int, total: int) -> None:
        ctx.progress("masking own ids", done, total)

    listed = [ids[i] for i in order.tolist()]
    try:
        return await ctx.compute("align", blinder.blind_ids, listed, salt, show)
    except BadPoints as error:
        raise ProtocolError(f"{ctx.name} cannot use {ctx.roster.active}'s salt: {error}") from error


async def raise_foreign(
    ctx: Context, blinder: Blinder, points: Array, sender: str
) -> NDArray[np.uint8]:
    def show(done: int, total: int) -> None:
        ctx.progress(f"masking ids from {sender}", done, total)

    try:
        return await ctx.compute("align", blinder.blind, points, show)
    except BadPoints as error:
        raise ProtocolError(f"{ctx.name} refuses the masked ids from {sender}: {error}") from error


def compared(lists: Sequence[Array]) -> Match:
    """`match` on finished lists, which peers may have sent in any form."""
    for points in lists:
        if points.dtype != np.uint8 or points.shape[1:] != (32,):
            raise ProtocolError(f"a finished list of masked ids has shape {points.shape}")
    try:
        return match(lists[0], lists[1:])
    except BadPoints as error:  # the own ids are known to be unique
        raise ProtocolError(f"a peer changed a list of masked ids: {error}") from error


def checked_places(trace: Trace, length: int, count: int, sender: str) -> Rows:
    places = trace.places.value
    good = places.dtype == np.int64 and places.shape == (count,)
    if not good or len(np.unique(places)) != count or not ((places >= 0) & (places < length)).all():
        raise ProtocolError(
            f"{sender} sent {len(places)} places, which are not {count} rows of a list of {length}"
        )
    return places.astype(np.intp)
