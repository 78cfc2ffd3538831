"""What a person sees while a job runs: bars on a terminal, sparse lines in a log."""

import io

import pytest
from rich.console import Console

from vfl import console
from vfl.context import Event

TRAINING = [Event("bank", "progress", "training", done, 40) for done in range(41)]
MASKING = [
    Event("telecom", "progress", text, done, 100)
    for text in ("masking own ids", "masking ids from bank")
    for done in (50, 100)
]
WAITING = Event("bank", "waiting", "bank has waited 10 s of 300 s for 'train.scores' from telecom")
NOTE = Event("bank", "note", "column 'x' is constant")


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def _played(listener, events):
    for event in events:
        listener(event)


def test_a_terminal_shows_one_bar_per_party_and_activity(terminal):
    with console._Bars(terminal) as bars:
        _played(bars, [*MASKING, *TRAINING[:21], WAITING, NOTE])
        rows = [(t.fields["party"], t.completed, t.total) for t in bars._bars.tasks if t.visible]
    assert rows == [("telecom", 200, 200), ("bank", 20, 40)]
    said = terminal.file.getvalue()
    assert WAITING.text in said and NOTE.text in said


def test_a_log_gets_the_first_and_the_last_step_and_no_flood():
    log = Console(file=io.StringIO(), width=100)
    lines = console._Lines(log)
    _played(lines, [*TRAINING, WAITING, WAITING, NOTE])
    said = log.file.getvalue()
    assert [line.split(" ", 1)[1] for line in said.splitlines()] == [
        "bank: training 0/40", "bank: training 40/40", WAITING.text, "bank: column 'x' is constant",
    ]  # fmt: skip


def test_a_repeated_wait_is_told_ever_more_rarely(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    pacer = console._Pacer()
    told = [second for second in range(1000) if now.__setitem__(0, second) or pacer.due("bank")]
    assert told == [0, 10, 30, 70, 150, 310, 610, 910]
