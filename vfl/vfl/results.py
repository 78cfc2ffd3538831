"""What a party tells the driver when it is done, and what the driver keeps of a run. No secrets."""

from __future__ import annotations

import msgspec

from vfl.ledger import Audit, Entry
from vfl.timeline import Attendance, Timeline


class PartyResult(msgspec.Struct, frozen=True, kw_only=True):
    """One party's account. Timings in seconds by stage; metrics only at the active party."""

    party: str
    role: str
    folder: str
    timings: dict[str, float]
    entries: list[Entry]
    rows: dict[str, int] = {}  # "table", "aligned", "train", "held_out"
    metrics: dict[str, float] = {}
    columns: int = 0
    epochs: int = 0
    converged: bool = False
    changes: list[float] = []
    losses: list[float] = []  # exact mean negative log-likelihood, where it is known
    opened: int = 0
    peak_bytes: int = 0  # most memory its process ever held
    notes: list[str] = []
    predictions: str = ""  # file written by the active party
    timeline: Timeline = Timeline()
    lost: list[str] = []  # passive parties that training went on without


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run: `result.json` in its folder, and what `--json` prints."""

    run: str
    name: str
    metrics: dict[str, float]
    timings: dict[str, dict[str, float]]  # party -> stage -> seconds; "total" -> wall seconds
    rows: dict[str, int]
    epochs: int
    converged: bool
    changes: list[float]
    losses: list[float]
    opened: int
    cipher: str
    security_bits: int
    ledger: Audit
    undeclared: int
    arbiter: str
    notes: list[str]
    peak_bytes: dict[str, int] = {}  # party -> most memory of its process, all of them where one
    resumed: bool = False
    rounds: dict[str, Attendance] = {}  # passive party -> in how many rounds, where they are told
    lost: list[str] = []  # passive parties whose columns are not in the model
    restarts: list[str] = []  # why the job was started again by itself
