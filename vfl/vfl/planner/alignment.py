"""What crosses the borders before and after training: alignment, and the held-out scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.planner.traffic import Traffic, array, plain
from vfl.protocols import alignment_messages as messages
from vfl.protocols import masked_sum, scoring

if TYPE_CHECKING:
    from vfl.planner.shape import Shape

SOLE = "score of the only passive party; it is the sum that is asked for"


def send_alignment(traffic: Traffic, shape: Shape) -> float:
    """Count the messages of alignment; the bytes of all."""
    before = traffic.bytes.total()
    active, passives = shape.roster.active, shape.roster.passives
    for name in passives:
        traffic.send(messages.Salt, active, name, "align", plain("salt", bytes(32)))
        count = plain("rows", shape.joint, "disclosed", messages.COUNT)
        traffic.send(messages.JointCount, active, name, "align", count)
    if len(passives) == 1:
        _two(traffic, shape)
    else:
        _ring(traffic, shape)
    return traffic.bytes.total() - before


def _two(traffic: Traffic, shape: Shape) -> None:
    active, (peer,) = shape.roster.active, shape.roster.passives
    for sender, receiver, owner in ((active, peer, active), (peer, active, peer)):
        _send_list(traffic, shape, sender, receiver, owner, f"align/{owner}")
    _send_list(traffic, shape, peer, active, active, f"align/{active}", messages.MaskedTwice)
    _send_places(traffic, shape, active, peer, peer)


def _ring(traffic: Traffic, shape: Shape) -> None:
    """`protocols.alignment_ring`: every list goes round, and places are led back."""
    parties = shape.roster.data_parties
    most = len(parties)
    for first, owner in enumerate(parties):
        way = [parties[(first + hop) % most] for hop in range(most)]  # of the list
        for hop in range(1, most):
            _send_list(traffic, shape, way[hop - 1], way[hop], owner, f"align/{owner}/{hop}")
        if way[-1] != parties[0]:
            _send_list(traffic, shape, way[-1], parties[0], owner, f"align/{owner}/finished")
            _send_places(traffic, shape, parties[0], way[-1], owner)
        for here, before in zip(way[:0:-1], way[-2::-1], strict=True):
            _send_places(traffic, shape, here, before, owner)


def _send_list(
    traffic: Traffic, shape: Shape, sender: str, receiver: str, owner: str, scope: str,
    kind: type[messages.MaskedIds | messages.MaskedTwice] = messages.MaskedIds,
) -> None:  # fmt: skip
    count = shape.rows[owner]
    points = array("points", "masked", count, messages.CURVE)
    traffic.send(kind, sender, receiver, scope, points, content=32 * count)


def _send_places(traffic: Traffic, shape: Shape, sender: str, receiver: str, owner: str) -> None:
    reason = messages.MINE if receiver == owner else messages.NOT_MINE
    places = array("places", "disclosed", shape.joint, reason)
    content = 8 * shape.joint
    traffic.send(messages.Trace, sender, receiver, f"align/{owner}", places, content=content)


def send_scores(traffic: Traffic, shape: Shape) -> float:
    """Count the messages of scoring the held-out rows; the bytes of all."""
    before = traffic.bytes.total()
    active, passives, count = (
        shape.roster.active,
        shape.roster.passives,
        shape.held_out * shape.outputs,
    )
    for name in passives:
        if len(passives) == 1:
            sole = array("values", "disclosed", count, SOLE)
            traffic.send(scoring.SoleScores, name, active, scoring.SCOPE, sole, content=8 * count)
            continue
        masked = array("values", "masked", count, "pairwise")
        traffic.send(scoring.MaskedScores, name, active, scoring.SCOPE, masked, content=8 * count)
        for peer in passives:
            if peer != name:
                key = plain("key", bytes(32))
                traffic.send(masked_sum.MaskKey, name, peer, scoring.SCOPE, key)
    return traffic.bytes.total() - before
