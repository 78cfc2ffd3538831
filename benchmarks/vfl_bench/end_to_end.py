"""One epoch of the job, encrypted and in the clear, in the same run.

The parties run in this process on one event loop, so the figure is the work of all of them on this
machine; what an encrypted epoch costs more than a mock one is the price of encryption.
"""

from __future__ import annotations

import csv
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

import vfl
from vfl.data.bundled import write_generated_job
from vfl.spec import JobSpec
from vfl_bench.harness import Row

GUEST, HOST = 13, 10  # columns of default_credit


def rows(
    crypto: Sequence[str], size: int, epochs: int, batch: int | None, data: Path | None, name: str
) -> Iterator[Row]:
    """A row a cipher, mock first; its facts hold bytes per border and held-out metrics."""
    import sklearn.linear_model
    import sklearn.metrics  # noqa: F401

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = (
            write_shuffled_copy(data, name, folder, size)
            if data
            else write_generated_job(folder, size, GUEST, HOST, seed=0)
        )
        job = vfl.load_job(path)
        model = vfl.LogisticRegression(
            l2=1e-3, optimizer="adam", learning_rate=0.1, epochs=epochs, batch_size=batch,
            tolerance=0.0,
        )  # fmt: skip
        job = msgspec.structs.replace(job, model=model, transport="inprocess")
        clear = 0.0
        for cipher in ("mock", *crypto):
            begin = time.perf_counter()
            run = vfl.run_job(
                msgspec.structs.replace(job, crypto=_crypto(cipher)), folder=folder / cipher
            )
            wall = time.perf_counter() - begin
            row = _row(run, cipher, name if data else "generated", wall, job)
            if cipher == "mock":
                clear = row.real_time
            else:
                row = dataclasses.replace(row, ratio_to={"mock": clear / row.real_time})
            yield row


def _crypto(cipher: str) -> vfl.CryptoSpec:
    scheme, _, bits = cipher.partition("-")
    fields = {"scheme": scheme} | ({"key_bits": int(bits)} if bits else {})
    return msgspec.convert(fields, vfl.CryptoSpec)


def _row(run: vfl.Run, cipher: str, data: str, wall: float, job: JobSpec) -> Row:
    result = run.result
    align = max(stages["align"] for party, stages in run.timings.items() if party != "total")
    epoch_us = (wall - align) / result.epochs * 1e6
    traffic = {f"{b.sender} -> {b.receiver}": b.bytes for b in result.ledger.borders}
    facts = {
        "parameters": result.cipher, "security_bits": result.security_bits,
        "rows": result.rows["train"], "align_s": align, "wall_s": wall, "bytes": traffic,
        "metrics": result.metrics, "undeclared": result.undeclared, "transport": job.transport,
    }  # fmt: skip
    shape = f"end-to-end/{data}/rows={result.rows['train']}/epoch"
    return Row(
        shape, cipher, "epoch", epoch_us, epoch_us, epoch_us, epoch_us, result.epochs, facts, {}
    )


def write_shuffled_copy(data: Path, name: str, folder: Path, size: int) -> Path:
    """Copies of NAME_hetero_guest.csv and _host.csv whose rows must really be aligned.

    The published files hold the same ids in the same order. Each copy drops a tenth of the rows of
    its own choice and is shuffled, so that a program that skips alignment fails.
    """
    rng = np.random.default_rng(0)
    for side in ("guest", "host"):
        with (data / f"{name}_hetero_{side}.csv").open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file))
        lines = lines[:size]
        kept = rng.permutation(len(lines))[: round(len(lines) * 0.9)]
        with (folder / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(lines[i] for i in kept)])
    path = folder / "job.yaml"
    path.write_text(
        f"name: {name}\n"
        "parties:\n"
        "  - {name: guest, data: guest.csv, id: id, label: y}\n"
        "  - {name: host, data: host.csv, id: id}\n"
        "model: {type: logistic_regression}\n",
        encoding="utf-8",
    )
    return path
