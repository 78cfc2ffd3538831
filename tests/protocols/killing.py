"""A party that dies in the middle of a run."""

from __future__ import annotations

from vfl.context import Context
from vfl.errors import PartyLostError


class KilledError(PartyLostError):
    """What happens to a party in tests of resuming."""


def kill(monkeypatch, party: str, after: int, kinds: str = ""):
    """`party` dies instead of sending its message number `after` (from 0) of those `kinds`.

    `kinds`: what the kind of a message begins with for it to count.
    """
    send, count = Context.send, 0

    async def sending(self, to, message, *, scope):
        nonlocal count
        if self.name == party and message.kind.startswith(kinds):
            count += 1
            if count > after:
                raise KilledError(f"{party} was killed before {message.kind} of {scope}")
        await send(self, to, message, scope=scope)

    monkeypatch.setattr(Context, "send", sending)
