"""The `vfl` command line. Each command imports what it needs when it runs, so help is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vfl import __version__
from vfl.console import INTERRUPTED, UNEXPECTED, command, print_json

EXIT_CODES = {
    0: "done",
    1: "vfl verify: a comparison failed",
    2: "the job file, or the call, cannot be carried out as written",
    3: "a party's file is wrong",
    4: "ids repeat, or too few are common",
    5: "a guard refused; vfl audit: something was not declared",
    6: "a party was lost",
    7: "a message did not come in time",
    8: "a checkpoint cannot be written or read",
    9: "Ray, or a node for a party, cannot be reached",
    10: "a peer broke the protocol",
    11: "an optional package is missing",
    UNEXPECTED: "a fault in vfl itself",
    INTERRUPTED: "interrupted (Ctrl-C)",
}

app = typer.Typer(
    name="vfl",
    help="Train one model over different columns about the same people; nobody shows a column.",
    epilog="Exit codes\n\n"
    + "\n\n".join(f"{code:>4}  {what}" for code, what in EXIT_CODES.items()),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that vfl run printed.")]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout, the rest on stderr.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the path of what was made.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vfl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def _continue(job: Path, folder: Path | None = None) -> str:
    where = f" --folder {folder}" if folder else ""
    return f"finished epochs are kept; continue with: vfl run {job} --resume{where}"


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the parties' files are written.")
    ] = None,
    crypto: Annotated[
        str, typer.Option(metavar="auto|lattice|paillier", help="The cipher.")
    ] = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the bundled job: three parties on this machine's Ray, real data, under a minute."""
    with command(as_json=json, quiet=quiet) as screen:
        from vfl import demo as it
        from vfl import tables
        from vfl.spec import load_job

        path = it.write_job(folder or it.FOLDER, crypto)
        screen.hint = _continue(path)
        screen.show(tables.demo_story(*it.story(load_job(path)), path.parent))
        with screen.watching() as on_event:
            run = it.run_demo(path, on_event)
        report = it.report_if_possible(run)
        screen.show(tables.run_summary(run, report))
        screen.result(it.as_json(run, report), run.folder)


@app.command()
def run(
    job: JobFile,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the newest unfinished run of this job.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder; vfl-runs/NAME-TIME if not."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train as a job file says."""
    with command(as_json=json, quiet=quiet) as screen:
        from vfl import plan_tables, tables
        from vfl.api import run_job
        from vfl.planner.plan import expected
        from vfl.spec import load_job

        checked = load_job(job)
        forecast = expected(checked)
        if forecast:
            screen.log(plan_tables.expectation(checked, forecast))
        screen.hint = _continue(job, folder)
        with screen.watching() as on_event:
            done = run_job(checked, folder=folder, resume=resume, on_event=on_event)
        screen.show(tables.run_summary(done))
        screen.result(done.result, done.folder)


@app.command()
def plan(
    job: JobFile,
    link: Annotated[
        float | None,
        typer.Option(metavar="MBIT", help="Between parties on machines of their own, Mbit/s."),
    ] = None,
    latency: Annotated[
        float | None, typer.Option(metavar="MS", help="Of that link, one way, milliseconds.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time, bytes and memory of a job, before anything starts.

    Of tables it reads the sizes, and the label where its classes must be counted.
    """
    with command(as_json=json, quiet=quiet) as screen:
        from vfl import plan_tables
        from vfl.planner.plan import plan as make_plan
        from vfl.spec import load_job

        found = make_plan(load_job(job), link_mbit=link, latency_ms=latency)
        screen.show(plan_tables.plan_summary(found))
        screen.result(found, f"{found.forecast.total_s:.1f}")


@app.command()
def predict(
    run: RunFolder,
    tables: Annotated[
        list[str], typer.Argument(metavar="NAME=PATH...", help="Each data party's new table.")
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring the parties of a run together on new tables; the active party gets predictions."""
    with command(as_json=json, quiet=quiet) as screen:
        from vfl.api import open_run
        from vfl.errors import JobError

        data: dict[str, str] = {}
        for pair in tables:
            name, equals, path = pair.partition("=")
            if not (name and equals and path):
                raise JobError(f"{pair!r} is not of the form NAME=PATH, like bank=new.csv")
            if name in data:
                raise JobError(f"{name!r} is given two tables; give each party one")
            data[name] = path
        done = open_run(run)
        with screen.watching() as on_event:
            found = done.predict(data, on_event=on_event)
        screen.show(f"predictions, in the folder of {done.job.roster.active}: {found}")
        screen.result({"run": str(run), "predictions": str(found)}, found)


@app.command()
def audit(run: RunFolder, json: Json = False, quiet: Quiet = False) -> None:
    """Compare both ends of every border of a run with what its protocols declare."""
    with command(as_json=json, quiet=quiet) as screen:
        import msgspec

        from vfl import tables
        from vfl.api import audit_folder
        from vfl.errors import SecurityError

        found = audit_folder(run)
        names = sorted({b.sender for b in found.borders} | {b.receiver for b in found.borders})
        screen.show(tables.audit_summary(found, names))
        screen.result(msgspec.to_builtins(found) | {"run": str(run), "clean": found.clean})
        if not found.clean:
            raise typer.Exit(SecurityError.exit_code)


@app.command()
def report(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="report.html in the run's folder if not.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a run's report: one HTML file with plots, readable offline."""
    with command(as_json=json, quiet=quiet) as screen:
        from vfl.api import open_run

        path = open_run(run).report(out or run / "report.html")
        screen.show(f"report: {path}")
        screen.result({"run": str(run), "report": str(path)}, path)


@app.command()
def verify(job: JobFile, json: Json = False, quiet: Quiet = False) -> None:
    """Encrypted, mock, plaintext and scikit-learn side by side. READS EVERY PARTY'S FILE."""
    with command(as_json=json, quiet=quiet) as screen:
        from vfl import tables
        from vfl.spec import load_job
        from vfl.verify import verify as compare

        checked = load_job(job)
        screen.warn(
            "vfl verify reads every party's file in this one process and pools them in plaintext. "
            "It is for a machine that may see all tables, never for data of parties who must not."
        )
        with screen.watching() as on_event:
            found = compare(checked, on_event)
        screen.show(tables.verify_summary(found))
        screen.result(found)
        if not found.passed:
            raise typer.Exit(1)


@app.command()
def submit(
    job: JobFile,
    address: Annotated[
        str, typer.Option(metavar="URL", help="Of the Ray head, like http://HEAD:8265.")
    ],
    wheel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The vfl wheel to install there.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the job's log until it ends.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the newest unfinished run there.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hand a job to a Ray cluster and follow it; exits as the job does."""
    with command(as_json=json, quiet=quiet) as screen:
        from vfl.submit import submit as hand_over

        code = hand_over(
            job, address, wheel,
            follow=follow, resume=resume, on_log=screen.log,
            on_result=screen.result if json else None,
        )  # fmt: skip
        if code:
            raise typer.Exit(code)


@app.command()
def schema(json: Json = False, quiet: Quiet = False) -> None:
    """Print the JSON schema of a job file."""
    del json  # a schema is JSON either way
    with command(as_json=True, quiet=quiet) as screen:
        from vfl.spec import json_schema

        screen.result(json_schema())


def main() -> None:
    """Entry point. A call that cannot be read is told as JSON where JSON was asked for."""
    if "--json" not in sys.argv:
        app()
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the parser of the call raises
            raise
        message, code = error.format_message(), getattr(error, "exit_code", 2)
        print_json({"error": {"type": "UsageError", "message": message, "exit_code": code}})
    sys.exit(code or 0)
