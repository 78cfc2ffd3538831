"""What the terminal and the HTML report say alike about a run: names, sizes, whom to trust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vfl.protocols.guards import OPENED_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfl.api import Run
    from vfl.ledger import Audit, Border

STAGES = ("read", "align", "encrypt", "compute", "wait")
_METRICS = {"auc": "AUC", "log_loss": "log loss", "r2": "R²", "rmse": "RMSE", "d2": "D²"}
CIPHERS = {
    "lattice": "Lattice", "paillier": "Paillier", "ckks": "CKKS", "mock": "mock cipher"
}  # fmt: skip
ALONE, POOLED = "_active_alone", "_pooled_plaintext"
TRAINED, FOLDS, SPREAD = "train_", "cv_", "_sd"


class MetricRow(msgspec.Struct, frozen=True):
    """One metric of the joint model on held-out rows, beside what else is known of it.

    `trained` is on the training rows, `folds` mean and standard deviation of a cross-validation.
    """

    name: str
    joint: float | None
    alone: float | None = None
    pooled: float | None = None
    trained: float | None = None
    folds: tuple[float, float] | None = None


class Exchange(msgspec.Struct, frozen=True):
    """Both directions between two parties: messages and bytes."""

    left: str
    right: str
    there: tuple[int, int]
    back: tuple[int, int]


def metric_rows(metrics: dict[str, float]) -> list[MetricRow]:
    """The joint model's metrics, each beside the same metric of its rivals."""
    names = dict.fromkeys(
        name.removeprefix(TRAINED).removeprefix(FOLDS).removesuffix(SPREAD)
        for name in metrics
        if not name.endswith((ALONE, POOLED))
    )
    get = metrics.get
    return [
        MetricRow(
            _METRICS.get(name, name), get(name), get(name + ALONE), get(name + POOLED),
            get(TRAINED + name),
            (metrics[FOLDS + name], get(FOLDS + name + SPREAD, 0.0)) if FOLDS + name in metrics
            else None,
        )
        for name in names
    ]  # fmt: skip


def exchanges(borders: Iterable[Border], order: list[str]) -> list[Exchange]:
    """Borders in pairs, each pair in the order the job names its parties."""
    traffic = {(b.sender, b.receiver): (b.messages, b.bytes) for b in borders}
    return [
        Exchange(
            left, right, traffic.get((left, right), (0, 0)), traffic.get((right, left), (0, 0))
        )
        for i, left in enumerate(order)
        for right in order[i + 1 :]
        if (left, right) in traffic or (right, left) in traffic
    ]


def traffic(found: Audit) -> str:
    """Bytes over all borders, those of public keys apart: they do not grow with the epochs."""
    if not found.keys:
        return size(found.bytes)
    return (
        f"{size(found.bytes)}: {size(found.keys)} of public keys, "
        f"{size(found.bytes - found.keys)} of all else"
    )


def size(count: float) -> str:
    """Bytes as a person reads them: 812 B, 3.4 KiB, 12.0 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 0.04 s, 12.3 s, 3 min 20 s, 5 h 40 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds >= 7200:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes:02d} min"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def cipher(run: Run) -> str:
    """The cipher, its parameters and its security level."""
    scheme, _, parameters = run.result.cipher.partition(", ")
    name = CIPHERS.get(scheme, scheme)
    if run.result.security_bits == 0:
        return f"{name}: protects nothing"
    chosen = "; chosen by auto" if run.job.asked.scheme == "auto" else ""
    return f"{name}, {parameters}, {run.result.security_bits}-bit security{chosen}"


def key_holder(run: Run) -> str:
    """Who could decrypt what crossed the borders."""
    if run.job.level == "sealed":
        return "each party its own"
    return run.result.arbiter or run.job.roster.active


def rows(run: Run) -> str:
    """How many people the run is about."""
    found = run.result.rows
    return (
        f"{found['table']:,} in the table of {run.job.roster.active}, {found['aligned']:,} in all "
        f"tables: {found['train']:,} to train on, {found['held_out']:,} held out"
    )


def epochs(run: Run) -> str:
    """How long was trained, and why it stopped."""
    result, model = run.result, run.job.model
    passes = f"{result.epochs} {'epoch' if result.epochs == 1 else 'epochs'}"
    if run.job.level == "sealed":
        return f"{passes}, a number that tells nothing: nobody knows when the weights have settled"
    what = "weights" if run.job.security == "arbiter" else "scores"
    if result.converged and model.early_stopping:
        return f"{passes}; the held-back rows gained nothing from the last"
    if result.converged:
        return f"{passes}; the last moved the {what} by {model.tolerance:g} or less: converged"
    moved = f"; the last moved the {what} by {result.changes[-1]:.2g}" if result.changes else ""
    return f"{passes}, as many as {_limit(run)} allows{moved}"


def _limit(run: Run) -> str:
    job = run.job
    asked = job.model.epochs or job.accept_score_leak
    usual = job.level == "open" and run.result.epochs == job.model.descent.epochs
    if job.security == "arbiter" or asked or usual:
        return "the job"
    return "the score budget"


def trust(run: Run) -> list[str]:
    """Who must trust whom for the run to have kept its promise, one sentence or two each."""
    result, job = run.result, run.job
    said = []
    if result.security_bits == 0:
        said.append(
            "The mock cipher protects nothing: what is called encrypted crossed in the clear."
        )
    if result.arbiter:
        said.append(
            f"{result.arbiter} holds the only secret key. {listed(job.roster.data_parties)} must "
            "trust it to keep the key to itself, to draw nothing from the gradients it opens "
            f"({result.opened:,} values of {OPENED_BITS} bits), and to side with none of them. "
            "It sees no row, no id and no label."
        )
    if job.level in ("shared", "open"):
        active, passives = job.roster.active, job.roster.passives
        several = "the sum of their scores" if len(passives) > 1 else "its score"
        said.append(
            f"{listed(passives)} must trust {active} with {several} for each training row and "
            f"epoch: {result.opened:,} numbers a row. As many as there are columns would give "
            "these away; "
            + (
                "accept_score_leak: true lifted the limit, which is half as many."
                if job.accept_score_leak
                else "half as many is the limit."
            )
        )
    if job.level == "open":
        active, passives = job.roster.active, job.roster.passives
        said.append(
            f"{active} must trust {listed(passives)} to draw nothing from the gradients that each "
            f"learns of its own columns: {OPENED_BITS} bits a column, batch and epoch, which are "
            "sums of residuals and with them of labels."
        )
    if job.level == "sealed":
        active, first, *_ = job.roster.data_parties
        said.append(
            f"{active} and {first} hold the two shares of everything that is learnt: neither may "
            "side with the other. No score and no gradient was opened to anybody."
        )
    said.append("Every party is assumed to follow the protocol, however curious it is.")
    if job.transport == "ray":
        said.append(
            "One Ray cluster is one trust domain: who controls the cluster can read the memory of "
            "every party in it."
        )
    else:
        said.append(
            "All parties ran in one process: who ran it could see everything. This tries a job "
            "out; it separates nobody."
        )
    return said
