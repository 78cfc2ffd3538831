"""What a policy may decide, as values. One driver carries them out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """Wait for the next event, at most until `until_s` on the gather's clock."""

    until_s: float


@dataclass(frozen=True)
class Proceed:
    """Go on with the new contributions of `arrived` and the last known ones of `filled`.

    Who is in neither contributes nothing to this round. Every party takes `steps` steps on what
    comes of it.
    """

    arrived: frozenset[str]
    filled: frozenset[str] = frozenset()
    steps: int = 1


@dataclass(frozen=True)
class Reuse:
    """Nobody delivered: go on, for `steps` steps, with the last contributions of all `filled`."""

    filled: frozenset[str]
    steps: int = 1


@dataclass(frozen=True)
class AskMore:
    """Ask `parties` again, with the same bytes; then wait until `until_s`."""

    parties: frozenset[str]
    until_s: float


@dataclass(frozen=True)
class Drop:
    """`parties` take no part any more; the round goes on without them."""

    parties: frozenset[str]


@dataclass(frozen=True)
class Abort:
    """Give the round up; `missing` did not deliver."""

    missing: frozenset[str]


Decision = Wait | Proceed | Reuse | AskMore | Drop | Abort
