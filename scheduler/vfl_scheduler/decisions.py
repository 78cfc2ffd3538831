"""What a policy may decide, as values. One driver carries them out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """Wait for the next arrival, at most until `until_s` on the gather's clock."""

    until_s: float


@dataclass(frozen=True)
class Proceed:
    """Go on with the contributions of `arrived`."""

    arrived: frozenset[str]


@dataclass(frozen=True)
class Abort:
    """Give the round up; `missing` did not deliver."""

    missing: frozenset[str]


Decision = Wait | Proceed | Abort
