"""The job as a person writes it: frozen structs, YAML in, unknown keys refused, JSON schema out."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from vfl.context import Roster
from vfl.errors import JobError

MIN_CATEGORY = 10  # rows behind a column of a category, unless the leak is accepted
MIN_BATCH = 512  # rows behind one opened gradient; see SECURITY.md, "opened gradients"
LATTICE_PARTIES = 16  # whose encryptions its range can add up


class OneHotSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a party's text columns become numbers; `encode: one_hot` is this with its defaults."""

    columns: list[str] | None = None  # also columns of whole numbers; all of text when absent
    min_rows: int = MIN_CATEGORY  # that a category needs in every batch to have a column of its own
    max_levels: int = 32  # categories kept of a column, the most frequent ones


class PartySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One participant. `label` makes it the active party, `role: arbiter` the arbiter."""

    name: str
    data: Any = None  # a path; in the Python API also a DataFrame, Arrow table or dict of arrays
    id: str = "id"
    label: str | None = None
    role: Literal["active", "passive", "arbiter"] | None = None
    columns: list[str] | None = None  # features to use; all columns when absent
    drop: list[str] = []
    impute: Literal["mean", "median", "zero"] | None = None
    scale: Literal["standard", "none"] = "standard"
    encode: Literal["one_hot"] | OneHotSpec | None = None  # text columns are refused when absent
    placement: dict[str, str] = {}  # Ray node labels
    folder: str | None = None  # private folder on the party's own node

    @property
    def one_hot(self) -> OneHotSpec | None:
        """`encode` in its long form."""
        return OneHotSpec() if isinstance(self.encode, str) else self.encode


class _Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the coordinated linear models share. One epoch is a pass over all fixed batches."""

    l2: float = 1e-3
    optimizer: Literal["sgd", "momentum", "rmsprop", "adam"] = "adam"
    learning_rate: float = 0.1
    epochs: int = 40
    batch_size: int | None = None  # rows; the whole table when absent
    tolerance: float = 1e-4  # stop when an epoch moves the weights by less (Euclidean norm)
    intercept: bool = True
    reshuffle: bool = False  # new batches every epoch: refused unless the leak is accepted


class LogisticRegression(_Linear, frozen=True, tag="logistic_regression", tag_field="type"):
    """Binary classification; the coordinated protocol linearises the sigmoid (first order)."""


class LinearRegression(_Linear, frozen=True, tag="linear_regression", tag_field="type"):
    """Least squares on the standardised label."""


ModelSpec = LogisticRegression | LinearRegression


Cipher = Literal["auto", "lattice", "paillier", "ckks", "mock"]


class CryptoSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`auto` is the lattice or Paillier, whichever `costs` expects to be done first."""

    scheme: Cipher = "auto"
    key_bits: int = 3072  # of Paillier's n


class ScheduleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    policy: Literal["all_arrived"] = "all_arrived"
    deadline_s: float = 300.0


class JobSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One training job."""

    parties: list[PartySpec]
    model: ModelSpec
    name: str = "job"
    security: Literal["arbiter"] = "arbiter"
    crypto: CryptoSpec | Cipher = "auto"
    schedule: ScheduleSpec = ScheduleSpec()
    transport: Literal["ray", "inprocess"] = "ray"
    test_fraction: float = 0.2  # of the aligned rows, held out
    seed: int = 0  # orders the rows; never touches cryptography
    min_overlap: int = 32  # aligned rows below this are an error
    accept_gradient_leak: bool = False

    @property
    def asked(self) -> CryptoSpec:
        """The crypto section in its long form, as it was written."""
        return self.crypto if isinstance(self.crypto, CryptoSpec) else CryptoSpec(self.crypto)

    @property
    def cipher(self) -> CryptoSpec:
        """`asked`, with `auto` resolved: from the job file alone, so alike at all parties."""
        if self.asked.scheme != "auto":
            return self.asked
        from vfl.costs import cheapest

        return msgspec.structs.replace(self.asked, scheme=cheapest(self))

    @property
    def roster(self) -> Roster:
        names = {role: [p.name for p in self.parties if role_of(p) == role] for role in _ROLES}
        return Roster(
            names["active"][0], tuple(names["passive"]), next(iter(names["arbiter"]), None)
        )

    def party(self, name: str) -> PartySpec:
        return next(p for p in self.parties if p.name == name)


_ROLES = ("active", "passive", "arbiter")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FILES = ("job.json", "result.json", "report.html")  # beside the parties' folders
DEFAULT_ARBITER = "arbiter"


def role_of(party: PartySpec) -> str:
    """The stated role, or the one that follows from the label."""
    return party.role or ("active" if party.label else "passive")


