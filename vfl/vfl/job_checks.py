"""What is wrong with a job file, in words: each problem says what to change."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from vfl import schedule_checks
from vfl.spec import (
    DEFAULT_ARBITER,
    LATTICE_PARTIES,
    MIN_BATCH,
    MIN_CATEGORY,
    ROLES,
    JobSpec,
    Level,
    LinearRegression,
    LogisticRegression,
    PartySpec,
    role_of,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MAX_FOLDS = 100
FILES = ("job.json", "result.json", "report.html")  # beside the parties' folders


def problems(job: JobSpec) -> list[str]:
    """All of them, the most basic first."""
    return [
        *_names(job), *_parties(job), *_model(job), *_rest(job), *_LEVELS[job.security](job),
        *schedule_checks.problems(job),
    ]  # fmt: skip


def _names(job: JobSpec) -> list[str]:
    names = [p.name for p in job.parties]
    repeated = sorted({n for n in names if names.count(n) > 1})
    found = [f"two parties are called {n!r}; give each its own name" for n in repeated[:1]]
    found += [
        f"{n!r} is no party name: use letters, digits, . _ -"
        for n in names
        if not NAME.fullmatch(n)
    ]
    found += [f"{n!r} is a file of a run; rename the party" for n in names if n in FILES]
    if not NAME.fullmatch(job.name):  # it names the run's folder
        found.append(f"{job.name!r} is no job name: use letters, digits, . _ -")
    return found


def _parties(job: JobSpec) -> list[str]:
    found = []
    count = _count(job)
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
        if role != "active" and p.weight:
            found.append(f"party {p.name!r} brings row weights; only the active party can")
        if role == "arbiter" and (p.data is not None or p.label):
            found.append(f"arbiter {p.name!r} holds the key and may bring no data")
        if role == "passive" and p.columns == []:
            found.append(
                f"passive party {p.name!r} has columns: []; name at least one, or leave it out"
            )
        if role != "arbiter" and p.data is None:
            found.append(f"party {p.name!r} needs data: the path of its table")
        found += _encode_problems(p, guarded=not job.accept_gradient_leak)
        found += _pca_problems(p)
    if count["active"] != 1 and len(labelled) <= 1:
        found.append("exactly one party must be active: give one party a label:")
    if count["passive"] < 1:
        found.append("at least one passive party must bring columns")
    return found


def _model(job: JobSpec) -> list[str]:
    model, early = job.model, job.model.early_stopping
    rate, by_class = model.learning_rate, getattr(model, "class_weight", None)
    return _failed(
        {
            "model.epochs must be at least 1": model.epochs is None or model.epochs >= 1,
            "model.learning_rate must be finite and above 0": rate is None or 0 < rate < math.inf,
            "model.decay must be finite and not negative": model.decay is None
            or 0 <= model.decay < math.inf,
            "model.l2 must be finite and not negative": 0 <= model.l2 < math.inf,
            "model.tolerance must be finite and not negative": 0 <= model.tolerance < math.inf,
            "model.batch_size must be at least 1": model.batch_size is None
            or model.batch_size >= 1,
            "model.early_stopping.fraction must lie in (0, 0.5]": early is None
            or 0 < early.fraction <= 0.5,
            "model.class_weight must be at least 0 for each class, and above 0 for one": (
                not isinstance(by_class, dict)
                or (min(by_class.values(), default=0.0) >= 0 and any(by_class.values()))
            ),
            "model.early_stopping.patience must be at least 1": early is None
            or early.patience >= 1,
        }
    )


def _rest(job: JobSpec) -> list[str]:
    return _failed(
        {
            "test_fraction must lie in [0, 0.9]": 0 <= job.test_fraction <= 0.9,
            "seed must lie between -2^63 and 2^63": abs(job.seed) < 1 << 63,
            "min_overlap must be at least 1": job.min_overlap >= 1,
            f"folds must lie between 2 and {MAX_FOLDS}": job.folds is None
            or 2 <= job.folds <= MAX_FOLDS,
            "crypto: mock protects nothing and runs in one process only: "
            "set transport: inprocess": (
                job.asked.scheme != "mock" or job.transport == "inprocess"
            ),
        }
    )


def _shared(job: JobSpec) -> list[str]:
    if isinstance(job.model, LinearRegression):
        return _sealed(job)
    return _without_arbiter(job)


def _sealed(job: JobSpec) -> list[str]:
    model, found = job.model, _without_arbiter(job)
    if not isinstance(model, LinearRegression):
        kind = type(model).__struct_config__.tag
        found.append(
            f"security: sealed does not train {kind}, whose scores somebody must see; "
            "set security: shared"
        )
    unknown = {"model.early_stopping": model.early_stopping, "folds": job.folds}
    found += [
        f"{key} needs the likelihood, which nobody knows while linear_regression is trained on "
        "shares: remove it"
        for key, given in unknown.items()
        if given
    ]
    if any(p.weight for p in job.parties):
        found.append(
            "weight: needs every party to weigh its own rows, and linear_regression on shares "
            "does not show them the weights: remove it"
        )
    if job.warm_start:
        found.append(
            "warm_start: saves linear_regression on shares nothing, whose rounds are as many "
            "from any start: remove it"
        )
    return found


def _without_arbiter(job: JobSpec) -> list[str]:
    model, level = job.model, job.security
    descent = {
        "optimizer": model.optimizer not in (None, "fixed_hessian"),
        "learning_rate": model.learning_rate is not None,
        "decay": model.decay is not None,
        "batch_size": model.batch_size is not None,
        "reshuffle": model.reshuffle,
    }
    found = [
        f"model.{key} is for security: open and arbiter; under {level} every epoch is one step of "
        "fixed_hessian over all rows: remove it"
        for key, given in descent.items()
        if given
    ]
    return found + _two_shares(job)


def _two_shares(job: JobSpec) -> list[str]:
    """Levels whose ciphers carry shares, and whose key the active party holds."""
    return _failed(
        {
            f"security: {job.security} has no arbiter: remove that party, or set "
            "security: arbiter": not _count(job)["arbiter"],
            "crypto: ckks is approximate and cannot be split into shares; use lattice or "
            "paillier": job.asked.scheme != "ckks",
        }
    )


def _open(job: JobSpec) -> list[str]:
    model = job.model
    unknown = {
        "model.early_stopping": model.early_stopping,
        "folds": job.folds,
        "warm_start": job.warm_start,
    }
    found = [
        f"{key} is not built for security: open: remove it, or set security: shared"
        for key, given in unknown.items()
        if given
    ]
    if model.optimizer == "fixed_hessian":
        found.append("model.optimizer fixed_hessian is of security: shared; leave it out")
    if model.reshuffle:
        found.append(
            "model.reshuffle is for security: arbiter; under open a batch has the same rows in "
            "every epoch: remove it"
        )
    return found + _two_shares(job) + _opened_gradients(job)


def _arbiter(job: JobSpec) -> list[str]:
    model, count = job.model, _count(job)
    others = {
        "model.early_stopping": model.early_stopping,
        "model.class_weight": getattr(model, "class_weight", None),
        "weight": any(p.weight for p in job.parties),
        "folds": job.folds,
        "warm_start": job.warm_start,
    }
    found = [
        f"{key} needs the likelihood, which nobody knows under security: arbiter; "
        "set security: shared"
        for key, given in others.items()
        if given
    ]
    if not isinstance(model, (LogisticRegression, LinearRegression)):
        kind = type(model).__struct_config__.tag
        found.append(f"security: arbiter does not train {kind}; set security: shared")
    if model.optimizer == "fixed_hessian":
        found.append("model.optimizer fixed_hessian is of security: shared; leave it out")
    if count["arbiter"] > 1:
        found.append("only one party can be the arbiter")
    if not count["arbiter"] and DEFAULT_ARBITER in (p.name for p in job.parties):
        found.append(
            f"the name {DEFAULT_ARBITER!r} is for the arbiter; add role: arbiter or rename it"
        )
    if job.asked.scheme == "lattice" and count["active"] + count["passive"] > LATTICE_PARTIES:
        found.append(
            f"crypto: lattice adds up what at most {LATTICE_PARTIES} data parties encrypt: "
            "use crypto: paillier"
        )
    return found + _opened_gradients(job)


def _opened_gradients(job: JobSpec) -> list[str]:
    model = job.model
    if job.accept_gradient_leak:
        return []
    found = []
    if model.batch_size is not None and model.batch_size < MIN_BATCH:
        found.append(
            f"model.batch_size {model.batch_size} opens gradients of fewer than {MIN_BATCH} rows, "
            "from which labels can be solved; raise it, leave it out for the whole table, "
            "or set accept_gradient_leak: true"
        )
    if model.reshuffle:
        found.append(
            "model.reshuffle changes the rows of a batch between epochs, and differences of opened "
            "gradients isolate single rows; leave it out, or set accept_gradient_leak: true"
        )
    return found


_LEVELS: Final[Mapping[Level, Callable[[JobSpec], list[str]]]] = {
    "shared": _shared, "open": _open, "sealed": _sealed, "arbiter": _arbiter
}  # fmt: skip


def _count(job: JobSpec) -> dict[str, int]:
    return {role: sum(role_of(p) == role for p in job.parties) for role in ROLES}


def _failed(checks: Mapping[str, bool]) -> list[str]:
    return [text for text, holds in checks.items() if not holds]


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
    return [f"party {party.name!r}: {text}" for text in _failed(checks)]


def _pca_problems(party: PartySpec) -> list[str]:
    pca = party.pca
    if pca is None:
        return []
    checks = {
        "an arbiter has no columns: remove pca:": party.role != "arbiter",
        "pca needs either ratio or variance: name one of them": (
            (pca.ratio is None) != (pca.variance is None)
        ),
        "pca.ratio must lie in (0, 1]; 1 keeps as many as the columns": (
            pca.ratio is None or 0 < pca.ratio <= 1
        ),
        "pca.variance must lie in (0, 1]; 1 keeps all that vary": (
            pca.variance is None or 0 < pca.variance <= 1
        ),
    }
    return [f"party {party.name!r}: {text}" for text in _failed(checks)]
