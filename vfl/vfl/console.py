"""What every command shares: streams, `--json`, `--quiet`, errors as sentences, live progress.

A result goes to stdout; everything about the way there goes to stderr. With `--json` stdout gets
exactly one object, an error's included. With `--quiet` only what a script needs is left: the path
of what was made, and errors.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Self, TextIO

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from vfl.errors import VflError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType
    from rich.progress import TaskID

    from vfl.context import Event

WIDTH = 100
UNEXPECTED, INTERRUPTED = 70, 130


class Screen:
    """Where one command writes."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.hint = ""  # what to do after Ctrl-C
        self.err = _console(stderr=True)
        self._out = sys.stdout
        self._shown = self.err if as_json else _console(stderr=False)

    def show(self, *what: RenderableType) -> None:
        """Something for people; nothing with `--quiet`."""
        if not self.quiet:
            for one in what:
                self._shown.print(one)

    def result(self, value: Any, brief: object = "") -> None:
        """The result for programs: `value` as JSON, or with `--quiet` the line `brief`."""
        if self.as_json:
            print_json(value, self._out)
        elif self.quiet and brief:
            print(brief, flush=True)

    def warn(self, message: str) -> None:
        """Something nobody should miss."""
        if not self.quiet:
            self.err.print(Panel(Text(message, style="bold"), border_style="yellow"))

    def log(self, line: str) -> None:
        """A line of somebody else's log, as it stands."""
        if not self.quiet:
            self.err.print(Text(line.rstrip("\n")), soft_wrap=True)

    def fail(self, kind: str, message: str, code: int) -> None:
        """Tell an error; nothing else of it is shown."""
        if self.as_json:
            print_json({"error": {"type": kind, "message": message, "exit_code": code}}, self._out)
        else:
            text = Text.assemble(("error: ", "bold red"), message)
            self.err.print(text, soft_wrap=True)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable[[Event], None]]:
        """A listener for a run's events: bars on a terminal, lines elsewhere, or nothing."""
        if self.quiet:
            yield _ignore
        elif self.err.is_terminal:
            with _Bars(self.err) as bars:
                yield bars
        else:
            yield _Lines(self.err)


@contextlib.contextmanager
def command(*, as_json: bool, quiet: bool) -> Iterator[Screen]:
    """Run a command's body; its errors become one sentence and an exit code."""
    screen = Screen(as_json=as_json, quiet=quiet)
    # Ray reports a dead worker on stdout; with --json that stream belongs to the object alone.
    aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    try:
        with aside:
            yield screen
    except (typer.Exit, BrokenPipeError):
        raise
    except VflError as error:
        screen.fail(type(error).__name__, str(error), error.exit_code)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        message = f"interrupted; {screen.hint}" if screen.hint else "interrupted"
        screen.fail("Interrupted", message, INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001  the last place to turn it into an exit code
        # Nobody foresaw it: whoever reports it needs to know where it came from.
        traceback.print_exc()
        if as_json:
            screen.fail(type(error).__name__, str(error), UNEXPECTED)
        raise typer.Exit(UNEXPECTED) from None


def print_json(value: Any, file: TextIO | None = None) -> None:
    """One JSON object on a line of stdout, or of `file`."""
    import msgspec

    print(msgspec.json.encode(value).decode(), file=file, flush=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _ignore(_: Event) -> None:
    pass


class _Pacer:
    """Lets a repeated remark through at once, then after 10, 20, 40 ... seconds, at most 5 min."""

    def __init__(self) -> None:
        self._next: dict[str, tuple[float, float]] = {}

    def due(self, key: str) -> bool:
        now = time.monotonic()
        at, pause = self._next.get(key, (now, 10.0))
        if now < at:
            return False
        self._next[key] = now + pause, min(2 * pause, 300.0)
        return True


class _Lines:
    """Plain lines for logs: the first and the last step of each activity, and some between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pacer = _Pacer()

    def __call__(self, event: Event) -> None:
        last = event.kind == "progress" and event.done == event.total
        key = event.text if event.kind == "progress" else ""
        if event.kind == "note" or last or self._pacer.due(f"{event.party} {event.kind} {key}"):
            count = f" {event.done}/{event.total}" if event.kind == "progress" else ""
            # What a party waits for names it already.
            name = "" if event.kind == "waiting" else f"{event.party}: "
            self._console.print(
                Text(f"{time.strftime('%H:%M:%S')} {name}{event.text}{count}"), soft_wrap=True
            )


class _Bars:
    """One bar per party and activity.

    An activity is the first word of its text: a party that masks its own ids and then those of
    others fills one bar.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("[bold]{task.fields[party]}"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28, complete_style="cyan", finished_style="green"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._pacer = _Pacer()
        self._lock = threading.Lock()  # parties work on threads of their own
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._parts: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
        self._start = self._bars.add_task("starting the parties", party="", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.update(self._start, visible=False)
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "progress":
            with self._lock:
                self._bars.update(self._start, visible=False)
                self._advance(event)
        elif event.kind == "note":
            self._bars.console.print(Text(f"{event.party}: {event.text}", style="dim"))
        elif self._pacer.due(event.party):
            self._bars.console.print(Text(event.text, style="yellow"))

    def _advance(self, event: Event) -> None:
        key = (event.party, event.text.split(maxsplit=1)[0])
        parts = self._parts.setdefault(key, {})
        parts[event.text] = event.done, event.total
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(event.text, party=event.party)
        done, total = (sum(column) for column in zip(*parts.values(), strict=True))
        self._bars.update(self._tasks[key], description=event.text, completed=done, total=total)
