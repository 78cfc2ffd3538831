"""Whole trainings on shares: seconds, bytes over each border and memory, cipher beside cipher.

A training is timed by the ledgers, from its first message to the hand-over of the weights: keys,
whitened columns and all rounds count; reading, alignment and metrics do not. `credit` has the shape
of default_credit (30,000 people, 13 + 10 columns) and runs twice, within the default score budget
and to convergence; `large` (100,000 people, 30 + 300) is one cold round over all rows. On Ray each
party is a process of its own, and so is its peak memory.

Paillier does one round of `credit`, and one over a part of the rows of `large`; its seconds are
scaled to the whole, and its lines say so. Its bytes are counted from the messages of the first
cipher's run (`paillier_bytes`): packed as ours, and with one ciphertext for each value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import msgspec

import vfl
from vfl.api import ledger_entries
from vfl.ledger import Entry
from vfl.protocols.shared_messages import Coefficients, Move, PublicKey
from vfl.spec import LogisticRegression, check_job
from vfl_bench import paillier_bytes
from vfl_bench.harness import Row
from vfl_bench.tables import Tables, generated, published

Transport = Literal["ray", "inprocess"]
CREDIT: Final = (30_000, 13, 10)
LARGE: Final = (100_000, 30, 300)
PART: Final = 1_000  # rows of LARGE on which a slow cipher is measured
KEY_BITS: Final = 3072  # of the Paillier whose bytes are counted where none runs


@dataclass(frozen=True)
class Work:
    """A training job; `rounds` at most, None for what the score budget allows."""

    name: str
    tables: Tables
    rounds: int | None = None
    accept_score_leak: bool = False
    test_fraction: float = 0.2
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Training:
    """What a run told: seconds before the first round, and of each of its rounds."""

    run: vfl.Run
    entries: Sequence[Entry]  # sent to train
    setup_s: float
    round_s: float
    rounds: int
    note: str = ""

    @property
    def seconds(self) -> float:
        return self.setup_s + self.rounds * self.round_s

    @property
    def train_rows(self) -> int:
        return self.run.result.rows["train"]


def works(
    suites: Sequence[str], ciphers: Sequence[str], transport: Transport, data: Path | None,
    name: str, folder: Path,
) -> Iterator[list[Row]]:  # fmt: skip
    """The rows of each job of these suites, on published files where `data` holds them."""
    tables = published(data, name) if data else generated(folder / "credit", *CREDIT)
    if "credit" in suites:
        yield from credit(tables, ciphers, transport, folder)
    if "large" in suites:
        whole = generated(folder / "large", *LARGE)
        part = generated(folder / "part", PART, *LARGE[1:])
        yield large(whole, part, ciphers, transport, folder / "trained")


def credit(
    tables: Tables, ciphers: Sequence[str], transport: Transport, folder: Path
) -> Iterator[list[Row]]:
    """The rows of each of both jobs."""
    short: dict[str, Training] = {}
    for goal in ("budget", "converged"):
        work = Work(f"end-to-end/{tables.name}/{goal}", tables, accept_score_leak=goal != "budget")
        found: dict[str, Training] = {}
        for cipher in ciphers:
            if found and slow(cipher):
                if cipher not in short:
                    place = folder / f"round-{cipher}"
                    short[cipher] = train(replace(work, rounds=1), cipher, transport, place)
                rounds = next(iter(found.values())).rounds
                note = f"seconds: 1 of {rounds} rounds measured, scaled to all"
                found[cipher] = replace(short[cipher], rounds=rounds, note=note)
            else:
                found[cipher] = train(work, cipher, transport, folder / f"{goal}-{cipher}")
        yield rows(work, found)


def large(
    tables: Tables, part: Tables, ciphers: Sequence[str], transport: Transport, folder: Path
) -> list[Row]:
    """The rows of one round over all people, slow ciphers after the first on those of `part`."""
    work = Work(
        f"end-to-end/{tables.name}/round", tables, rounds=1, test_fraction=0.0, tolerance=0.0
    )
    found: dict[str, Training] = {}
    for cipher in ciphers:
        if found and slow(cipher):
            measured = train(replace(work, tables=part), cipher, transport, folder / cipher)
            whole = next(iter(found.values())).train_rows
            note = f"seconds: {measured.train_rows:,} of {whole:,} rows measured, scaled to all"
            scale = whole / measured.train_rows
            found[cipher] = replace(measured, round_s=measured.round_s * scale, note=note)
        else:
            found[cipher] = train(work, cipher, transport, folder / cipher)
    return rows(work, found)


def slow(cipher: str) -> bool:
    return cipher.startswith("paillier")


def train(work: Work, cipher: str, transport: Transport, folder: Path) -> Training:
    """Run `work` under a cipher like "lattice" or "paillier-3072"."""
    job = vfl.JobSpec(
        parties=work.tables.parties(), crypto=parsed(cipher), transport=transport, name="bench",
        model=LogisticRegression(epochs=work.rounds, tolerance=work.tolerance),
        test_fraction=work.test_fraction, accept_score_leak=work.accept_score_leak,
    )  # fmt: skip
    run = vfl.run_job(check_job(job), folder=folder)
    entries = paillier_bytes.training(ledger_entries(run.folder)[0])
    begin = min(entry.at for entry in entries)
    first = min(entry.at for entry in entries if entry.kind == Move.kind)
    end = max(entry.at for entry in entries if entry.kind == Coefficients.kind)
    rounds = run.result.epochs
    return Training(run, entries, first - begin, (end - first) / rounds, rounds)


def parsed(cipher: str) -> vfl.CryptoSpec:
    """Of "lattice" or "paillier-3072". Raises `msgspec.ValidationError` for another."""
    scheme, _, bits = cipher.partition("-")
    fields = {"scheme": scheme} | ({"key_bits": int(bits)} if bits else {})
    return msgspec.convert(fields, vfl.CryptoSpec)


def rows(work: Work, found: Mapping[str, Training]) -> list[Row]:
    """A row a cipher, each with the seconds and the bytes of all others by its own."""
    first = next(iter(found.values()))
    totals = {name: borders(t, first, name).total() for name, t in found.items()}
    bits = next((parsed(name).key_bits for name in found if slow(name)), KEY_BITS)
    for packed, name in ((True, f"paillier-{bits}"), (False, unpacked(bits))):
        count = paillier_bytes.under_paillier(first.entries, bits, packed=packed)
        totals.setdefault(name, count.total())
    lines = []
    for cipher, training in found.items():
        result, count = training.run.result, borders(training, first, cipher)
        others = {peer: t.seconds for peer, t in found.items() if peer != cipher}
        ratios = {peer: seconds / training.seconds for peer, seconds in others.items()}
        sizes = {peer: total for peer, total in totals.items() if peer != cipher}
        ratios |= {f"{peer} bytes": total / totals[cipher] for peer, total in sizes.items()}
        us = training.seconds * 1e6
        facts = {
            "parameters": result.cipher.partition(", ")[2], "security_bits": result.security_bits,
            "rows": first.train_rows, "columns": list(work.tables.features),
            "rounds": training.rounds, "training_s": training.seconds,
            "setup_s": training.setup_s, "round_s": training.round_s,
            "bytes": {f"{a} -> {b}": size for (a, b), size in sorted(count.items())},
            "training_bytes": totals[cipher], "unpacked_bytes": totals[unpacked(bits)],
            "key_bytes": _key_bytes(training), "peak_bytes": result.peak_bytes,
            "transport": training.run.job.transport, "undeclared": result.undeclared,
        }  # fmt: skip
        if training.note:
            facts["note"] = training.note
        else:
            facts |= {"metrics": result.metrics, "converged": result.converged}
        if slow(cipher):
            facts["key_bits"] = parsed(cipher).key_bits
        lines.append(
            Row(work.name, cipher, "training", us, us, us, us, training.rounds, facts, ratios)
        )
    return lines


def borders(training: Training, first: Training, cipher: str) -> Counter[tuple[str, str]]:
    """Bytes by (sender, receiver): counted from `first` for a cipher that was measured in part."""
    if training.note:
        bits = parsed(cipher).key_bits
        return paillier_bytes.under_paillier(first.entries, bits, packed=True)
    return paillier_bytes.sent(training.entries)


def unpacked(bits: int) -> str:
    """The peer that sends one ciphertext a value."""
    return f"paillier-{bits} unpacked"


def _key_bytes(training: Training) -> int:
    sent = (entry for entry in training.entries if entry.kind == PublicKey.kind)
    return next(f.count for entry in sent for f in entry.fields if f.name == "key")
