"""Run a job and hold its outcome: what `vfl.fit`, `vfl run` and `vfl.job` share."""

from __future__ import annotations

import itertools
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vfl.checkpoint import read_json, write_atomically
from vfl.context import Event
from vfl.errors import JobError, PartyLostError, SecurityError
from vfl.ledger import Audit, Entry, audit, read_entries
from vfl.parties.base import folder_of
from vfl.program import DECLARED, Assignment, take_part
from vfl.results import PartyResult, RunResult
from vfl.schemes import make_scheme
from vfl.spec import JobSpec, PartySpec, check_job, role_of
from vfl.timeline import Timeline
from vfl.transport import inprocess
from vfl_crypto.errors import CryptoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vfl.spec import ModelSpec
    from vfl.transport.base import Transport

    Program = Callable[[Assignment, Transport, Callable[[Event], None]], Awaitable[PartyResult]]

RUNS = Path("vfl-runs")
TIMELINES = "timeline.json"  # party -> `Timeline`, of the attempt that came to its end
LOST = "{0} was lost: the others trained on, and its columns are not in the model"
GUARDS_OFF = (
    "accept_gradient_leak: true switched the guards on opened gradients off; "
    "parties may have solved for labels"
)


def ignore_event(_: Event) -> None:
    """The default listener."""


