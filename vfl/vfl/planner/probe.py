"""Unit costs of this machine, measured in a few seconds on made-up data.

Each probe calls the functions that a job calls, at its shape where that is quick. Paillier is
measured under a key of 2048 bits, which is found in a fraction of a second, and scaled.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vfl.planner import probe_shares
from vfl.planner.memory import memory_here
from vfl.planner.timed import best
from vfl.planner.units import STATED, CkksUnits, LatticeUnits, PaillierUnits, Units
from vfl_crypto.linear import Matrix
from vfl_crypto.psi import Blinder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SECONDS: Final = 10.0
"""No probe is begun that could end later than this."""

_LONGEST: Final = 2.5  # seconds of one probe on a slow machine
_ROWS, _COLUMNS = 24_576, 32  # of the largest matrix that is tried
_POINTS = 1024


def probe(
    ciphers: Collection[str], rows: int, columns: int, *,
    seconds: float = SECONDS, threads: int | None = None,
) -> Units:  # fmt: skip
    """`STATED` with what could be measured: X (rows, columns) is the largest matrix of a batch.

    `ciphers` are fields of `Units`, those whose products become shares with a suffix.
    """
    threads = threads or os.cpu_count() or 1
    end = time.monotonic() + seconds
    units = STATED.measured(threads=threads)
    if here := memory_here():
        units = replace(units, tile_budget=here // 4)  # as `schemes.make_sharing_scheme`
    shape = min(rows, _ROWS), min(columns, _COLUMNS)
    probes: list[Callable[[], dict[str, Any]]] = [
        *([lambda: {"lattice": lattice(*shape, threads)}] if "lattice" in ciphers else []),
        *([lambda: {"paillier": paillier(threads)}] if "paillier" in ciphers else []),
        *([lambda: {"ckks": ckks(shape[0], threads)}] if "ckks" in ciphers else []),
        *([lambda: probe_shares.lattice(*shape, threads)] if "lattice_shares" in ciphers else []),
        *([lambda: probe_shares.paillier(threads)] if "paillier_shares" in ciphers else []),
        lambda: probe_shares.clear(shape[0]), lambda: points(threads), reading, clear, overhead,
    ]  # fmt: skip
    for one in probes:
        if time.monotonic() + _LONGEST > end:
            break
        units = units.measured(**one())
    return units


def lattice(rows: int, columns: int, threads: int) -> LatticeUnits:
    """All operations of a round on a random matrix."""
    from vfl_crypto.lattice import LatticeScheme
    from vfl_crypto.lattice.plan import BYTE_NS

    scheme = LatticeScheme(threads=threads)
    plan = scheme.plan(rows, columns)
    make, holder = best(scheme.generate, 2)
    read, encryptor = best(lambda: scheme.encryptor(holder.public_key), 2)
    X = np.random.default_rng(0).standard_normal((rows, columns))
    block, vector = best(lambda: encryptor.encrypt(X[:, 0]), 4)
    add, _ = best(lambda: encryptor.add(vector, vector), 4)
    matrix = Matrix(X)
    first, product = best(lambda: encryptor.rmatmul(matrix, vector), 1)
    again, _ = best(lambda: encryptor.rmatmul(matrix, vector), 4)
    depart, sent = best(lambda: encryptor.encrypt(X[0], product), 4)
    opened, _ = best(lambda: holder.decrypt(sent), 4)
    holder.close()
    blocks, results = plan.inner_blocks, plan.results
    link = (plan.upload_bytes + plan.download_bytes) * BYTE_NS * 1e-9
    return LatticeUnits(
        make, read, block / blocks, add / blocks, again / (plan.seconds - link),
        max(0.0, first - again) / (plan.row_subtrees * blocks * plan.images),
        depart / results, opened / results,
    )  # fmt: skip


def paillier(threads: int) -> PaillierUnits:
    """Under a key of 2048 bits; products of one and of eight columns tell rows from entries."""
    from vfl_crypto.paillier import PaillierScheme

    scheme = PaillierScheme(2048, threads=threads)
    make, holder = best(scheme.generate, 1)
    encryptor = scheme.encryptor(holder.public_key)
    X = np.random.default_rng(0).standard_normal((192, 8))
    tables, _ = best(lambda: encryptor.encrypt(X[:1, 0]), 1)
    encrypt, vector = best(lambda: encryptor.encrypt(X[:, 0]), 2)
    add, _ = best(lambda: encryptor.add(vector, vector), 2)
    narrow, _ = best(lambda: encryptor.rmatmul(X[:, :1], vector), 2)
    wide, product = best(lambda: encryptor.rmatmul(X, vector), 2)
    more, _ = best(lambda: encryptor.encrypt(X[0], product), 1)
    depart, sent = best(lambda: encryptor.encrypt(X[0], product), 2)
    opened, _ = best(lambda: holder.decrypt(sent), 2)
    holder.close()
    rows, columns = X.shape
    entry = max(0.0, wide - narrow) / (columns - 1)
    return PaillierUnits(
        2048, make, tables + max(0.0, more - depart), encrypt / rows, depart / columns, add / rows,
        max(0.0, narrow - entry) / rows, entry / rows, opened / columns,
    )  # fmt: skip


def ckks(rows: int, threads: int) -> CkksUnits:
    """One column."""
    from vfl_crypto.ckks import CkksScheme
    from vfl_crypto.ckks.formats import Formats
    from vfl_crypto.ckks.layout import Layout

    scheme = CkksScheme(threads=threads)
    make, holder = best(scheme.generate, 2)
    read, encryptor = best(lambda: scheme.encryptor(holder.public_key), 2)
    X = np.random.default_rng(0).standard_normal((rows, 1))
    blocks = Layout(rows, Formats().slots).blocks
    encrypt, vector = best(lambda: encryptor.encrypt(X[:, 0]), 4)
    add, _ = best(lambda: encryptor.add(vector, vector), 4)
    multiply, product = best(lambda: encryptor.rmatmul(X, vector), 4)
    depart, sent = best(lambda: encryptor.encrypt(X[0], product), 4)
    opened, _ = best(lambda: holder.decrypt(sent), 4)
    holder.close()
    return CkksUnits(make, read, encrypt / blocks, add / blocks, multiply / blocks, depart, opened)


def points(threads: int) -> dict[str, float]:
    """Hashing and raising ids, checking and raising points."""
    blinder = Blinder(threads)
    ids = [b"%d" % i for i in range(_POINTS)]
    own, masked = best(lambda: blinder.blind_ids(ids, bytes(32)), 2)
    foreign, _ = best(lambda: blinder.blind(masked), 2)
    return {"own_point": own / _POINTS, "foreign_point": foreign / _POINTS}


def reading() -> dict[str, float]:
    """A CSV file, read and checked as a party does."""
    from vfl.data.table import read_table

    lines = ["id," + ",".join(f"c{k}" for k in range(10))]
    lines += [f"{i}," + ",".join(["0.123456"] * 10) for i in range(2000)]
    with tempfile.TemporaryDirectory(prefix="vfl-plan-") as folder:
        path = Path(folder) / "t.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        took, _ = best(lambda: read_table(path, party="probe", id="id"), 2)
    return {"read_cell": took / (2000 * 11)}


def clear() -> dict[str, float]:
    """Scores in the clear, and the singular values that the guard asks for."""
    from vfl.protocols.guards import leverage

    X = np.random.default_rng(0).standard_normal((20_000, 10))
    matrix, weights = Matrix(X), np.ones(10)
    score, _ = best(lambda: np.asarray(matrix, dtype=np.float64) @ weights, 3)
    guard, _ = best(lambda: leverage(X), 2)
    return {"entry": score / X.size, "leverage": guard / (X.size * X.shape[1])}


def overhead() -> dict[str, float]:
    """A job without a cipher in this process: eight messages and three checkpoints an epoch.

    And a byte that is framed, hashed and read again.
    """
    import hashlib

    from vfl.api import run_job
    from vfl.checkpoint import write_atomically
    from vfl.spec import JobSpec, LogisticRegression, PartySpec, check_job

    ids = np.arange(64)
    parties = [
        PartySpec(name, data={"id": ids, f"x{name}": ids % 7 - 3.0, "y": ids % 2}, label=label,
                  drop=[] if label else ["y"])
        for name, label in (("a", "y"), ("b", None))
    ]  # fmt: skip
    epochs = 10
    job = JobSpec(
        parties=parties, model=LogisticRegression(epochs=epochs, tolerance=0.0), crypto="mock",
        security="arbiter", transport="inprocess", test_fraction=0.0, accept_gradient_leak=True,
    )  # fmt: skip
    stamps: list[float] = []
    with tempfile.TemporaryDirectory(prefix="vfl-plan-") as folder:
        run_job(
            check_job(job), folder=Path(folder) / "run",
            on_event=lambda e: stamps.append(time.perf_counter()) if e.text == "training" else None,
        )  # fmt: skip
        state = {"theta": [0.0] * 10}
        stored, _ = best(lambda: write_atomically(Path(folder) / "c.json", state, "probe"), 5)
    block = bytes(1 << 22)
    hashed, _ = best(lambda: hashlib.sha256(block), 2)
    copied, _ = best(lambda: bytearray(block), 2)
    return {
        "message": max(0.0, (stamps[-1] - stamps[0]) / epochs - 3 * stored) / 8,
        "checkpoint": stored,
        "byte": (hashed + 2 * copied) / len(block),
    }
