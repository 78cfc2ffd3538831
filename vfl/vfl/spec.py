"""The job as a person writes it: frozen structs, YAML in, unknown keys refused, JSON schema out."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from vfl.context import Roster
from vfl.errors import JobError

MIN_CATEGORY = 10  # rows behind a column of a category, unless the leak is accepted
MIN_BATCH = 512  # rows behind one opened gradient; see SECURITY.md, "opened gradients"
MAX_LOCAL_STEPS = 64  # on one residual: each opens a gradient
LATTICE_PARTIES = 16  # whose encryptions its range can add up


class OneHotSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a party's text columns become numbers; `encode: one_hot` is this with its defaults."""

    columns: list[str] | None = None  # also columns of whole numbers; all of text when absent
    min_rows: int = MIN_CATEGORY  # that a category needs in every batch to have a column of its own
    max_levels: int = 32  # categories kept of a column, the most frequent ones


class PcaSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many principal axes of a party's columns train: exactly one of the two."""

    ratio: float | None = None  # of the encoded columns, rounded, at least one axis
    variance: float | None = None  # of the training rows, that the fewest axes must reach


class PartySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One participant. `label` makes it the active party, `role: arbiter` the arbiter."""

    name: str
    data: Any = None  # a path; in the Python API also a DataFrame, Arrow table or dict of arrays
    id: str = "id"
    label: str | None = None
    weight: str | None = None  # column of row weights, at the active party; not under `arbiter`
    role: Literal["active", "passive", "arbiter"] | None = None
    columns: list[str] | None = None  # features to use; all columns when absent
    drop: list[str] = []
    impute: Literal["mean", "median", "zero"] | None = None
    scale: Literal["standard", "none"] = "standard"
    encode: Literal["one_hot"] | OneHotSpec | None = None  # text columns are refused when absent
    pca: PcaSpec | None = None  # train on fewer columns, projections of all
    placement: dict[str, str] = {}  # Ray node labels
    folder: str | None = None  # private folder on the party's own node

    @property
    def one_hot(self) -> OneHotSpec | None:
        """`encode` in its long form."""
        return OneHotSpec() if isinstance(self.encode, str) else self.encode


class _Generalised(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all generalised linear models share. One epoch is a pass over all rows.

    `fixed_hessian` is the accelerated block step of the levels `shared` and `sealed`; the others
    are of `arbiter` and `open`, as are learning_rate, decay and batch_size. What is None is the
    level's own choice.
    """

    l2: float = 1e-3
    optimizer: Literal["fixed_hessian", "sgd", "momentum", "rmsprop", "adam"] | None = None
    learning_rate: float | None = None  # 0.1 when absent
    decay: float | None = None  # learning_rate / sqrt(1 + decay * epoch); none when absent
    epochs: int | None = None  # when absent 40, `sealed` 200, `shared` what may be opened, and
    # `open` the smaller of 40 and that
    batch_size: int | None = None  # rows; the whole table when absent
    tolerance: float = 1e-4  # stop when an epoch moves less: weights, or scores under `shared`,
    # where the rounding of opened scores keeps moving them by some 1e-5
    intercept: bool = True
    reshuffle: bool = False  # new batches every epoch: under `arbiter`, if the leak is accepted
    early_stopping: EarlyStopping | None = None  # under `shared`

    @property
    def descent(self) -> Descent:
        """How the levels that open gradients use them."""
        optimizer = self.optimizer
        if optimizer is None or optimizer == "fixed_hessian":
            optimizer = "adam"
        return Descent(
            optimizer,
            0.1 if self.learning_rate is None else self.learning_rate,
            self.decay or 0.0,
            40 if self.epochs is None else self.epochs,
        )


class Descent(NamedTuple):
    """First-order steps, with what the job leaves open filled in."""

    optimizer: Literal["sgd", "momentum", "rmsprop", "adam"]
    learning_rate: float
    decay: float
    epochs: int


class EarlyStopping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold some training rows back, and stop when their likelihood no longer improves."""

    fraction: float = 0.1
    patience: int = 3  # epochs without a better likelihood


ClassWeight = Literal["balanced"] | dict[str | int, float]  # by class as the file has it


class LogisticRegression(_Generalised, frozen=True, tag="logistic_regression", tag_field="type"):
    """Binary classification; first-order sigmoid under `arbiter`, elsewhere exact."""

    class_weight: ClassWeight | None = None  # not under `arbiter`


class LinearRegression(_Generalised, frozen=True, tag="linear_regression", tag_field="type"):
    """Least squares on the standardised label.

    Under `shared`, which is `sealed` here, no score is opened: epochs are all taken, 200 if not
    said, and tolerance is not used, because nobody can tell how far the weights have moved.
    """


class PoissonRegression(_Generalised, frozen=True, tag="poisson_regression", tag_field="type"):
    """Counts, with the logarithm as link."""


class MultinomialRegression(
    _Generalised, frozen=True, tag="multinomial_regression", tag_field="type"
):
    """Several classes, one score each (softmax); the label may be text."""

    class_weight: ClassWeight | None = None


ModelSpec = LogisticRegression | LinearRegression | PoissonRegression | MultinomialRegression
Level = Literal["shared", "open", "sealed", "arbiter"]


Cipher = Literal["auto", "lattice", "paillier", "ckks", "mock"]


class CryptoSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`auto` is the lattice or Paillier, whichever `costs` expects to be done first."""

    scheme: Cipher = "auto"
    key_bits: int = 3072  # of Paillier's n


class ScheduleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom a round waits for, and what becomes of a party that does not answer.

    Policies other than `all_arrived` use the last contribution of passive parties that are late.
    """

    policy: Literal["all_arrived", "backup", "bounded_staleness", "deadline", "adaptive"] = (
        "all_arrived"
    )
    deadline_s: float = 300.0
    on_lost: Literal["abort", "wait", "surrogate", "drop"] = "abort"
    max_age: int | Literal["unlimited"] | None = None  # passes; 1 under `backup`, 3 elsewhere
    backups: int | None = None  # under `backup`: passive parties that no round waits for; 1
    fill: Literal["stale", "null"] | None = None  # under `backup`; stale
    quantile: float | None = None  # under `deadline`: of recent latencies; 0.5
    min_fresh: float | None = None  # under `adaptive`: least share of rounds with news of each; 1/4
    restarts: int = 2  # on Ray: of a job that the death of a party ended, by itself
    local_steps: int | None = None  # under `adaptive`: most steps a party takes on one residual; 1

    @property
    def age(self) -> int | None:
        """The oldest contribution that may be used, in passes; None is any."""
        if self.max_age is None:
            return 1 if self.policy == "backup" else 3
        return None if self.max_age == "unlimited" else int(self.max_age)

    @property
    def tolerant(self) -> bool:
        """Whether training may go on without somebody."""
        return self.policy != "all_arrived" or self.on_lost in ("surrogate", "drop")


class JobSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One training job."""

    parties: list[PartySpec]
    model: ModelSpec
    name: str = "job"
    security: Level = "shared"
    crypto: CryptoSpec | Cipher = "auto"
    schedule: ScheduleSpec = ScheduleSpec()
    transport: Literal["ray", "inprocess"] = "ray"
    test_fraction: float = 0.2  # of the aligned rows, held out
    seed: int = 0  # orders the rows; never touches cryptography
    min_overlap: int = 32  # aligned rows below this are an error
    accept_gradient_leak: bool = False
    accept_score_leak: bool = False
    folds: int | None = None  # of a cross-validation before the model is trained; under `shared`
    warm_start: str | None = None  # folder of a run of the same parties; under `shared`

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
    def level(self) -> Level:
        """`security`, but that linear models on shares are sealed in any case."""
        linear = isinstance(self.model, LinearRegression)
        return "sealed" if linear and self.security == "shared" else self.security

    @property
    def opens_gradients(self) -> bool:
        """Whether parties learn their gradients, batch by batch."""
        return self.level in ("arbiter", "open")

    @property
    def roster(self) -> Roster:
        names = {role: [p.name for p in self.parties if role_of(p) == role] for role in ROLES}
        return Roster(
            names["active"][0], tuple(names["passive"]), next(iter(names["arbiter"]), None)
        )

    @property
    def spare(self) -> tuple[str, ...]:
        """Parties without which training goes on when they are lost."""
        return self.roster.passives if self.schedule.on_lost in ("surrogate", "drop") else ()

    def party(self, name: str) -> PartySpec:
        return next(p for p in self.parties if p.name == name)


ROLES = ("active", "passive", "arbiter")
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
    """The job, with an arbiter added where its level has one and none is named.

    Raises `JobError`.
    """
    from vfl.job_checks import problems

    by_class = getattr(job.model, "class_weight", None)
    if isinstance(by_class, dict):  # YAML reads 0 and 1 as numbers, JSON as names
        named = {str(name): value for name, value in by_class.items()}
        job = msgspec.structs.replace(
            job, model=msgspec.structs.replace(job.model, class_weight=named)
        )
    for problem in problems(job):
        raise JobError(f"{where}: {problem}")
    if job.security == "arbiter" and job.roster.arbiter is None:
        arbiter = PartySpec(DEFAULT_ARBITER, role="arbiter")
        job = msgspec.structs.replace(job, parties=[*job.parties, arbiter])
    return job


def _explain(text: str) -> str:
    """msgspec's message, with a near miss suggested for an unknown key."""
    match = re.search(r"unknown field `([^`]*)`", text)
    if match:
        structs = (
            JobSpec, PartySpec, OneHotSpec, PcaSpec, LogisticRegression, EarlyStopping, CryptoSpec,
            ScheduleSpec,
        )  # fmt: skip
        known = sorted({field for struct in structs for field in struct.__struct_fields__})
        if match[1] in known:
            return f"{text}; this section has no such key: it belongs to another, or another type"
        near = difflib.get_close_matches(match[1], known, n=1)
        text += f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
    elif "enum" in text:
        text += "; `vfl schema` lists the values"
    return text


def json_schema() -> dict[str, Any]:
    """The JSON schema of a job file."""
    return msgspec.json.schema(JobSpec)
