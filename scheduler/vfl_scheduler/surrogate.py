"""The last known contribution of each party to each batch: what stands in for a late one."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Surrogates(Generic[V]):
    """(party, batch) -> the newest contribution and the pass it was made for.

    Values are opaque: ciphertexts under the current key, in a run. `clear` forgets them when that
    key is replaced; their owners encrypt them anew.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], tuple[int, V]] = {}

    def refresh(self, party: str, batch: int, made: int, value: V) -> bool:
        """Keep `value` if none was made for the same or a later pass; says whether it was kept."""
        key = (party, batch)
        held = self._held.get(key)
        if held is not None and held[0] >= made:
            return False
        self._held[key] = (made, value)
        return True

    def made(self, party: str, batch: int) -> int | None:
        """The pass that the held contribution was made for."""
        held = self._held.get((party, batch))
        return None if held is None else held[0]

    def value(self, party: str, batch: int) -> V:
        """The held contribution. Raises `KeyError` where there is none."""
        return self._held[party, batch][1]

    def forget(self, party: str) -> None:
        """All contributions of one party."""
        for key in [key for key in self._held if key[0] == party]:
            del self._held[key]

    def clear(self) -> None:
        self._held.clear()
