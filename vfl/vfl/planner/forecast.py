"""What a protocol is expected to take: the values that each protocol's function returns."""

from __future__ import annotations

from typing import Final

import msgspec

KINDS: Final = {"align": "alignment", "key": "keys", "train": "rounds", "score": "scoring"}


class PartyForecast(msgspec.Struct, frozen=True):
    """One party. Seconds by stage, bytes by kind of message, bytes of memory by what is in them."""

    name: str
    role: str
    seconds: dict[str, float]
    sent: dict[str, int]
    received: dict[str, int]
    memory: dict[str, int]


class Forecast(msgspec.Struct, frozen=True):
    """A job under one cipher. `total_s` runs from the first read to the last score."""

    cipher: str
    parameters: str
    security_bits: int
    total_s: float
    training_s: float  # keys and rounds
    epoch_s: float  # one epoch, what is made once spread over all
    epoch_bytes: int
    epochs: int  # at most; under `shared` the rounds of one fit
    keys: int  # key pairs: a key opens only so many values
    bytes: int
    key_bytes: int
    longest_s: float  # work during which another party waits
    parties: list[PartyForecast]
    fits: int = 1
