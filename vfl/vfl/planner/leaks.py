"""Where a level's guards on what it opens will refuse a job, or were switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfl.planner.ciphers import cipher_costs
from vfl.planner.finding import Advice
from vfl.planner.share_costs import share_costs
from vfl.planner.units import STATED
from vfl.protocols.guards import MAX_LEVERAGE, opened_bits
from vfl.protocols.open import hidden
from vfl.protocols.open_gradient import DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfl.planner.shape import Shape
    from vfl.spec import JobSpec

FEW_ROUNDS: Final = 8
"""Below these a fit on whitened columns has seldom converged."""


def opened_gradients(job: JobSpec, shape: Shape) -> Iterator[Advice]:
    """Level `arbiter`."""
    openings = cipher_costs(job.cipher, STATED).key.openings
    yield from _gradients(job, shape, shape.columns, 1, openings)
    steps = job.schedule.local_steps or 1
    epoch = sum(shape.columns.values()) * len(shape.batches)
    if epoch <= openings < epoch * steps:
        yield Advice(
            "openings", f"an epoch with {steps} local steps each opens {epoch * steps:,} values, a "
            f"key of this cipher {openings:,}: the job may end there; lower schedule.local_steps",
        )  # fmt: skip


def opened_both(job: JobSpec, shape: Shape) -> Iterator[Advice]:
    """Level `open`: the active party's own gradient is opened to nobody."""
    columns = {name: shape.columns[name] for name in shape.roster.passives}
    openings = share_costs(job.cipher, STATED).key([], DROPPED).openings
    yield from _gradients(job, shape, columns, shape.outputs, openings)
    independent = sum(shape.ranks.values())
    scores = (shape.epochs - hidden(len(shape.batches))) * shape.outputs
    if 2 * scores > independent:
        what = (
            f"{scores} scores of each training row would be opened, and the passive parties "
            f"together have {independent} columns"
        )
        if job.accept_score_leak:
            yield Advice("scores", f"{what}: these can be solved for (accept_score_leak: true)")
        else:
            yield Advice(
                "scores", f"{what}, of which {independent // 2} scores may be known: the job will "
                "be refused; lower model.epochs, bring more columns, or set accept_score_leak: "
                "true", refused=True,
            )  # fmt: skip
    elif shape.epochs < job.model.descent.epochs and job.model.epochs is None:
        yield Advice(
            "epochs", f"the passive parties' {independent} columns allow {shape.epochs} epochs "
            "of descent, which may end before it has converged; smaller batches make more of an "
            "epoch, and security: shared of a round",
        )  # fmt: skip


def _gradients(
    job: JobSpec, shape: Shape, columns: Mapping[str, int], outputs: int, openings: int
) -> Iterator[Advice]:
    """Guards on the gradients of these parties, and on how many a key may open."""
    least, bits = min(shape.batches), opened_bits(outputs, job.schedule.local_steps or 1)
    for name, width in columns.items():
        if bits * width > least:
            text = f"{name}: {width} columns open {bits * width} bits about a batch of {least} rows"
            if job.accept_gradient_leak:
                yield Advice("columns", f"{text}; labels can be solved for")
            else:
                yield _columns(job, name, text, f"use at least {bits} rows a column (larger "
                               "batches, fewer columns, pca)")  # fmt: skip
    if job.accept_gradient_leak:
        yield Advice(
            "leak", "accept_gradient_leak: true switches the guards on opened gradients off"
        )
    opened = sum(columns.values()) * outputs * len(shape.batches)
    if opened > openings:
        yield Advice(
            "openings", f"an epoch opens {opened:,} values and a key of this cipher {openings:,}: "
            "the job will be refused; use fewer, larger batches (model.batch_size)", refused=True,
        )  # fmt: skip


def _columns(job: JobSpec, name: str, text: str, remedy: str) -> Advice:
    """A refusal for a party's columns: certain, unless how many there are is in their variance."""
    pca = job.party(name).pca
    if pca and pca.variance:
        why = f"unless fewer reach pca.variance {pca.variance:g}, the job will be refused"
        return Advice("columns", f"{text}; {why}: {remedy}")
    return Advice("columns", f"{text}; the job will be refused: {remedy}", refused=True)


def opened_scores(job: JobSpec, shape: Shape) -> Iterator[Advice]:
    """Level `shared`."""
    columns = sum(shape.ranks.values())
    opened = shape.opened + (shape.fits * shape.epochs + shape.warm) * shape.vectors
    beyond = 2 * opened > columns
    what = (
        f"{opened} scores of each training row would be opened, and the passive parties together "
        f"have {columns} columns"
    )
    if beyond and job.accept_score_leak:
        yield Advice("scores", f"{what}: these can be solved for (accept_score_leak: true)")
    elif beyond:
        yield Advice(
            "scores", f"{what}, of which {columns // 2} scores may be known: the job will be "
            "refused; lower model.epochs or folds, bring more columns, or set accept_score_leak: "
            "true", refused=True,
        )  # fmt: skip
    elif shape.epochs < FEW_ROUNDS and job.model.epochs is None:
        yield Advice(
            "rounds", f"the passive parties' {columns} columns allow {shape.epochs} "
            f"{'round' if shape.epochs == 1 else 'rounds'} in a fit, which may end before it has "
            "converged; bring more columns, leave folds out, or accept_score_leak: true",
        )  # fmt: skip
    if job.accept_score_leak and not beyond:
        yield Advice("leak", "accept_score_leak: true is not needed for so few rounds")
    yield from handed_coefficients(job, shape)


def handed_coefficients(job: JobSpec, shape: Shape) -> Iterator[Advice]:
    """All levels on shares, whose parties learn their own coefficients at the end."""
    for name, width in shape.columns.items():
        if name not in shape.roster.passives:
            continue
        if not width:
            yield Advice(
                "columns", f"{name} has no column: the job will be refused; leave it out",
                refused=True,
            )  # fmt: skip
        if width > MAX_LEVERAGE * shape.train:
            text = (
                f"{name}: with {width} columns rows of {shape.train} have a leverage above "
                f"{MAX_LEVERAGE}"
            )
            if job.accept_gradient_leak:
                yield Advice("columns", f"{text}; its coefficients show their labels")
            else:
                yield _columns(job, name, text, "use fewer columns, more rows, or pca")
    if job.accept_gradient_leak:
        yield Advice("leak", "accept_gradient_leak: true switches the guard on coefficients off")
    weights = sum(shape.ranks.values()) * shape.outputs
    openings = share_costs(job.cipher, STATED).key([]).openings
    if weights > openings:
        yield Advice(
            "openings", f"{weights:,} weights are handed over, and a key of this cipher opens "
            f"{openings:,}: the job will be refused; use fewer columns", refused=True,
        )  # fmt: skip