def fit(
    model: ModelSpec,
    parties: Sequence[PartySpec],
    *,
    folder: Path | str | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Run:
    """Train `model` over `parties` and return the finished run.

    Progress goes to `on_event`, or to standard error: bars on a terminal, lines elsewhere.
    `options` are the other keys of a job: crypto, security, transport, test_fraction, seed, ...
    Raises `vfl.errors.VflError`.
    """
    try:
        tables = [_absolute(p.data) for p in parties]
        bare = [msgspec.structs.replace(p, data=None) for p in parties]
        job = JobSpec(parties=bare, model=model, **options)
        job = msgspec.convert(msgspec.to_builtins(job), JobSpec)  # checks every type
    except (TypeError, AttributeError, msgspec.MsgspecError) as error:
        raise JobError(f"fit() was called with something that no job has: {error}") from error
    whole = [
        msgspec.structs.replace(p, data=data) for p, data in zip(job.parties, tables, strict=True)
    ]
    checked = check_job(msgspec.structs.replace(job, parties=whole), where="fit()")
    place = Path(folder) if folder else None
    if on_event:
        return run_job(checked, folder=place, on_event=on_event)
    from vfl.console import Screen

    with Screen(as_json=False, quiet=False).watching() as listener:
        return run_job(checked, folder=place, on_event=listener)


def run_job(
    job: JobSpec,
    *,
    folder: Path | None = None,
    runs: Path = RUNS,
    resume: bool = False,
    on_event: Callable[[Event], None] = ignore_event,
    program: Program | None = None,
) -> Run:
    """Carry a checked job out; with `resume` continue its newest unfinished run.

    Without `folder` the run gets a new one under `runs`, or resumes the newest one there. `program`
    is what each party runs; experiments wrap `take_part`, which it is if not given.

    Raises `vfl.errors.VflError`; checkpoints and ledgers written until then stay.
    """
    _check_cipher(job)
    if resume:
        folder = folder or _unfinished(job, runs)
        _check_same_job(job, folder)
    else:
        folder = folder or _new_folder(job.name, runs)
        if (folder / "job.json").exists():
            raise JobError(
                f"{folder} already holds a run; use --resume, another folder, or remove it"
            )
        write_atomically(folder / "job.json", _storable(job), "driver")
    begin = time.monotonic()
    results, restarts = _train(job, folder.resolve(), on_event, resume=resume, program=program)
    wall = time.monotonic() - begin
    result = _summary(job, folder, results, wall, resumed=resume, restarts=restarts)
    run = Run(folder, job, result)
    timelines = {name: one.timeline for name, one in results.items()}
    write_atomically(folder / TIMELINES, timelines, "driver")
    write_atomically(folder / "result.json", result, "driver")
    return run


class Run:
    """A finished run: its metrics, what crossed the borders, and a model that can predict."""

    def __init__(self, folder: Path, job: JobSpec, result: RunResult) -> None:
        self.folder = folder
        self.job = job
        self.result = result

    def __repr__(self) -> str:
        found = ", ".join(f"{name}={value:.4f}" for name, value in self.metrics.items())
        return f"<Run {self.folder}: {found}>"

    @property
    def metrics(self) -> dict[str, float]:
        """Held-out metrics."""
        return self.result.metrics

    @property
    def timings(self) -> dict[str, dict[str, float]]:
        return self.result.timings

    @property
    def ledger(self) -> Audit:
        """What crossed each border, summed up."""
        return self.result.ledger

    def predict(
        self,
        data: Mapping[str, Any],
        *,
        on_event: Callable[[Event], None] = ignore_event,
    ) -> Path:
        """Bring the parties together again on new tables: party name -> table.

        Returns the CSV file of ids and predictions in the active party's folder.
        """
        lost = self.result.lost
        parties = [p for p in self.job.parties if role_of(p) != "arbiter" and p.name not in lost]
        names = {p.name for p in parties}
        if set(data) != names:
            without = f" ({' '.join(LOST.format(name) for name in lost)})" if lost else ""
            raise JobError(
                f"prediction needs a table of each of {', '.join(sorted(names))}{without}; "
                f"got {', '.join(sorted(data)) or 'none'}"
            )
        for name in lost:
            on_event(Event("driver", "note", LOST.format(name)))
        tables = [msgspec.structs.replace(p, data=_absolute(data[p.name])) for p in parties]
        job = msgspec.structs.replace(self.job, parties=tables)
        results = _launch(job, self.folder.resolve(), "predict", on_event, resume=False)
        return Path(next(r.predictions for r in results.values() if r.predictions))

    def report(self, path: Path | str) -> Path:
        """Write the HTML report (needs `vfl[report]`)."""
        from vfl.report import write_report

        return write_report(self, Path(path))


def open_run(folder: Path) -> Run:
    """A finished run from its folder. Raises `JobError` naming what is missing."""
    try:
        job = msgspec.json.decode((folder / "job.json").read_bytes(), type=JobSpec)
        result = msgspec.json.decode((folder / "result.json").read_bytes(), type=RunResult)
    except OSError as error:
        raise JobError(
            f"{folder} is no finished run ({error.filename} is missing); "
            "give the folder that `vfl run` printed, or finish the run with --resume"
        ) from error
    except msgspec.MsgspecError as error:
        raise JobError(f"{folder} holds a run that cannot be read: {error}") from error
    return Run(folder, job, result)


def audit_folder(folder: Path) -> Audit:
    """Audit a run from the ledger files of its parties, finished or not."""
    entries, absent = ledger_entries(folder)
    lost = open_run(folder).result.lost if (folder / "result.json").exists() else []
    return audit(entries, DECLARED, sorted({*absent, *lost}))


def ledger_entries(folder: Path) -> tuple[list[Entry], list[str]]:
    """The entries of all ledgers of a run that this machine holds, and whose it does not.

    Raises `JobError` for a folder that is no run, or none of whose ledgers is here.
    """
    try:
        job = msgspec.json.decode((folder / "job.json").read_bytes(), type=JobSpec)
    except (OSError, msgspec.MsgspecError) as error:
        raise JobError(
            f"{folder} is no run ({error}); give the folder that `vfl run` printed"
        ) from error
    paths = {p.name: folder_of(p, folder.resolve()) / "ledger.jsonl" for p in job.parties}
    here = [path for path in paths.values() if path.is_file()]
    if not here:
        raise JobError(f"{folder} holds no ledger; give the folder that `vfl run` printed")
    absent = [name for name, path in paths.items() if not path.is_file()]
    return [entry for path in here for entry in read_entries(path)], absent


def timelines(folder: Path) -> dict[str, Timeline]:
    """What each party of a run did when; empty for a run that kept none."""
    path = folder / TIMELINES
    if not path.is_file():
        return {}
    return read_json(path, dict[str, Timeline], "driver", "run again to have one")


def _check_cipher(job: JobSpec) -> None:
    """Refuse a cipher no party could make, before anything is written or started."""
    try:
        make_scheme(job.cipher)
    except CryptoError as error:
        raise SecurityError(f"crypto: {error}") from error


def _train(
    job: JobSpec,
    folder: Path,
    on_event: Callable[[Event], None],
    *,
    resume: bool,
    program: Program | None,
) -> tuple[dict[str, PartyResult], list[str]]:
    """All parties' results, and why the job had to start again.

    Raises `PartyLostError` when a party dies and `schedule.restarts` are used up.
    """
    restarts: list[str] = []
    most = job.schedule.restarts
    while True:
        try:
            again = resume or bool(restarts)
            found = _launch(job, folder, "fit", on_event, resume=again, program=program)
        except PartyLostError as error:
            if not error.died or not most:
                raise
            if len(restarts) == most:
                before = "; ".join(restarts)
                raise PartyLostError(f"{error}. Before: {before}", died=error.died) from error
            told = (
                f"{error.died} died; the job starts again from the last epoch that all parties "
                f"hold: {len(restarts) + 1} of {most} restarts"
            )
            restarts.append(told)
            on_event(Event("driver", "note", told))
        else:
            return found, restarts


def _launch(
    job: JobSpec,
    folder: Path,
    action: Any,
    on_event: Callable[[Event], None],
    *,
    resume: bool,
    program: Program | None = None,
) -> dict[str, PartyResult]:
    program = program or take_part
    session = secrets.token_hex(8)
    assignments = {
        p.name: Assignment(job, p.name, folder_of(p, folder), session, action, resume)
        for p in job.parties
    }
    if job.transport == "inprocess":
        return inprocess.launch(program, assignments, on_event)
    for p in job.parties:
        if p.data is not None and not isinstance(p.data, str):
            raise JobError(
                f"{p.name} brings a table in memory; on Ray each party reads its own file: "
                "give a path, or set transport='inprocess'"
            )
    from vfl.transport import ray

    placements = {p.name: p.placement for p in job.parties}
    spare = job.spare if action == "fit" else ()
    return ray.launch(
        program, assignments, on_event, placements,
        arbiter=job.roster.arbiter, spare=spare, given_up=lambda result: result.lost,
    )  # fmt: skip


def _summary(
    job: JobSpec,
    folder: Path,
    results: dict[str, PartyResult],
    wall: float,
    *,
    resumed: bool,
    restarts: list[str],
) -> RunResult:
    entries = [entry for result in results.values() for entry in result.entries]
    active = results[job.roster.active]
    gone = {p.name: folder_of(p, folder.resolve()) / "ledger.jsonl" for p in job.parties}
    for name in gone.keys() - results.keys():  # it told of nothing, but may have left its ledger
        entries += read_entries(gone[name]) if gone[name].is_file() else []
    found = audit(entries, DECLARED, active.lost)
    fields = (
        field for entry in entries for field in entry.fields if field.protection == "encrypted"
    )
    cipher = next(((f.how, f.parameters, f.security_bits) for f in fields), ("none", "", 0))
    return RunResult(
        run=str(folder), name=job.name, metrics=active.metrics,
        timings={name: r.timings for name, r in results.items()} | {"total": {"wall": wall}},
        rows=active.rows, epochs=active.epochs, converged=active.converged, changes=active.changes,
        losses=active.losses,
        opened=sum(r.opened for r in results.values()),
        cipher=f"{cipher[0]}, {cipher[1]}", security_bits=cipher[2],
        ledger=found, undeclared=len(found.undeclared), arbiter=job.roster.arbiter or "",
        notes=[
            *([GUARDS_OFF] if job.accept_gradient_leak else []),
            *restarts,
            *(LOST.format(name) for name in active.lost),
            *(f"{name}: {note}" for name, r in results.items() for note in r.notes),
        ],
        peak_bytes={name: r.peak_bytes for name, r in results.items()}, resumed=resumed,
        rounds=active.timeline.attendance, lost=active.lost, restarts=restarts,
    )  # fmt: skip


def _new_folder(name: str, runs: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    candidates = itertools.chain(
        [runs / f"{name}-{stamp}"], (runs / f"{name}-{stamp}-{i}" for i in itertools.count(2))
    )
    return next(path for path in candidates if not path.exists())


def _unfinished(job: JobSpec, runs: Path) -> Path:
    stamp = "[0-9]" * 8 + "-" + "[0-9]" * 6  # a job called a is not one called a-b
    found = sorted(
        runs.glob(f"{job.name}-{stamp}*/job.json"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise JobError(
            f"there is no run of {job.name!r} under {runs} to resume; run without --resume"
        )
    folder = found[-1].parent
    if (folder / "result.json").exists():
        raise JobError(f"the newest run of {job.name!r}, {folder}, is complete: nothing to resume")
    return folder


def _check_same_job(job: JobSpec, folder: Path) -> None:
    path = folder / "job.json"
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=JobSpec)
    except (OSError, msgspec.MsgspecError) as error:
        raise JobError(f"cannot resume {folder}: {path} is not readable ({error})") from error
    changed = [
        key
        for key in JobSpec.__struct_fields__
        if key not in {"schedule", "transport"}
        and getattr(stored, key) != getattr(_storable(job), key)
    ]
    if changed:
        raise JobError(
            f"cannot resume {folder}: {', '.join(changed)} differ from when it was started; "
            "restore the job file, or run without --resume"
        )


def _storable(job: JobSpec) -> JobSpec:
    """The job with tables in memory named instead of stored."""
    parties = [
        p
        if p.data is None or isinstance(p.data, str)
        else msgspec.structs.replace(p, data="<table in memory>")
        for p in job.parties
    ]
    return msgspec.structs.replace(job, parties=parties)


def _absolute(data: Any) -> Any:
    return str(Path(data).resolve()) if isinstance(data, (str, Path)) else data
