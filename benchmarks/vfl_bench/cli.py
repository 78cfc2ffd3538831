"""`vfl-bench crypto | end-to-end`: the engine's figures beside its peers', in one run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vfl.errors import VflError
from vfl_bench import end_to_end as end_to_end_suite
from vfl_bench.harness import Row, measure
from vfl_bench.output import as_json, print_table, write_json

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__
)
SUITES = ("paillier", "ckks", "psi")
_PEERS = {"phe": ("phe+gmpy2", "phe"), "tenseal": ("tenseal",), "cryptography": ("cryptography",)}
_NEEDS = {"ckks": "tenseal"}

Json = Annotated[str | None, typer.Option("--json", help="Write JSON to this file, - for stdout.")]


@app.command()
def crypto(
    suite: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(SUITES),
    peers: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(_PEERS),
    bits: Annotated[str, typer.Option(help="Paillier key sizes.")] = "2048,3072",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each piece of work.")] = 3.0,
    json: Json = None,
) -> None:
    """Ciphers and alignment, item by item: median, quartiles, ratio to each peer."""
    console = _console(json)
    labels: list[str] = []
    for peer in _listed(peers, tuple(_PEERS), "--peers"):
        if importlib.util.find_spec(peer):
            labels += _PEERS[peer]
        else:
            console.print(f"peer {peer} is not installed: left out")
    found: list[Row] = []
    for name in _listed(suite, SUITES, "--suite"):
        if (need := _NEEDS.get(name)) and not importlib.util.find_spec(need):
            console.print(f"suite {name} needs {need}: pip install 'vfl\\[{need}]'; left out")
            continue
        module = importlib.import_module(f"vfl_bench.suites.{name}")
        sizes = [int(size) for size in bits.split(",")]
        rows: list[Row] = []
        for work in module.works(sizes, labels, threads):
            with console.status(work.name):
                rows += measure(work, seconds)
        print_table(rows, console, f"{name}, {threads} thread{'s' * (threads > 1)}")
        found += rows
    if json:
        write_json(json, as_json(found))


@app.command()
def end_to_end(
    crypto: Annotated[str, typer.Option(help="Comma-separated.")] = "paillier-3072,ckks",
    rows: Annotated[int, typer.Option(min=100)] = 30_000,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    batch: Annotated[int | None, typer.Option(min=512)] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of NAME_hetero_guest.csv and NAME_hetero_host.csv.")
    ] = None,
    name: Annotated[str, typer.Option(help="With --data.")] = "default_credit",
    json: Json = None,
) -> None:
    """One epoch of the job, each cipher and in the clear; generated data of the same shape."""
    console = _console(json)
    ciphers = crypto.split(",")
    if "ckks" in ciphers and not importlib.util.find_spec("tenseal"):
        console.print("ckks needs tenseal: pip install 'vfl\\[tenseal]'; left out")
        ciphers.remove("ckks")
    found = []
    with console.status("training") as status:
        for row in end_to_end_suite.rows(ciphers, rows, epochs, batch, data, name):
            found.append(row)
            status.update(f"{row.peer} done")
    print_table(found, console, "end to end")
    for row in found:
        traffic = sum(row.facts["bytes"].values()) / 2**20
        metrics = ", ".join(f"{k} {v:.4f}" for k, v in row.facts["metrics"].items())
        console.print(
            f"{row.peer}: alignment {row.facts['align_s']:.1f} s, {traffic:.1f} MiB over borders, "
            f"held out: {metrics}"
        )
    if json:
        write_json(json, as_json(found))


def _console(json: str | None) -> Console:
    """Standard output, or standard error when that carries JSON; wide when not a terminal."""
    console = Console(stderr=json == "-")
    return console if console.is_terminal else Console(stderr=json == "-", width=130)


def _listed(text: str, known: tuple[str, ...], option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return names


def main() -> None:
    """Entry point of `vfl-bench`."""
    try:
        app()
    except VflError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
