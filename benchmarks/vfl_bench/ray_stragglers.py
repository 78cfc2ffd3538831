"""Rounds on local Ray with one slow party: whom the others wait for, and what that costs.

An active party, four passive ones and an arbiter, an actor each, lattice encryption, a generated
table. The figure of a row is the 95th percentile of the time of a round; a policy is held against
its own undisturbed run.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

import vfl
from vfl.api import timelines
from vfl.spec import Cipher, PartySpec, ScheduleSpec, check_job
from vfl_bench.harness import Row
from vfl_bench.slow_party import SlowParty

PASSIVES = ("p0", "p1", "p2", "p3")
SLOW = "p1"
PROGRAMS = {
    "undisturbed": SlowParty(SLOW, share=0.0),
    "slow in a quarter": SlowParty(SLOW, share=0.25, seed=1),
    "slow always": SlowParty(SLOW, share=1.0),
}
POLICIES = {
    "all_arrived": ScheduleSpec(),
    "adaptive": ScheduleSpec(policy="adaptive", max_age=12, min_fresh=0.0),
}


def measure(
    policies: Sequence[str] = tuple(POLICIES),
    *,
    rows: int = 5000,
    columns: int = 6,
    batch: int = 1000,
    epochs: int = 15,
    transport: Literal["ray", "inprocess"] = "ray",
    crypto: Cipher = "lattice",
) -> Iterator[Row]:
    """A row a policy and disturbance; `ratio_to` the policy's undisturbed run, inverted."""
    with tempfile.TemporaryDirectory() as place:
        parties = _write_tables(Path(place), rows, columns)
        for policy in policies:
            job = check_job(
                vfl.JobSpec(
                    parties=parties, security="arbiter", crypto=crypto, transport=transport,
                    schedule=POLICIES[policy],
                    model=vfl.LogisticRegression(epochs=epochs, batch_size=batch, tolerance=0.0),
                )
            )  # fmt: skip
            calm: Row | None = None
            for name, program in PROGRAMS.items():
                run = vfl.run_job(job, folder=Path(place) / policy / name, program=program)
                row = _row(run, policy, name, calm)
                calm = calm or row
                yield row


def _row(run: vfl.Run, policy: str, name: str, calm: Row | None) -> Row:
    rounds = timelines(run.folder)[run.job.roster.active].rounds
    times = np.array([one.ended_s - one.started_s for one in rounds if one.number]) * 1e6
    low, median, high, tail = (float(t) for t in np.percentile(times, (25, 50, 75, 95)))
    told, auc = run.result.rounds[SLOW], run.metrics["auc"]
    facts = {
        "disturbance": name, "rounds": len(times), "median_us": median, "auc": auc,
        "fresh": told.fresh / told.rounds, "missed": told.filled / told.rounds,
        "oldest": told.oldest, "parameters": run.result.cipher, "transport": run.job.transport,
        "rows": run.result.rows["train"], "wall_s": run.timings["total"]["wall"],
    }  # fmt: skip
    figures = {}
    if calm:
        figures = {"p95 to undisturbed": tail / calm.real_time, "auc loss": calm.facts["auc"] - auc}
    ratio = {"undisturbed": calm.real_time / tail} if calm else {}
    return Row(
        f"stragglers/{run.job.transport}/{policy}", name, "round, 95th percentile",
        tail, low, high, tail, len(times), facts, ratio, figures,
    )  # fmt: skip


def _write_tables(folder: Path, rows: int, columns: int) -> list[PartySpec]:
    """Correlated columns and a label that follows from all of them, with noise."""
    rng = np.random.default_rng(0)
    names = ("bank", *PASSIVES)
    X = rng.standard_normal((rows, columns * len(names))) + 0.4 * rng.standard_normal((rows, 1))
    score = X @ rng.standard_normal(X.shape[1]) / np.sqrt(X.shape[1])
    label = score + rng.standard_normal(rows) > 0
    parties = []
    for place, name in enumerate(names):
        own = X[:, place * columns : (place + 1) * columns]
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            extra = ["y"] if name == "bank" else []
            writer.writerow(["id", *(f"{name}{k}" for k in range(columns)), *extra])
            for k, line in enumerate(own.tolist()):
                writer.writerow([f"person-{k}", *line, *([int(label[k])] if extra else [])])
        parties.append(PartySpec(name, data=str(path), label="y" if name == "bank" else None))
    return parties
