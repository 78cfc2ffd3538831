"""Which training a level means, for each role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfl.parties import coordinated, opening, sealing, sharing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vfl.context import Context
    from vfl.models.response import Response
    from vfl.parties.base import DataParty, Prepared
    from vfl.parties.outcome import Outcome

PASSIVE: Final[Mapping[str, Callable[[DataParty, Context, Prepared], Awaitable[Outcome]]]] = {
    "arbiter": coordinated.passive,
    "shared": sharing.passive,
    "open": opening.passive,
    "sealed": sealing.passive,
}
ACTIVE: Final[
    Mapping[str, Callable[[DataParty, Context, Prepared, Response], Awaitable[Outcome]]]
] = {
    "arbiter": coordinated.active,
    "shared": sharing.active,
    "open": opening.active,
    "sealed": sealing.active,
}
