"""The entry point of a Ray job: `python -m vfl.job JOB.yaml`.

    ray job submit --address http://HEAD:8265 --working-dir . -- python -m vfl.job JOB.yaml

Data paths are opened on each party's own node, so they should be absolute. The run folder is kept
under the home folder of the node the driver runs on, because Ray deletes a job's working directory.
Ray turns every failure into exit status 1; the last line we log carries our own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import vfl
from vfl import tables
from vfl.api import run_job
from vfl.console import command
from vfl.errors import JobError
from vfl.spec import load_job

if TYPE_CHECKING:
    from collections.abc import Sequence

LAST_LINE = "vfl exit code: "


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job on the cluster this process belongs to; the exit code, also logged last."""
    options = _parser().parse_args(arguments)
    code = 0
    try:
        with command(as_json=options.json, quiet=False) as screen:
            _check_version(options.expect_version)
            job = load_job(options.job)
            with screen.watching() as on_event:
                run = run_job(job, runs=options.runs, resume=options.resume, on_event=on_event)
            screen.show(tables.run_summary(run))
            screen.result(run.result)
    except typer.Exit as ended:
        code = ended.exit_code
    sys.stdout.flush()  # the log has both streams; this must be the last line
    print(f"{LAST_LINE}{code}", file=sys.stderr, flush=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vfl.job", description="Run a job inside Ray.")
    parser.add_argument("job", type=Path, help="the job file")
    parser.add_argument("--expect-version", metavar="V", help="refuse to run with another vfl")
    parser.add_argument("--resume", action="store_true", help="continue the newest unfinished run")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--runs", type=Path, default=Path.home() / "vfl-runs", metavar="DIR",
        help="where run folders are kept (default: %(default)s)",
    )  # fmt: skip
    return parser


def _check_version(expected: str | None) -> None:
    if expected not in (None, vfl.__version__):
        raise JobError(
            f"the job was sent by vfl {expected}, and this cluster has vfl {vfl.__version__}: "
            "install the same version on both, or submit with --wheel"
        )


if __name__ == "__main__":
    sys.exit(main())
