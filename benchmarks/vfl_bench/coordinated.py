"""One epoch of the job with an arbiter, encrypted and in the clear, in the same run.

The parties run in this process on one event loop, so the figure is the work of all of them on this
machine; what an encrypted epoch costs more than a mock one is the price of encryption. An epoch is
timed by the ledgers, from the start of training to its last verdict: without reading, alignment,
keys and scoring, which are told beside it. So is the epoch that `vfl plan` predicts from unit costs
probed just before.
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
from vfl.api import ledger_entries
from vfl.data.bundled import write_generated_job
from vfl.planner.plan import plan
from vfl_bench.harness import Row

GUEST, HOST = 13, 10  # columns of default_credit
ROUND = {"train.scores", "train.residual", "train.gradient", "train.step"}


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
            one = msgspec.structs.replace(job, crypto=_crypto(cipher))
            predicted = plan(one).forecast.epoch_s
            begin = time.perf_counter()
            run = vfl.run_job(one, folder=folder / cipher)
            wall = time.perf_counter() - begin
            row = _row(run, cipher, name if data else "generated", wall, predicted)
            if cipher == "mock":
                clear = row.real_time
            else:
                row = dataclasses.replace(row, ratio_to={"mock": clear / row.real_time})
            yield row


def _crypto(cipher: str) -> vfl.CryptoSpec:
    scheme, _, bits = cipher.partition("-")
    fields = {"scheme": scheme} | ({"key_bits": int(bits)} if bits else {})
    return msgspec.convert(fields, vfl.CryptoSpec)


def _row(run: vfl.Run, cipher: str, data: str, wall: float, predicted: float) -> Row:
    result = run.result
    align = max(stages["align"] for party, stages in run.timings.items() if party != "total")
    sent = [entry for entry in ledger_entries(run.folder)[0] if entry.direction == "sent"]
    start = max(entry.at for entry in sent if entry.kind == "train.start")
    end = max(entry.at for entry in sent if entry.kind == "train.epoch_end")
    epoch_us = (end - start) / result.epochs * 1e6
    rounds = sum(entry.bytes for entry in sent if entry.kind in ROUND)
    traffic = {f"{b.sender} -> {b.receiver}": b.bytes for b in result.ledger.borders}
    facts = {
        "parameters": result.cipher, "security_bits": result.security_bits,
        "rows": result.rows["train"], "align_s": align, "wall_s": wall, "bytes": traffic,
        "key_bytes": result.ledger.keys, "epoch_bytes": rounds / result.epochs,
        "metrics": result.metrics, "undeclared": result.undeclared,
        "transport": run.job.transport, "predicted_s": predicted,
    }  # fmt: skip
    shape = f"end-to-end/{data}/rows={result.rows['train']}/epoch"
    return Row(
        shape,
        cipher,
        "epoch",
        epoch_us,
        epoch_us,
        epoch_us,
        epoch_us,
        result.epochs,
        facts,
        {},
        {"predicted/measured": predicted * 1e6 / epoch_us},
    )


def sentence(row: Row) -> str:
    """The epoch and its prediction, the whole run, bytes over borders, held-out metrics."""
    facts, mib = row.facts, 2.0**-20
    metrics = ", ".join(f"{k} {v:.4f}" for k, v in facts["metrics"].items())
    return (
        f"{row.peer}: an epoch in {row.real_time / 1e6:.3g} s, predicted {facts['predicted_s']:.3g}"
        f" s; {facts['wall_s']:.1f} s in all, {facts['align_s']:.1f} s of it alignment; "
        f"{sum(facts['bytes'].values()) * mib:.1f} MiB over borders, {facts['key_bytes'] * mib:.2f}"
        f" MiB of it public keys, {facts['epoch_bytes'] * mib:.2f} MiB an epoch; "
        f"held out: {metrics}"
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
        "security: arbiter\n"
        "model: {type: logistic_regression}\n",
        encoding="utf-8",
    )
    return path
