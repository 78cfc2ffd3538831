"""From a job file to what it will take: sizes read here, costs measured here."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from vfl.errors import JobError, SecurityError
from vfl.parties.base import folder_of
from vfl.planner.advice import advise
from vfl.planner.counting import count
from vfl.planner.finding import Advice
from vfl.planner.forecast import Forecast
from vfl.planner.probe import SECONDS, probe
from vfl.planner.protocols import PROTOCOLS, Level
from vfl.planner.shape import ones_of, shape_of
from vfl.planner.units import FAR, STATED, Link
from vfl.spec import CryptoSpec, MultinomialRegression
from vfl_crypto.errors import CryptoError, InsecureParametersError

if TYPE_CHECKING:
    from vfl.planner.counting import Size
    from vfl.spec import JobSpec

RAY_START: Final = 8.0
"""Seconds until Ray's actors are up on one machine; measured once."""

HERE: Final = Link(1e10, 0.0, local=True)
"""Between parties of one process, or of one machine that was not measured."""

_SUM: Final = "sum of the passive parties"


class Plan(msgspec.Struct, frozen=True):
    """What `vfl plan` prints. Seconds, bytes, bits a second."""

    job: str
    security: str  # the level that trains: what `job.level` says
    chosen_by: Literal["auto", "job"]
    forecast: Forecast
    others: dict[str, Forecast | str]  # by cipher; a sentence where it cannot do the job
    rows: dict[str, int]
    columns: dict[str, int]
    train: int
    batches: int
    held_out: int
    one_machine: bool
    link_bits: float
    latency_s: float
    start_s: float  # before the first read: Ray
    threads: int
    probe_s: float
    probed: list[str]
    stated: list[str]  # ciphers whose unit costs were not measured
    assumed: list[str]
    learns: dict[str, list[str]]  # by role: what the level's training shows it
    warnings: list[Advice]


def plan(
    job: JobSpec, *, link_mbit: float | None = None, latency_ms: float | None = None,
    seconds: float = SECONDS,
) -> Plan:  # fmt: skip
    """Count tables, probe this machine for at most `seconds`, add up.

    Parties are taken to share this machine unless a link is described or one has a placement. Then
    each has a machine like this one. Raises `JobError` for a link that is none, or a cipher that
    cannot do the job.
    """
    begin = time.perf_counter()
    tables = _tables(job)
    shape = shape_of(job, tables, opened_before(job))
    link = _link(job, link_mbit, latency_ms)
    cipher, level = job.cipher, PROTOCOLS[job.level]
    measured = [level.units(name) for name in level.ciphers]
    units = probe(measured, max(shape.batches), max(shape.columns.values()), seconds=seconds)
    took = time.perf_counter() - begin

    def under(crypto: CryptoSpec) -> Forecast:
        return level.forecast(
            shape, crypto, units, link, ray=job.transport == "ray", tables=tables
        )  # fmt: skip

    try:
        chosen = under(cipher)
    except InsecureParametersError as error:
        raise SecurityError(f"crypto: {error}") from error
    except CryptoError as error:
        raise JobError(f"crypto: {cipher.scheme} cannot do this job: {error}") from error
    others: dict[str, Forecast | str] = {}
    for scheme in level.ciphers:
        if scheme != cipher.scheme:
            try:
                others[scheme] = under(CryptoSpec(scheme, cipher.key_bits))
            except CryptoError as error:
                others[scheme] = str(error)
    probed = sorted(units.probed - {"threads"})
    stated: list[str] = [name for name in level.ciphers if level.units(name) not in units.probed]
    return Plan(
        job.name, job.level, "auto" if job.asked.scheme == "auto" else "job", chosen, others,
        dict(shape.rows), {n: s - (n == job.roster.active and ones_of(job))
                           for n, s in shape.columns.items()},
        shape.train, len(shape.batches), shape.held_out, link.local, link.bits, link.latency,
        RAY_START if job.transport == "ray" else 0.0, units.threads, took, probed, stated,
        list(shape.assumed), _learns(level, chosen), advise(job, shape, chosen, others),
    )  # fmt: skip


def _learns(level: Level, chosen: Forecast) -> dict[str, list[str]]:
    """What is declared, less what is carried by messages that this job does not send.

    And less the sum over passive parties where there is one: what it sends is declared as well.
    """
    passives = sum(party.role == "passive" for party in chosen.parties)
    received = {party.role: set[str]() for party in chosen.parties}
    for party in chosen.parties:
        received[party.role] |= party.received.keys()
    return {
        role: [
            one.what
            for one in level.declaration.disclosures
            if one.to == role
            and (not one.carried_by or one.carried_by in kinds)
            and (passives > 1 or _SUM not in one.what)
        ]
        for role, kinds in received.items()
    }


def expected(job: JobSpec) -> Forecast | None:
    """A rough forecast without a probe: stated costs, tables that are here; None without one."""
    tables = _tables(job)
    link = FAR if any(p.placement for p in job.parties) else HERE
    try:
        return PROTOCOLS[job.level].forecast(
            shape_of(job, tables, opened_before(job)), job.cipher, STATED, link,
            ray=job.transport == "ray", tables=tables,
        )  # fmt: skip
    except CryptoError:  # the run itself says what is wrong
        return None


def opened_before(job: JobSpec) -> int:
    """Vectors of training scores that earlier runs opened, where a warm start's is here."""
    if job.warm_start is None:
        return 0
    for name in job.roster.data_parties:
        path = folder_of(job.party(name), Path(job.warm_start)) / "model.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Earlier).scores_opened
        except (OSError, msgspec.MsgspecError):  # the run itself says what is wrong
            continue
    return 0


class _Earlier(msgspec.Struct, frozen=True):
    """Of a stored model."""

    scores_opened: int


def _tables(job: JobSpec) -> dict[str, Size]:
    """Sizes of those tables that are here."""
    classes = isinstance(job.model, MultinomialRegression)
    found = {n: count(job.party(n), classes=classes) for n in job.roster.data_parties}
    return {name: size for name, size in found.items() if size}


def _link(job: JobSpec, mbit: float | None, latency_ms: float | None) -> Link:
    if (mbit is not None and not 0 < mbit < 1e9) or (
        latency_ms is not None and not 0 <= latency_ms < 1e6
    ):
        raise JobError(
            f"no link has {mbit} Mbit/s and {latency_ms} ms; --link is above 0, "
            "--latency not negative"
        )
    apart = mbit is not None or latency_ms is not None or any(p.placement for p in job.parties)
    if apart:
        return Link(
            FAR.bits if mbit is None else mbit * 1e6,
            FAR.latency if latency_ms is None else latency_ms / 1e3,
        )
    return loopback() if job.transport == "ray" else HERE


def loopback(size: int = 1 << 23) -> Link:
    """The bandwidth of a TCP connection of this machine to itself; stated if it has none."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(1.0)

            def send() -> None:
                with socket.create_connection(server.getsockname(), timeout=1.0) as out:
                    out.sendall(bytes(size))

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            peer, _ = server.accept()
            begin = time.perf_counter()
            with peer:
                peer.settimeout(1.0)
                while peer.recv(1 << 20):
                    pass
            sender.join()
            return Link(size * 8 / (time.perf_counter() - begin), 0.0, local=True)
    except OSError:
        return HERE
