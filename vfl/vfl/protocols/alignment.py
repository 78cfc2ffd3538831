"""Which rows are about the same people: private set intersection for two or more parties.

Two parties (Meadows 1986; Huberman, Franklin and Hogg 1999), A active, P passive:

    A -> P    salt, H(a)^alpha                 A's list, shuffled
    P -> A    H(a)^(alpha beta), H(b)^beta     A's order kept; P's list, shuffled
    A -> P    places of the joint rows in P's list, in the order of rows

Three or more: the lists travel a ring, every party raises and shuffles every list, and the active
party compares the finished ones. It sees how many ids each two lists share, but no id: only places
of joint rows are led back, party by party through the shuffles, to each list's owner.

The active party decides the order of rows: by SHA-256 of seed and id, which says nothing about its
file and is the same for the same people, whatever the session.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

import numpy as np

from vfl.errors import AlignmentError, ProtocolError
from vfl.messages import Disclosed, Masked, Public
from vfl.protocols.alignment_messages import (
    COUNT,
    CURVE,
    MINE,
    JointCount,
    MaskedIds,
    MaskedTwice,
    Salt,
    Trace,
)
from vfl.protocols.alignment_ring import Ring
from vfl.protocols.alignment_steps import checked_places, compared, raise_foreign, raise_own
from vfl_crypto.psi import Blinder, shuffled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vfl.context import Context

    Rows = NDArray[np.intp]


async def active(ctx: Context, ids: Sequence[bytes], *, seed: int, minimum: int) -> Rows:
    """The rows of the own table that are joint, in the order all parties use from here on.

    Raises `AlignmentError` when fewer than `minimum` rows are joint.
    """
    salt = secrets.token_bytes(32)
    await ctx.broadcast(ctx.roster.passives, Salt(Public(salt)), scope="align")
    by_id = _ordering(ids, seed)
    if len(ctx.roster.passives) == 1:
        return await _active_of_two(ctx, ids, salt, by_id, minimum)
    ring = Ring(ctx, ids, salt)
    lists = await ring.circulate()
    found = compared(lists)
    overlaps = [
        f"{a} and {b} share {found.overlaps[i, j]}"
        for i, a in enumerate(ring.parties)
        for j, b in enumerate(ring.parties[:i])
    ]
    await _announce(ctx, len(found), minimum, "; ".join(overlaps))
    own = await ring.trace_own(found.positions[0])
    order = by_id(own)
    await ring.trace_others([places[order] for places in found.positions])
    return own[order]


async def passive(ctx: Context, ids: Sequence[bytes], *, minimum: int) -> Rows:
    """The rows of the own table that are joint, in the active party's order."""
    active = ctx.roster.active
    salt = (await ctx.receive(Salt, from_=active, scope="align")).salt.value
    if len(ctx.roster.passives) == 1:
        return await _passive_of_two(ctx, ids, salt, minimum)
    ring = Ring(ctx, ids, salt)
    await ring.circulate()
    count = await ctx.receive(JointCount, from_=active, scope="align")
    _check_overlap(ctx.name, count.rows.value, minimum, f"own table: {len(ids)} ids")
    return await ring.trace(count.rows.value)


async def _active_of_two(
    ctx: Context,
    ids: Sequence[bytes],
    salt: bytes,
    by_id: Callable[[Rows], Rows],
    minimum: int,
) -> Rows:
    (peer,) = ctx.roster.passives
    blinder = Blinder()
    order = shuffled(len(ids))
    masked = await raise_own(ctx, blinder, ids, order, salt)
    await ctx.send(peer, MaskedIds(Masked(masked, CURVE)), scope=f"align/{ctx.name}")
    theirs = (await ctx.receive(MaskedIds, from_=peer, scope=f"align/{peer}")).points.value
    twice = (await ctx.receive(MaskedTwice, from_=peer, scope=f"align/{ctx.name}")).points.value
    if len(twice) != len(masked):
        raise ProtocolError(f"{peer} returned {len(twice)} of {len(masked)} masked ids")
    theirs_twice = await raise_foreign(ctx, blinder, theirs, peer)
    found = compared([twice, theirs_twice])
    sizes = f"{ctx.name} has {len(ids)} ids, {peer} has {len(theirs)}"
    await _announce(ctx, len(found), minimum, sizes)
    own, places = order[found.positions[0]], found.positions[1]
    rows = by_id(own)
    await ctx.send(peer, Trace(Disclosed(places[rows], MINE)), scope=f"align/{peer}")
    return own[rows]


async def _passive_of_two(ctx: Context, ids: Sequence[bytes], salt: bytes, minimum: int) -> Rows:
    peer = ctx.roster.active
    blinder = Blinder()
    order = shuffled(len(ids))
    masked = await raise_own(ctx, blinder, ids, order, salt)
    await ctx.send(peer, MaskedIds(Masked(masked, CURVE)), scope=f"align/{ctx.name}")
    theirs = (await ctx.receive(MaskedIds, from_=peer, scope=f"align/{peer}")).points.value
    twice = await raise_foreign(ctx, blinder, theirs, peer)
    await ctx.send(peer, MaskedTwice(Masked(twice, CURVE)), scope=f"align/{peer}")
    count = await ctx.receive(JointCount, from_=peer, scope="align")
    sizes = f"{ctx.name} has {len(ids)} ids, {peer} has {len(theirs)}"
    _check_overlap(ctx.name, count.rows.value, minimum, sizes)
    trace = await ctx.receive(Trace, from_=peer, scope=f"align/{ctx.name}")
    return order[checked_places(trace, len(ids), count.rows.value, peer)]


def _ordering(ids: Sequence[bytes], seed: int) -> Callable[[Rows], Rows]:
    """The permutation that sorts rows by SHA-256(seed, id)."""
    start = hashlib.sha256(b"vfl row order" + seed.to_bytes(16, "little", signed=True))

    def key(row: int) -> bytes:
        state = start.copy()
        state.update(ids[row])
        return state.digest()

    def order(rows: Rows) -> Rows:
        return np.array(sorted(range(len(rows)), key=lambda i: key(int(rows[i]))), dtype=np.intp)

    return order


async def _announce(ctx: Context, rows: int, minimum: int, counts: str) -> None:
    message = JointCount(Disclosed(rows, COUNT))
    await ctx.broadcast(ctx.roster.passives, message, scope="align")
    _check_overlap(ctx.name, rows, minimum, counts)


def _check_overlap(party: str, rows: int, minimum: int, counts: str) -> None:
    if rows < max(minimum, 1):
        raise AlignmentError(
            f"{party}: {rows} rows are common to all parties ({counts}), at least {minimum} are "
            "needed. Compare how the parties write their ids (spelling, prefixes, leading zeros), "
            "or lower min_overlap"
        )
