"""How `crypto: auto` chooses: the cipher under which a job is expected to train sooner.

Only what the job file says goes in, and constants where it is silent, so that all parties choose
alike whatever their machines and tables are: `planner.units.STATED`, a link of 100 Mbit/s, parties
on machines of their own, `planner.shape.ROWS` rows. `vfl plan` adds up the same model with what it
has measured and counted.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from vfl.context import Roster
from vfl.data.pca import most_axes
from vfl.planner.shape import CLASSES, COLUMNS, ROWS, Shape, epochs_of, ones_of
from vfl.planner.units import FAR, STATED
from vfl.spec import CryptoSpec, MultinomialRegression

if TYPE_CHECKING:
    from vfl.spec import JobSpec

Chosen = Literal["lattice", "paillier"]

SUMMED: Final = 1 << 17
"""Rows that the lattice can sum over. A batch has fewer than twice the rows asked for, if the table
has as many (`linear.batches`): a job that asks for no more than this is not turned down for what it
might turn out to need."""


def cheapest(job: JobSpec) -> Chosen:
    """The cipher that `auto` stands for in a checked job."""
    seconds = predicted(job)
    return min(seconds, key=seconds.__getitem__)


def predicted(job: JobSpec) -> dict[Chosen, float]:
    """Seconds of keys and rounds by cipher, for a checked job; infinite where one cannot do it."""
    model = job.model
    widths = [
        most_axes(spec.pca, COLUMNS if spec.columns is None else len(spec.columns))
        for spec in map(job.party, job.roster.data_parties)
    ]
    widths[0] += ones_of(job)  # the active party is first
    outputs = CLASSES if isinstance(model, MultinomialRegression) else 1
    shape = _shape(job.level, tuple(widths), model.batch_size, outputs, 1 + (job.folds or 0))
    shape = replace(shape, warm=job.warm_start is not None)
    sizes = tuple(widths), model.batch_size, outputs, shape.fits, epochs_of(job, shape)
    ciphers: tuple[Chosen, ...] = ("lattice", "paillier")
    return {name: _seconds(job.level, name, job.asked.key_bits, *sizes) for name in ciphers}


def _shape(
    level: str, widths: tuple[int, ...], batch_size: int | None, outputs: int, fits: int
) -> Shape:
    """Of parties whose tables nobody has seen, under names that all parties give them."""
    names = [f"party{place}" for place in range(len(widths))]
    rows = batch_size or ROWS
    return Shape(
        Roster(names[0], tuple(names[1:]), "arbiter" if level == "arbiter" else None),
        dict.fromkeys(names, ROWS), dict(zip(names, widths, strict=True)), ROWS,
        (rows,) * max(1, ROWS // rows), 1, outputs=outputs, fits=fits,
    )  # fmt: skip


@functools.lru_cache
def _seconds(
    level: str,
    scheme: Chosen,
    key_bits: int,
    widths: tuple[int, ...],
    batch_size: int | None,
    outputs: int,
    fits: int,
    epochs: int,
) -> float:
    from vfl.planner.ciphers import cipher_costs
    from vfl.planner.protocols import PROTOCOLS
    from vfl_crypto.errors import CryptoError

    crypto = CryptoSpec(scheme, key_bits)
    shape = replace(_shape(level, widths, batch_size, outputs, fits), epochs=epochs)
    try:
        if batch_size:
            most = min(2 * batch_size - 1, max(batch_size, SUMMED))
            cipher_costs(crypto, STATED).batch(most, max(widths))
        return PROTOCOLS[level].forecast(shape, crypto, STATED, FAR, ray=True).training_s
    except CryptoError:
        return math.inf
