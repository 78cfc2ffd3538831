"""What a party keeps to continue after a crash: its last epochs, in its own private folder.

Where everybody is waited for, a party can be at most one epoch ahead of another, so two are enough
for all to meet. A checkpoint is written beside its final name, synced and renamed; a full disk
leaves the previous one alone. Keys are never in it: a resumed job makes new ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from vfl.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
_NAME = re.compile(r"epoch-(\d{6})\.json")


class _Stored(msgspec.Struct, frozen=True):
    identity: str
    epoch: int
    state: dict[str, Any]
    digest: str  # of the three above: a state changed by hand or by a bad disk is not used


class Checkpoints:
    """The newest `keep` checkpoints of one party.

    `identity` is what must not change between attempts.
    """

    def __init__(self, folder: Path, party: str, identity: str, keep: int = 2) -> None:
        self._keep = keep
        self._folder = folder
        self._party = party
        self._identity = identity

    def epochs(self) -> list[int]:
        """The epochs that can be continued after, ascending."""
        found = (_NAME.fullmatch(path.name) for path in self._folder.glob("epoch-*.json"))
        return sorted(int(match[1]) for match in found if match)

    def save(self, epoch: int, state: dict[str, Any]) -> None:
        """Store the state after `epoch` epochs. Raises `CheckpointError`; what is stored stays."""
        path = self._folder / f"epoch-{epoch:06d}.json"
        stored = _Stored(self._identity, epoch, state, _digest(self._identity, epoch, state))
        write_atomically(path, stored, self._party)
        for old in self.epochs()[: -self._keep]:
            (self._folder / f"epoch-{old:06d}.json").unlink(missing_ok=True)

    def rewind(self, epoch: int) -> None:
        """Forget what was stored after `epoch`: the run continues there, on another path."""
        for later in self.epochs():
            if later > epoch:
                (self._folder / f"epoch-{later:06d}.json").unlink(missing_ok=True)

    def load(self, epoch: int) -> dict[str, Any]:
        """The state after `epoch` epochs. Raises `CheckpointError`."""
        path = self._folder / f"epoch-{epoch:06d}.json"
        stored = read_json(path, _Stored, self._party, "run again without --resume")
        if stored.identity != self._identity:
            raise CheckpointError(
                f"{self._party}: {path} was made from other data or another model than this job's; "
                "restore the files, or run again without --resume"
            )
        if stored.epoch != epoch or stored.digest != _digest(*msgspec.structs.astuple(stored)[:3]):
            raise CheckpointError(
                f"{self._party}: {path} was changed after it was written; "
                "restore it, or run again without --resume"
            )
        return stored.state


def _digest(identity: str, epoch: int, state: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode((identity, epoch, state))).hexdigest()


def read_json(path: Path, kind: type[T], party: str, remedy: str) -> T:
    """What `write_atomically` wrote. Raises `CheckpointError`, which ends in the remedy."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise CheckpointError(f"{party}: cannot read {path} ({error}); {remedy}") from error


def write_atomically(path: Path, value: object, party: str) -> None:
    """Write `value` as JSON so that `path` holds either the old or the new bytes."""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(value))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"{party}: cannot write {path}: {error.strerror or error}. What was stored before is "
            "untouched; free space or fix the folder's rights, then run again (--resume continues)"
        ) from error
