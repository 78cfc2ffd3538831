"""A party that changes one of its messages before it leaves, and what it makes of it."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest

from vfl.context import Context
from vfl.messages import Public


@contextlib.contextmanager
def tampering(party: str, kind: str, change, *, at: int = 0):
    """Within, `party` sends `change` of its message number `at` (from 0) of a kind.

    Fails where no such message was sent and nothing else ended the job.
    """
    send, seen = Context.send, 0

    async def sending(self, to, message, *, scope):
        nonlocal seen
        if self.name == party and message.kind == kind:
            seen += 1
            if seen - 1 == at:
                message = change(message)
        await send(self, to, message, scope=scope)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "send", sending)
        yield
    assert seen > at


def field(**fields):
    """Other public fields."""
    return lambda m: dataclasses.replace(m, **{k: Public(v) for k, v in fields.items()})


def ciphertext(**changes):
    """Other attributes of the ciphertext; a callable is applied to the old value."""

    def change(message):
        old = message.values
        new = {k: v(getattr(old, k)) if callable(v) else v for k, v in changes.items()}
        return dataclasses.replace(message, values=dataclasses.replace(old, **new))

    return change


def public_key(key: bytes):
    """Another public key."""
    return field(key=np.frombuffer(key, dtype=np.uint8))
