"""Where parties run, how errors come back, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from local_ray import end_session, session_members
from vfl.context import Event
from vfl.errors import DataError, DeadlineError, PartyLostError, PlacementError, VflError

pytestmark = pytest.mark.ray


@pytest.fixture
def launch(ray_cluster):
    """launch({party: async f(transport, on_event)}) on the session's cluster."""
    from ray import cloudpickle

    from vfl.transport import ray

    # The nodes cannot import this file.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    async def program(part, transport, on_event):
        return await part(transport, on_event)

    def run(parts, on_event=lambda _: None, placements=None, arbiter=None):
        return ray.launch(program, parts, on_event, placements or {}, arbiter=arbiter)

    return run


async def _idle(transport, on_event):
    await asyncio.sleep(3600)


async def _node(transport, on_event):
    import ray

    node = ray.get_runtime_context().get_node_id()
    return next(n["Labels"]["silo"] for n in ray.nodes() if n["NodeID"] == node)


def _gone(pid: int) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def _pid_of_idler(folder: Path, tell: str = ""):
    """A part that writes its process id down, tells another party and waits for ever."""
    path = folder / "pid"

    async def part(transport, on_event):
        path.write_text(str(os.getpid()))
        on_event(Event("idler", "note", "waiting"))
        if tell:
            await transport.send(tell, np.zeros(1, np.uint8))
        await asyncio.sleep(3600)

    return part, path


def test_a_party_runs_on_the_node_that_carries_its_label(launch):
    found = launch({"x": _node, "y": _node}, placements={"x": {"silo": "a"}, "y": {"silo": "b"}})
    assert found == {"x": "a", "y": "b"}


def test_an_arbiter_without_a_placement_runs_on_the_head(launch):
    assert launch({"notary": _node}, arbiter="notary") == {"notary": "a"}


def test_a_label_that_no_node_carries_is_named_before_anything_starts(launch):
    with pytest.raises(PlacementError) as caught:
        launch({"bank": _idle}, placements={"bank": {"silo": "c"}})
    text = str(caught.value)
    assert "bank" in text
    assert "no node carries silo=c" in text
    assert "silo=a, silo=b" in text


def test_labels_of_two_nodes_are_not_taken_for_one(launch):
    with pytest.raises(PlacementError, match="no node carries"):
        launch({"bank": _idle}, placements={"bank": {"silo": "a", "zone": "b"}})


def test_a_party_that_does_not_come_up_in_time_is_named(launch, monkeypatch):
    monkeypatch.setattr("vfl.transport.ray.START_S", 0.05)
    monkeypatch.setattr("vfl.transport.ray.NOTICE_S", 0.01)
    events = []
    with pytest.raises(PlacementError, match="x did not start within"):
        launch({"x": _idle}, events.append)
    assert Event("driver", "waiting", "waiting for x to start") in events


def test_a_node_with_another_version_is_named_with_both(launch, monkeypatch):
    monkeypatch.setattr("vfl.__version__", "9.9.9")
    with pytest.raises(PlacementError, match=r"x's node has vfl 0\.\S+, the driver 9\.9\.9"):
        launch({"x": _idle})


def test_results_come_in_the_order_of_the_parties_and_events_before_them(launch):
    async def quick(transport, on_event):
        on_event(Event("quick", "note", "last words"))
        return 1

    async def slow(transport, on_event):
        await asyncio.sleep(0.3)
        return 2

    events = []
    assert list(launch({"slow": slow, "quick": quick}, events.append).items()) == [
        ("slow", 2), ("quick", 1)
    ]  # fmt: skip
    assert Event("quick", "note", "last words") in events


def test_a_run_says_once_that_the_cluster_is_one_trust_domain(launch):
    events = []
    launch({"x": _node, "y": _node}, events.append)
    said = [e for e in events if "trust domain" in e.text]
    assert [(e.party, e.kind) for e in said] == [("driver", "note")]


