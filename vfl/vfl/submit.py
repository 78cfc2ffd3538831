"""Send a job to a Ray cluster and follow it: `vfl submit JOB.yaml --address http://HEAD:8265`.

Only the job file travels, with all its paths made absolute: data are opened on each party's own
node. The cluster runs `python -m vfl.job` (see there) with the vfl it has, which must be of our
version, or with a wheel we bring.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import vfl
from vfl.errors import JobError, PlacementError
from vfl.job import LAST_LINE
from vfl.spec import load_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLL_S = 1.0


def submit(
    job_path: Path,
    address: str,
    wheel: Path | None = None,
    *,
    follow: bool = True,
    resume: bool = False,
    on_log: Callable[[str], None] = print,
    on_result: Callable[[dict[str, Any]], None] | None = None,
) -> int:
    """Run a job on the cluster at `address`; returns our own exit code, 0 when not followed.

    `wheel` is installed for this job over the cluster's Python (`runtime_env: pip`). Log lines go
    to `on_log`. With `on_result` the job runs with --json, and its object goes there: the result,
    {"error": ...}, or {"submission_id": ..., "address": ...} when not followed.

    Raises `JobError` before anything is sent, `PlacementError` when the cluster cannot be reached,
    refuses us, or cannot start `vfl.job`.
    """
    job = load_job(job_path)
    if job.transport != "ray":
        raise JobError(f"{job_path}: transport is {job.transport}; a submitted job needs ray")
    version = vfl.__version__ if wheel is None else _wheel_version(wheel)
    from vfl.transport import ray

    client = ray.jobs(address)
    words = ["python -m vfl.job job.yaml --expect-version", version]
    words += ["--resume"] * resume + ["--json"] * (on_result is not None)
    with tempfile.TemporaryDirectory(prefix="vfl-submit-") as folder:
        environment = _pack(Path(folder), msgspec.yaml.encode(job), wheel)
        with _speaking_of(address):
            identity = client.submit_job(entrypoint=" ".join(words), runtime_env=environment)
    on_log(f"submitted {identity} to {address}; its run folder is on the node that runs the driver")
    if not follow:
        if on_result:
            on_result({"submission_id": identity, "address": address})
        return 0
    try:
        return _follow(client, identity, address, on_log, on_result)
    except KeyboardInterrupt:
        on_log(
            f"{identity} goes on without us: "
            f"`ray job logs -f {identity}` shows it, `ray job stop {identity}` ends it"
        )
        raise


def _wheel_version(wheel: Path) -> str:
    """The version in a wheel's file name, vfl-VERSION-....whl."""
    name, version, *tags = wheel.name.split("-")
    if name != "vfl" or wheel.suffix != ".whl" or not tags:
        raise JobError(f"{wheel} is no wheel of vfl; build one with `pip wheel --no-deps .`")
    if not wheel.is_file():
        raise JobError(f"{wheel}: there is no such file")
    return version


def _pack(folder: Path, job: bytes, wheel: Path | None) -> dict[str, Any]:
    """Fill the folder that is sent; the Ray runtime environment that goes with it."""
    (folder / "job.yaml").write_bytes(job)
    environment: dict[str, Any] = {"working_dir": str(folder)}
    if wheel:
        shutil.copy(wheel, folder)
        environment["pip"] = [f"${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{wheel.name}"]
    return environment


def _follow(
    client: Any,
    identity: str,
    address: str,
    on_log: Callable[[str], None],
    on_result: Callable[[dict[str, Any]], None] | None,
) -> int:
    shown = 0
    while True:
        with _speaking_of(address):
            status = client.get_job_status(identity)  # first, so that the last log is whole
            lines = client.get_job_logs(identity).split("\n")
        # The last piece is an unfinished line, or empty.
        complete = lines if status.is_terminal() else lines[:-1]
        for line in complete[shown:]:
            result = _result(line) if on_result else None
            if on_result and result is not None:
                on_result(result)
            elif line:
                on_log(line)
        shown = len(complete)
        if status.is_terminal():
            break
        time.sleep(POLL_S)
    codes = [line.removeprefix(LAST_LINE) for line in lines if line.startswith(LAST_LINE)]
    if codes:
        return int(codes[-1])
    with _speaking_of(address):
        message = client.get_job_info(identity).message
    raise PlacementError(
        f"{identity} ended ({status}) before vfl.job could say how: {message} "
        "If the cluster has no vfl, submit with --wheel"
    )


def _result(line: str) -> dict[str, Any] | None:
    """The object that the job printed for programs; None for any other line."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None
    return found if isinstance(found, dict) else None


@contextlib.contextmanager
def _speaking_of(address: str) -> Iterator[None]:
    """Turn what the jobs client raises into our own error."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise PlacementError(
            f"the Ray jobs server at {address} failed: {error}. A job that was submitted goes on; "
            "`ray job list` shows it"
        ) from error
