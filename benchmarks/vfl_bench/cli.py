"""`vfl-bench crypto | end-to-end | stragglers | compare`: ours beside others', in one run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from vfl.errors import MissingExtraError, VflError
from vfl_bench import compare as comparison
from vfl_bench import coordinated
from vfl_bench import end_to_end as training_suites
from vfl_bench import plot as plotting
from vfl_bench import rounds as rounds_suite
from vfl_bench.harness import Row, measure
from vfl_bench.output import as_json, print_table, write_json
from vfl_bench.peers import heu
from vfl_bench.stragglers import charts, claims, report, results, suite
from vfl_bench.stragglers.experiment import Setting
from vfl_bench.suites.common import Settings
from vfl_bench.training_table import print_trainings

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__
)
SUITES = ("ntt", "lattice", "paillier", "ckks", "psi")
WHOLE = ("credit", "large", "rounds")
PEERS = ("phe", "tenseal", "heu", "cryptography")

Json = Annotated[str | None, typer.Option("--json", help="Write JSON to this file, - for stdout.")]
Listed = "Comma-separated."


@app.command()
def crypto(
    suite: Annotated[str, typer.Option(help=Listed)] = ",".join(SUITES),
    peers: Annotated[str, typer.Option(help=Listed)] = ",".join(PEERS),
    bits: Annotated[str, typer.Option(help="Paillier key sizes.")] = "2048,3072",
    threads: Annotated[str, typer.Option(help="Each work once per count.")] = "1",
    batch: Annotated[str, typer.Option(help="Rows of the encrypted gradient.")] = "1024",
    features: Annotated[str, typer.Option(help="Its columns.")] = "16",
    seconds: Annotated[float, typer.Option(min=0.1, help="For each piece of work.")] = 3.0,
    heu_python: Annotated[
        str, typer.Option(help="Interpreter of an environment that has sf-heu.")
    ] = sys.executable,
    plot: Annotated[
        Path | None, typer.Option(help="PNG or SVG: the gradient's cost by batch and features.")
    ] = None,
    json: Json = None,
) -> None:
    """Ciphers and alignment, item by item: median, quartiles, error, ratio to each peer."""
    console = _console(json)
    names = _listed(suite, SUITES, "--suite")
    wanted = _listed(peers, PEERS, "--peers")
    if plot:
        plotting.check_target(plot)
    settings = Settings(
        bits=_counts(bits, "--bits"),
        threads=_counts(threads, "--threads"),
        batches=_counts(batch, "--batch"),
        features=_counts(features, "--features"),
        peers=list(_installed(wanted, heu_python, console)),
        heu_python=heu_python,
    )
    found: list[Row] = []
    for name in names:
        module = importlib.import_module(f"vfl_bench.suites.{name}")
        rows: list[Row] = []
        for work in module.works(settings):
            _progress(console, work.name)
            rows += measure(work, seconds)
        _progress(console, "")
        print_table(rows, console, name)
        found += rows
    if plot:
        plotting.plot_gradient(found, plot)
    if json:
        write_json(json, as_json(found))


@app.command()
def end_to_end(
    security: Annotated[str, typer.Option(help="shared or arbiter.")] = "shared",
    suite: Annotated[str, typer.Option(help=Listed)] = ",".join(WHOLE),
    crypto: Annotated[str, typer.Option(help=Listed)] = "lattice,paillier-3072",
    data: Annotated[
        Path | None, typer.Option(help="Folder of NAME_hetero_guest.csv and NAME_hetero_host.csv.")
    ] = None,
    name: Annotated[str, typer.Option(help="With --data.")] = "default_credit",
    inprocess: Annotated[
        bool, typer.Option("--inprocess", help="Both parties in one process, not on Ray.")
    ] = False,
    rows: Annotated[int, typer.Option(min=100, help="Under arbiter.")] = 30_000,
    epochs: Annotated[int, typer.Option(min=1, help="Under arbiter.")] = 1,
    batch: Annotated[int | None, typer.Option(min=512, help="Under arbiter.")] = None,
    json: Json = None,
) -> None:
    """Whole trainings on shares; or, under arbiter, an epoch of the job beside one in the clear.

    Without --data tables of the same shape are generated; `large` always is.
    """
    console = _console(json)
    ciphers = crypto.split(",")
    if _listed(security, ("shared", "arbiter"), "--security") == ["arbiter"]:
        found = _coordinated(console, ciphers, rows, epochs, batch, data, name)
    else:
        names = _listed(suite, WHOLE, "--suite")
        found = _shared(console, names, ciphers, "inprocess" if inprocess else "ray", data, name)
    if json:
        write_json(json, as_json(found))


def _coordinated(
    console: Console, ciphers: list[str], rows: int, epochs: int, batch: int | None,
    data: Path | None, name: str,
) -> list[Row]:  # fmt: skip
    found = []
    for row in coordinated.rows(ciphers, rows, epochs, batch, data, name):
        found.append(row)
        _progress(console, f"{row.peer} done")
    _progress(console, "")
    print_table(found, console, "end-to-end")
    for row in found:
        _say(console, coordinated.sentence(row))
    return found


def _shared(
    console: Console, names: list[str], ciphers: list[str],
    transport: training_suites.Transport, data: Path | None, name: str,
) -> list[Row]:  # fmt: skip
    works: list[list[Row]] = []
    pace: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        for done in training_suites.works(names, ciphers, transport, data, name, Path(place)):
            works.append(done)
            _progress(console, f"{done[0].name} done")
        if "rounds" in names:
            pace = rounds_suite.rows(data, name, Path(place))
    _progress(console, "")
    if works:
        print_trainings(works, console)
    for row in pace:
        _say(console, rounds_suite.sentence(row))
    return [row for rows in works for row in rows] + pace


@app.command()
def stragglers(
    crypto: Annotated[
        str, typer.Option(help="Comma-separated; messages have the first one's sizes.")
    ] = "lattice,paillier-3072",
    scale: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Of the rows and columns trained on.")
    ] = 0.25,
    data: Annotated[
        Path | None, typer.Option(help="Folder of NAME_hetero_guest.csv and NAME_hetero_host.csv.")
    ] = None,
    name: Annotated[str, typer.Option(help="With --data.")] = "default_credit",
    passes: Annotated[int, typer.Option(min=2, help="Over all rows.")] = 50,
    seeds: Annotated[int, typer.Option(min=2, help="Runs on draws of their own.")] = 20,
    plot: Annotated[Path | None, typer.Option(help="Folder for the figures, as PNG.")] = None,
    json: Json = None,
) -> None:
    """The published experiment on slow links: time and AUC under backups, PCA and our policy.

    One guest, three hosts and an arbiter on an emulated network. Without --data the times are those
    of the published shapes, and stand-ins for the published tables are generated to train on.
    """
    console = _console(json)
    if plot:
        plotting.check_matplotlib()
    setting = Setting(passes, seeds, lambda text: _progress(console, text))
    found = suite.measure(crypto.split(","), scale, data, name, setting)
    _progress(console, "")
    report.print_results(found, console)
    for path in charts.plot_results(found, plot) if plot else ():
        _say(console, f"wrote {path}")
    if json:
        held = [vars(claim) for claim in claims.claims(found)]
        write_json(json, as_json(results.rows(found), results.untimed(found) | {"claims": held}))


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A file that --json wrote.")],
    after: Annotated[Path, typer.Argument(help="Another one.")],
    fail_above: Annotated[
        str, typer.Option(metavar="PERCENT", help="Allowed slowdown of a row.")
    ] = "10%",
) -> None:
    """Row by row, the change of the medians; exits with 1 where one became too slow."""
    try:
        limit = float(fail_above.removesuffix("%")) / 100
    except ValueError:
        raise typer.BadParameter(
            f"{fail_above!r} is not a percentage like 10%", param_hint="--fail-above"
        ) from None
    files = comparison.read_results(before), comparison.read_results(after)
    if not comparison.print_comparison(*files, limit, _console(None)):
        raise typer.Exit(1)


def _installed(peers: list[str], heu_python: str, console: Console) -> Iterator[str]:
    """Those of `peers` that can be measured; a line for each other one."""
    for peer in peers:
        if peer == "heu":
            try:
                heu.version(heu_python)
            except MissingExtraError as error:
                _say(
                    console,
                    f"peer heu left out: {error}; --heu-python names an interpreter with sf-heu",
                )
                continue
        elif not importlib.util.find_spec(peer):
            _say(console, f"peer {peer} is not installed: left out")
            continue
        yield peer


def _console(json: str | None) -> Console:
    """Standard output, or standard error when that carries JSON."""
    return Console(stderr=json == "-")


def _progress(console: Console, text: str) -> None:
    """One line that the next call replaces; no spinner, whose thread would be measured as well."""
    if console.is_terminal:
        console.file.write(f"\r\x1b[2K{text[: console.width - 1]}")
        console.file.flush()


def _say(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _listed(text: str, known: tuple[str, ...], option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return names


def _counts(text: str, option: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(
            f"{text!r} is not a list of counts like 1,2", param_hint=option
        ) from None
    return counts


def main() -> None:
    """Entry point of `vfl-bench`."""
    try:
        app()
    except VflError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