def test_a_party_that_dies_is_named_and_the_others_are_ended(launch, tmp_path):
    idler, pid = _pid_of_idler(tmp_path, tell="bank")

    async def dies(transport, on_event):
        await transport.receive()  # until the other one works
        os._exit(1)

    begin = time.monotonic()
    with pytest.raises(PartyLostError, match=r"^bank died: .*--resume"):
        launch({"bank": dies, "telecom": idler})
    assert time.monotonic() - begin < 60  # the other one waits an hour
    assert _gone(int(pid.read_text()))


@pytest.mark.parametrize("follow_up", [PartyLostError, DeadlineError])
def test_the_error_that_caused_another_is_the_one_that_is_raised(launch, follow_up, monkeypatch):
    monkeypatch.setattr("vfl.transport.ray.SETTLE_S", 60.0)  # it comes when the machine lets it

    async def cause(transport, on_event):
        await asyncio.sleep(0.6)
        raise DataError("bank.csv: no such file")

    async def effect(transport, on_event):
        raise follow_up("where is bank?")

    with pytest.raises(DataError, match=r"^bank\.csv: no such file$"):
        launch({"telecom": effect, "bank": cause})


def test_a_death_is_raised_rather_than_what_others_say_of_it(launch, monkeypatch):
    monkeypatch.setattr("vfl.transport.ray.SETTLE_S", 60.0)

    async def dies(transport, on_event):
        await asyncio.sleep(0.6)
        os._exit(1)

    async def effect(transport, on_event):
        raise PartyLostError("telecom cannot reach bank")

    with pytest.raises(PartyLostError, match=r"^bank died"):
        launch({"telecom": effect, "bank": dies})


def test_a_missed_deadline_that_nothing_explains_is_raised_itself(launch):
    async def waits(transport, on_event):
        raise DeadlineError("telecom has waited 300 s for bank")

    with pytest.raises(DeadlineError, match=r"^telecom has waited"):
        launch({"telecom": waits, "bank": _idle})


def test_an_unforeseen_error_names_its_party(launch):
    async def fails(transport, on_event):
        raise KeyError("missing")

    with pytest.raises(VflError, match="bank failed with KeyError; see that party's Ray log"):
        launch({"bank": fails})


def test_an_interrupt_leaves_no_actor(launch, tmp_path):
    idler, pid = _pid_of_idler(tmp_path)

    def interrupt(event):
        if event.text == "waiting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch({"x": idler}, interrupt)
    assert _gone(int(pid.read_text()))


def test_frames_between_nodes_keep_their_bytes(launch):
    sent = np.arange(1 << 20, dtype=np.uint32).view(np.uint8)

    async def sender(transport, on_event):
        await transport.send("y", np.arange(1 << 20, dtype=np.uint32).view(np.uint8))

    async def receiver(transport, on_event):
        who, frame = await transport.receive()
        return who, frame.dtype.str, frame.tobytes()

    found = launch(
        {"x": sender, "y": receiver}, placements={"x": {"silo": "a"}, "y": {"silo": "b"}}
    )
    assert found["y"] == ("x", "|u1", sent.tobytes())


_LAPTOP = """
from vfl.transport import ray

async def program(assignment, transport, on_event):
    return assignment * 2

print(ray.launch(program, {"x": 1, "y": 2}, print, {}, arbiter=None))
"""


def test_a_laptop_without_a_cluster_gets_one_for_the_time_of_the_process():
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    # A folder of its own, where nobody else's cluster is found; its path short, for Ray's sockets.
    with tempfile.TemporaryDirectory(prefix="vfl-", dir="/tmp", ignore_cleanup_errors=True) as own:
        process = subprocess.Popen(
            [sys.executable, "-c", _LAPTOP], env=environment | {"RAY_TMPDIR": own},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=90)
            assert "{'x': 2, 'y': 4}" in out, err
            end = time.monotonic() + 60
            while session_members(process.pid) and time.monotonic() < end:
                time.sleep(0.2)
            assert session_members(process.pid) == []
        finally:
            end_session(process)
