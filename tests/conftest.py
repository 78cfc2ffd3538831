"""Shared by all tests: small jobs on generated tables, parties on one loop, a tap on the wire."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from local_ray import ray_cluster  # noqa: F401  a fixture; sets Ray's environment
from vfl.context import Context, Event, Roster
from vfl.ledger import Ledger
from vfl.program import DECLARED
from vfl.spec import CryptoSpec, JobSpec, LogisticRegression, PartySpec, ScheduleSpec, check_job
from vfl.transport import inprocess
from vfl_crypto.paillier import PaillierScheme

# How long an example takes is the machine's affair: no test fails for it.
settings.register_profile("vfl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vfl")


def pytest_collection_modifyitems(config, items):
    """Of several workers one runs a whole file, and one all that needs the session's cluster."""
    if hasattr(config, "workerinput"):
        for item in items:
            group = "ray" if item.get_closest_marker("ray") else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))


TEST_KEY_BITS = 2048  # the smallest key that is not refused: jobs in tests make new keys each


@dataclass
class Tables:
    """Who holds what: party -> (ids, columns (n, f)), and the label by id."""

    ids: dict[str, list[str]]
    columns: dict[str, np.ndarray]
    label: dict[str, float]

    @property
    def joint(self) -> set[str]:
        return set.intersection(*map(set, self.ids.values()))


def make_tables(
    *, rows: int, features: dict[str, int], strangers: int, linear: bool, seed: int
) -> Tables:
    """Correlated columns of `rows` joint people, `strangers` more in each party's table."""
    rng = np.random.default_rng(seed)
    names = [f"person-{n}" for n in rng.permutation(rows + strangers * len(features))]
    total = sum(features.values())
    base = rng.standard_normal((rows, total)) + 0.6 * rng.standard_normal((rows, 1))
    score = base @ rng.standard_normal(total) / np.sqrt(total)
    y = score + 0.5 * rng.standard_normal(rows) if linear else (score > 0).astype(float)
    ids, columns, at = {}, {}, 0
    label = dict(zip(names[:rows], y.tolist(), strict=True))
    for k, (party, width) in enumerate(features.items()):
        own = names[rows + k * strangers : rows + (k + 1) * strangers]
        label |= {name: float(k % 2) for name in own}
        values = np.vstack([base[:, at : at + width], rng.standard_normal((strangers, width))])
        order = rng.permutation(rows + strangers)
        ids[party] = [(names[:rows] + own)[i] for i in order]
        columns[party] = np.round(values[order] * 3 + k, 6)
        at += width
    return Tables(ids, columns, label)


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


@dataclass
class SmallJob:
    """A checked job in a folder, and the tables behind it."""

    job: JobSpec
    tables: Tables
    folder: Path


@pytest.fixture
def small_job(tmp_path):
    """A function that writes CSV files and returns a job on them.

    small_job(passives=1, crypto="mock", model=..., rows=120, features=3, active_features=2, ...)
    """

    def build(
        *,
        passives: int = 1,
        model: Any = None,
        crypto: str = "mock",
        rows: int = 120,
        features: int = 3,
        active_features: int = 2,
        strangers: int = 7,
        table_seed: int = 1,
        deadline_s: float = 20.0,
        schedule: ScheduleSpec | None = None,
        security: str = "arbiter",
        tables: Tables | None = None,
        **options: Any,
    ) -> SmallJob:
        model = model or LogisticRegression(epochs=3)
        linear = type(model).__name__ == "LinearRegression"
        widths = {"bank": active_features} | {f"p{k}": features + k for k in range(passives)}
        tables = tables or make_tables(
            rows=rows, features=widths, strangers=strangers, linear=linear, seed=table_seed
        )
        folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        parties = []
        for party, values in tables.columns.items():
            names = [f"{party}{k}" for k in range(values.shape[1])]
            lines = [[i, *v] for i, v in zip(tables.ids[party], values.tolist(), strict=True)]
            if party == "bank":
                names.append("y")
                lines = [[*line, tables.label[line[0]]] for line in lines]
            path = write_csv(folder / f"{party}.csv", ["id", *names], lines)
            label = "y" if party == "bank" else None
            parties.append(PartySpec(party, data=str(path), label=label))
        job = JobSpec(
            parties=parties,
            model=model,
            security=security,
            crypto=CryptoSpec(crypto, TEST_KEY_BITS),
            transport="inprocess",
            schedule=schedule or ScheduleSpec(deadline_s=deadline_s),
            **options,
        )
        return SmallJob(check_job(job), tables, folder)

    return build


@dataclass
class Tap:
    """Every frame that was sent, as (sender, receiver, bytes)."""

    frames: list[tuple[str, str, bytes]] = field(default_factory=list)

    def received_by(self, name: str) -> list[bytes]:
        return [frame for _, to, frame in self.frames if to == name]

    @property
    def everything(self) -> bytes:
        return b"".join(frame for *_, frame in self.frames)


@pytest.fixture
def tap(monkeypatch):
    """Records what crosses the in-process transport, byte for byte."""
    record = Tap()
    send = inprocess.InProcess.send

    async def tapped(self, to, frame):
        record.frames.append((self._name, to, frame.tobytes()))
        await send(self, to, frame)

    monkeypatch.setattr(inprocess.InProcess, "send", tapped)
    return record


@dataclass
class Play:
    """What `play` returns: results, ledgers and events of all parties."""

    results: dict[str, Any]
    ledgers: dict[str, Ledger]
    events: list[Event]


@pytest.fixture
def play():
    """Runs one coroutine a party on one loop: play(roster, {name: async f(ctx)})."""

    def run(roster: Roster, programs, *, deadline_s=10.0, declared=DECLARED, raw=()) -> Play:
        """Names in `raw` get the bare transport instead of a context."""
        ledgers = {name: Ledger(roster.roles) for name in programs}
        events: list[Event] = []

        async def part(name, end, on_event):
            if name in raw:
                return await programs[name](end)
            context = Context(
                name, roster, end, ledgers[name],
                job="session", declared=declared, deadline_s=deadline_s, on_event=on_event,
            )  # fmt: skip
            async with context:
                return await programs[name](context)

        results = inprocess.launch(part, {name: name for name in programs}, events.append)
        return Play(results, ledgers, events)

    return run


@pytest.fixture(scope="session")
def paillier_holder():
    """One 2048-bit key for all tests that only need some key."""
    holder = PaillierScheme(key_bits=TEST_KEY_BITS).generate()
    yield holder
    holder.close()


def with_digest(frame: bytes) -> np.ndarray:
    """The frame with its last 32 bytes replaced by the right digest."""
    body = frame[:-32]
    return np.frombuffer(body + hashlib.sha256(body).digest(), dtype=np.uint8)


@pytest.fixture(scope="session")
def redigest():
    return with_digest
