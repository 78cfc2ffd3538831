"""Every message that crossed a border: from, to, what, how many bytes, how protected. No values.

Each party keeps its own ledger, one JSON line a message, sent and received alike, with the digest
of the very bytes. Put side by side the two ends of a border must agree, and every field must be one
the protocols declared: that is what `audit` checks.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import msgspec

from vfl.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from vfl.messages import Envelope


KEY = ".key"
"""How the kind of a message ends that carries a public key."""


class FieldEntry(msgspec.Struct, frozen=True):
    name: str
    protection: str
    how: str  # scheme, mask, or the reason of a disclosure
    parameters: str  # key bits or log2 QP; empty where nothing is encrypted
    security_bits: int
    count: int  # values carried


class Entry(msgspec.Struct, frozen=True):
    """One message at one end of a border. `at` is Unix time in seconds."""

    at: float
    direction: Literal["sent", "received"]
    job: str
    sender: str
    receiver: str
    sender_role: str
    receiver_role: str
    kind: str
    scope: str
    bytes: int
    digest: str
    fields: list[FieldEntry]


class Ledger:
    """The ledger of one party; also appended to `path` as JSON lines when given."""

    def __init__(self, roles: Mapping[str, str], path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self._roles = roles
        self._schemes: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()
        self._path = path
        self._file: IO[bytes] | None = None
        if path:
            cut_short = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
            self._file = path.open("ab", buffering=0)
            if cut_short:  # by a crash: the next line must not grow onto it
                self._append(self._file, b"\n")

    def know_key(self, key_id: str, parameters: str, security_bits: int) -> None:
        """Tell how strong the key behind `key_id` is, so that later entries can say so."""
        self._schemes[key_id] = (parameters, security_bits)

    def record(
        self, direction: Literal["sent", "received"], envelope: Envelope, size: int, digest: str
    ) -> None:
        """Note one message. Raises `CheckpointError` if the file cannot be written."""
        fields = []
        for field in envelope.fields:
            parameters, bits = self._schemes.get(field.key_id, ("", 0)) if field.key_id else ("", 0)
            fields.append(
                FieldEntry(field.name, field.protection, field.how, parameters, bits, field.count)
            )
        entry = Entry(
            time.time(), direction, envelope.job, envelope.sender, envelope.receiver,
            self._roles.get(envelope.sender, "?"), self._roles.get(envelope.receiver, "?"),
            envelope.kind, envelope.scope, size, digest, fields,
        )  # fmt: skip
        with self._lock:
            self.entries.append(entry)
            if self._file:
                self._append(self._file, msgspec.json.encode(entry) + b"\n")

    def _append(self, file: IO[bytes], line: bytes) -> None:
        try:
            while line:  # a disk that fills up takes a part first
                line = line[file.write(line) :]
        except OSError as error:
            raise CheckpointError(
                f"cannot write the ledger {self._path}: {error.strerror or error}. Free space or "
                "fix the folder's rights, then run again with --resume"
            ) from error

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def read_entries(path: Path) -> list[Entry]:
    """The entries of a ledger file; a line cut short by a crash is left out."""
    entries = []
    for line in path.read_bytes().splitlines():
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError:
            continue
    return entries


class Border(msgspec.Struct, frozen=True):
    """Traffic in one direction between two parties; `keys` of the bytes carried public keys."""

    sender: str
    receiver: str
    messages: int
    bytes: int
    keys: int = 0


class Audit(msgspec.Struct, frozen=True):
    """The sum of all ledgers of a run."""

    borders: list[Border]
    protections: dict[str, int]  # "encrypted: paillier, n: 3072 bit" -> values carried
    disclosures: dict[str, int]  # reason -> values carried
    undeclared: list[str]
    unmatched: list[str]  # recorded at one end of a border only, or not alike at both
    absent: list[str] = []  # parties whose ledger, or all of it, was not there to be compared

    @property
    def bytes(self) -> int:
        return sum(border.bytes for border in self.borders)

    @property
    def keys(self) -> int:
        """How many of the bytes carried public keys: sent once, however long a job trains."""
        return sum(border.keys for border in self.borders)

    @property
    def clean(self) -> bool:
        return not self.undeclared and not self.unmatched


def audit(
    entries: Iterable[Entry],
    declared: Mapping[tuple[str, str, str], Mapping[str, str]],
    absent: Collection[str] = (),
) -> Audit:
    """Compare what was sent with what was received, and both with the declaration.

    `absent` are parties whose ledgers are not among the entries, or not in full: borders with them
    have one end.
    """
    sent: set[tuple[object, ...]] = set()
    received: set[tuple[object, ...]] = set()
    borders: dict[tuple[str, str], tuple[int, int, int]] = {}
    protections: Counter[str] = Counter()
    disclosures: Counter[str] = Counter()
    undeclared: set[str] = set()
    latest, newest = "", 0.0
    ended: set[str] = set()
    for entry in entries:
        if entry.kind.startswith("score."):
            ended.add(entry.job)
        if entry.at > newest:
            newest, latest = entry.at, entry.job
        # Not how strong the key is: a message under a new one may arrive before that key.
        fields = tuple((f.name, f.protection, f.how, f.count) for f in entry.fields)
        border = (entry.sender, entry.receiver, entry.sender_role, entry.receiver_role)
        identity = (*border, entry.kind, entry.scope, entry.job, entry.bytes, entry.digest, fields)
        (sent if entry.direction == "sent" else received).add(identity)
        where = f"from {entry.sender} to {entry.receiver}"
        allowed = declared.get((entry.kind, entry.sender_role, entry.receiver_role))
        found = {f.name: f.protection for f in entry.fields}
        if allowed is None or len(found) != len(fields):
            undeclared.add(f"{entry.kind} {where}")
        else:
            for name, protection in found.items() ^ allowed.items():
                undeclared.add(f"{entry.kind}.{name} ({protection}) {where}")
        if entry.direction == "received":
            continue
        count, size, keys = borders.get((entry.sender, entry.receiver), (0, 0, 0))
        is_key = entry.kind.endswith(KEY)
        keys += entry.bytes * is_key
        borders[entry.sender, entry.receiver] = (count + 1, size + entry.bytes, keys)
        for field in entry.fields:
            protections[_label(field)] += 1 if is_key else field.count
            if field.protection == "disclosed":
                disclosures[field.how] += field.count
    # What an attempt had under way when it died never arrived. Attempts that ended have scored.
    # What was sent again, the same bytes, was recorded once where it arrived.
    lonely = [one for one in sent - received if one[6] in ended | {latest}]
    lonely += received - sent
    lonely = [one for one in lonely if not {one[0], one[1]}.intersection(absent)]
    return Audit(
        [Border(*pair, *borders[pair]) for pair in sorted(borders)],
        dict(sorted(protections.items())),
        dict(sorted(disclosures.items())),
        sorted(undeclared),
        sorted(f"{kind} from {a} to {b} at {scope}" for a, b, _, _, kind, scope, *_ in lonely),
        sorted(absent),
    )


def _label(field: FieldEntry) -> str:
    if field.protection == "encrypted":
        return f"encrypted: {field.how}, {field.parameters}, {field.security_bits}-bit security"
    if field.protection == "masked":
        return f"masked: {field.how}"
    return field.protection
