"""Where a choice in a job is silly, and what to do instead. Counts only; no name, no cell."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from vfl import wording
from vfl.planner.finding import Advice
from vfl.planner.forecast import Forecast
from vfl.planner.memory import memory_here
from vfl.planner.protocols import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfl.planner.shape import Shape
    from vfl.spec import JobSpec

DEARER: Final = 50
"""Times, from which the cipher of a job is called a poor choice."""

MANY_EPOCHS: Final = 100
SMALL_TOLERANCE: Final = 1e-6


def advise(
    job: JobSpec, shape: Shape, chosen: Forecast, others: Mapping[str, Forecast | str]
) -> list[Advice]:
    """All that apply, those that end the job first."""
    found = [
        *PROTOCOLS[job.level].leaks(job, shape),
        *_features(job, shape),
        *_choices(job, shape, chosen, others),
        *_machine(job, chosen),
    ]
    return sorted(found, key=lambda one: not one.refused)


def _features(job: JobSpec, shape: Shape) -> Iterator[Advice]:
    features = sum(shape.columns.values())
    if features > shape.train:
        what = "raise l2" if job.model.l2 else "l2: 0 chooses none of them: set l2"
        yield Advice(
            "features", f"{features} features above {shape.train} training rows: many models fit "
            f"them all; {what}, or use fewer columns",
        )  # fmt: skip


def _choices(
    job: JobSpec, shape: Shape, chosen: Forecast, others: Mapping[str, Forecast | str]
) -> Iterator[Advice]:
    if chosen.cipher == "lattice" and job.level == "arbiter":
        from vfl_crypto.lattice.parameters import WIDE

        rows = max(shape.batches)
        if len(shape.batches) > 1 and 2 * rows <= WIDE.n:
            yield Advice(
                "batch", f"batches of {rows} rows leave {1 - rows / WIDE.n:.0%} of a ciphertext of "
                f"{WIDE.n} values empty; with batch_size: {WIDE.n} an epoch sends less and is "
                "done sooner",
            )  # fmt: skip
    rival = others.get("lattice")
    if isinstance(rival, Forecast) and chosen.cipher == "paillier":
        ratio = chosen.training_s / rival.training_s
        if ratio >= DEARER:
            yield Advice(
                "cipher", f"crypto: paillier is expected to train {ratio:.0f} times as long as "
                "crypto: lattice, which is of 128-bit security as well",
            )  # fmt: skip
    if 0 < chosen.security_bits < 128:
        yield Advice(
            "key", f"{chosen.parameters} gives {chosen.security_bits}-bit security; "
            "key_bits: 3072 gives 128",
        )  # fmt: skip
    if chosen.security_bits == 0:
        yield Advice("mock", "crypto: mock protects nothing; it is for trying a job out")
    model = job.model
    stops = job.level != "sealed"
    if stops and chosen.epochs > MANY_EPOCHS and model.tolerance < SMALL_TOLERANCE:
        yield Advice(
            "epochs", f"{chosen.epochs} epochs with tolerance {model.tolerance:g} will "
            "hardly stop early; the default of 1e-4 usually does after some tens",
        )  # fmt: skip


def _machine(job: JobSpec, chosen: Forecast) -> Iterator[Advice]:
    if job.transport == "ray" and not installed("ray"):
        yield Advice(
            "ray", "transport: ray needs ray, which is not installed here: pip install 'vfl[ray]'",
            refused=True,
        )  # fmt: skip
    deadline = job.schedule.deadline_s
    if chosen.longest_s > deadline:
        yield Advice(
            "deadline", f"a party works for {wording.duration(chosen.longest_s)} while another "
            f"waits, at most {wording.duration(deadline)}: raise schedule.deadline_s",
            refused=True,
        )  # fmt: skip
    if job.schedule.tolerant:
        yield Advice(
            "schedule", "rounds may go on without late parties: rounds, bytes and seconds are told "
            "as if nobody were late",
        )  # fmt: skip
    most = max(party.memory.get("peak", 0) for party in chosen.parties)
    here = memory_here()
    if here and most > here:
        yield Advice(
            "memory", f"a party needs {wording.size(most)} and this machine has "
            f"{wording.size(here)}",
        )  # fmt: skip


def installed(library: str) -> bool:
    """Whether it can be imported; it is not."""
    return importlib.util.find_spec(library) is not None