def load_job(path: Path | str) -> JobSpec:
    """Read and check a YAML job; relative paths are taken from the file's own folder.

    Raises `JobError` naming the file, the key and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise JobError(f"{path}: there is no such job file")
    try:
        job = msgspec.yaml.decode(path.read_bytes(), type=JobSpec)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: {_explain(str(error))}") from error
    except Exception as error:  # PyYAML's own errors have no common root with msgspec's
        raise JobError(f"{path} is not readable YAML: {error}") from error
    base = path.resolve().parent
    parties = [
        msgspec.structs.replace(
            p,
            data=str(base / p.data) if isinstance(p.data, str) else p.data,
            folder=str(base / p.folder) if p.folder else None,
        )
        for p in job.parties
    ]
    return check_job(msgspec.structs.replace(job, parties=parties), where=str(path))


def check_job(job: JobSpec, where: str = "job") -> JobSpec:
    """The job, with an arbiter added where none is named. Raises `JobError`."""
    for problem in _problems(job):
        raise JobError(f"{where}: {problem}")
    if job.roster.arbiter is None:
        arbiter = PartySpec(DEFAULT_ARBITER, role="arbiter")
        job = msgspec.structs.replace(job, parties=[*job.parties, arbiter])
    return job


def _problems(job: JobSpec) -> list[str]:
    found = []
    names = [p.name for p in job.parties]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        found.append(f"two parties are called {repeated[0]!r}; give each its own name")
    found += [
        f"{n!r} is no party name: use letters, digits, . _ -"
        for n in names
        if not _NAME.fullmatch(n)
    ]
    found += [f"{n!r} is a file of a run; rename the party" for n in names if n in _FILES]
    if not _NAME.fullmatch(job.name):  # it names the run's folder
        found.append(f"{job.name!r} is no job name: use letters, digits, . _ -")
    count = {role: sum(role_of(p) == role for p in job.parties) for role in _ROLES}
    labelled = [p.name for p in job.parties if p.label]
    if len(labelled) > 1:
        found.append(
            f"{' and '.join(labelled)} both bring a label; only the active party has one: "
            "remove label: from the others"
        )
    for p in job.parties:
        role = role_of(p)
        if role == "passive" and p.label:
            found.append(f"passive party {p.name!r} brings a label ({p.label!r}); remove label:")
        if role == "active" and not p.label:
            found.append(f"active party {p.name!r} needs label: the column it holds the label in")
        if role == "arbiter" and (p.data is not None or p.label):
            found.append(f"arbiter {p.name!r} holds the key and may bring no data")
        if role == "passive" and p.columns == []:
            found.append(
                f"passive party {p.name!r} has columns: []; name at least one, or leave it out"
            )
        if role != "arbiter" and p.data is None:
            found.append(f"party {p.name!r} needs data: the path of its table")
        found += _encode_problems(p, guarded=not job.accept_gradient_leak)
    if count["active"] != 1 and len(labelled) <= 1:
        found.append("exactly one party must be active: give one party a label:")
    if count["passive"] < 1:
        found.append("at least one passive party must bring columns")
    if count["arbiter"] > 1:
        found.append("only one party can be the arbiter")
    if not any(p.role == "arbiter" for p in job.parties) and DEFAULT_ARBITER in names:
        found.append(
            f"the name {DEFAULT_ARBITER!r} is for the arbiter; add role: arbiter or rename it"
        )
    model = job.model
    checks = {
        "model.epochs must be at least 1": model.epochs >= 1,
        "model.learning_rate must be finite and above 0": 0 < model.learning_rate < math.inf,
        "model.l2 must be finite and not negative": 0 <= model.l2 < math.inf,
        "model.tolerance must be finite and not negative": 0 <= model.tolerance < math.inf,
        "model.batch_size must be at least 1": model.batch_size is None or model.batch_size >= 1,
        "test_fraction must lie in [0, 0.9]": 0 <= job.test_fraction <= 0.9,
        "schedule.deadline_s must be finite and above 0": 0 < job.schedule.deadline_s < math.inf,
        "seed must lie between -2^63 and 2^63": abs(job.seed) < 1 << 63,
        "min_overlap must be at least 1": job.min_overlap >= 1,
        "crypto: mock protects nothing and runs in one process only: set transport: inprocess": (
            job.asked.scheme != "mock" or job.transport == "inprocess"
        ),
        f"crypto: lattice adds up what at most {LATTICE_PARTIES} data parties encrypt: "
        "use crypto: paillier": (
            job.asked.scheme != "lattice" or count["active"] + count["passive"] <= LATTICE_PARTIES
        ),
    }
    found += [text for text, holds in checks.items() if not holds]
    if (
        model.batch_size is not None
        and model.batch_size < MIN_BATCH
        and not job.accept_gradient_leak
    ):
        found.append(
            f"model.batch_size {model.batch_size} opens gradients of fewer than {MIN_BATCH} rows, "
            "from which labels can be solved; raise it, leave it out for the whole table, "
            "or set accept_gradient_leak: true"
        )
    if model.reshuffle and not job.accept_gradient_leak:
        found.append(
            "model.reshuffle changes the rows of a batch between epochs, and differences of opened "
            "gradients isolate single rows; leave it out, or set accept_gradient_leak: true"
        )
    return found


def _encode_problems(party: PartySpec, *, guarded: bool) -> list[str]:
    encode = party.one_hot
    if encode is None:
        return []
    least = MIN_CATEGORY if guarded else 1
    checks = {
        f"encode.min_rows must be at least {least}; fewer people's labels show": (
            encode.min_rows >= least
        ),
        "encode.max_levels must be at least 2": encode.max_levels >= 2,
        "encode.columns must name at least one; leave it out for all text": encode.columns != [],
    }
    return [f"party {party.name!r}: {text}" for text, holds in checks.items() if not holds]


def _explain(text: str) -> str:
    """msgspec's message, with a near miss suggested for an unknown key."""
    match = re.search(r"unknown field `([^`]*)`", text)
    if match:
        structs = (JobSpec, PartySpec, OneHotSpec, LogisticRegression, CryptoSpec, ScheduleSpec)
        known = sorted({field for struct in structs for field in struct.__struct_fields__})
        near = difflib.get_close_matches(match[1], known, n=1)
        text += f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
    elif "enum" in text:
        text += "; `vfl schema` lists the values"
    return text


def json_schema() -> dict[str, Any]:
    """The JSON schema of a job file."""
    return msgspec.json.schema(JobSpec)
