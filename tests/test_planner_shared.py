"""`vfl plan` at the level `shared`: bytes against the ledgers of real runs, seconds, rounds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vfl.api import ledger_entries, run_job
from vfl.planner.counting import count
from vfl.planner.plan import HERE, opened_before
from vfl.planner.protocols import PROTOCOLS
from vfl.planner.shape import shape_of
from vfl.planner.units import STATED
from vfl.spec import (
    CryptoSpec,
    JobSpec,
    LogisticRegression,
    MultinomialRegression,
    PartySpec,
    check_job,
)

SMALL = CryptoSpec("paillier", 2048)


def job(
    rows=300, columns=(3, 4), crypto="mock", classes=2, model=None, weight=None, **more
) -> JobSpec:
    """A job on tables in memory whose ids are all common; it never ends before its last round."""
    rng = np.random.default_rng(0)
    names = ["bank", *(f"shop{k}" for k in range(1, len(columns)))]
    parties = []
    for name, width in zip(names, columns, strict=True):
        data = {"id": np.arange(rows)}
        data |= {f"{name}{k}": rng.standard_normal(rows) for k in range(width)}
        label = None
        if name == "bank":
            data["y"] = np.arange(rows) % classes
            data["w"] = np.ones(rows)
            label = "y"
        own = {"weight": weight} if label and weight else {}
        drop = ["w"] if label and not weight else []
        parties.append(PartySpec(name, data=data, label=label, drop=drop, **own))
    kind = LogisticRegression if classes == 2 else MultinomialRegression
    made = kind(**{"tolerance": 0.0} | (model or {}))
    options = {"transport": "inprocess"} | more
    return check_job(JobSpec(parties=parties, model=made, crypto=crypto, **options))


def shaped(made: JobSpec):
    classes = isinstance(made.model, MultinomialRegression)
    tables = {n: count(made.party(n), classes=classes) for n in made.roster.data_parties}
    return shape_of(made, tables, opened_before(made))


def predicted(made: JobSpec, units=STATED, link=HERE):
    forecast = PROTOCOLS["shared"].forecast
    return forecast(shaped(made), made.cipher, units, link, ray=False)


FREE = {"accept_score_leak": True}


@pytest.mark.parametrize(
    "made",
    [
        job(),
        job(columns=(0, 30), crypto="lattice"),
        job(6000, (2, 3), "lattice", model={"epochs": 12}, **FREE),
        job(columns=(2, 5, 3), crypto="lattice"),
        job(120, (2, 5), SMALL, model={"epochs": 2}),
        job(120, (2, 5, 20), SMALL, model={"epochs": 2}),
        job(classes=3, columns=(2, 12), crypto="lattice"),
        job(classes=4, columns=(2, 12, 12)),
        job(90, classes=3, columns=(1, 3, 2), crypto=SMALL, model={"epochs": 1}, **FREE),
        job(folds=11, model={"epochs": 2}, **FREE),
        job(model={"epochs": 101}, **FREE),
        job(test_fraction=0.0, weight="w"),
        job(40, (2, 60), model={"epochs": 3}, **FREE),
    ],
    ids=[
        "mock", "lattice, labels alone", "lattice, several blocks", "lattice, two passives",
        "paillier", "paillier, two passives", "lattice, three classes", "four classes, masked",
        "paillier, three classes", "folds", "many rounds", "nothing held out",
        "more columns than rows",
    ],
)  # fmt: skip
def test_bytes_are_those_of_the_ledger_of_a_real_run(made, tmp_path):
    ran = run_job(made, folder=tmp_path / "run")
    sent, received = _ledger(tmp_path / "run")
    told = predicted(made)
    assert ran.result.epochs == told.epochs
    for real, found in (
        (sent, {(p.name, kind): n for p in told.parties for kind, n in p.sent.items()}),
        (received, {(p.name, kind): n for p in told.parties for kind, n in p.received.items()}),
    ):
        assert found == real
    assert told.key_bytes == sum(n for (_, kind), n in sent.items() if kind == "shared.start")
    assert told.fits == 1 + (made.folds or 0)


def _ledger(folder):
    """Bytes by (party, kind): sent, received."""
    sent, received = Counter(), Counter()
    for entry in ledger_entries(folder)[0]:
        if entry.direction == "sent":
            sent[entry.sender, entry.kind] += entry.bytes
            received[entry.receiver, entry.kind] += entry.bytes
    return sent, received
