"""Jobs in virtual time end in the same models, replay bit for bit, and never wait for real."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from glm import draw, job_of, weights_of

import vfl
from vfl import api
from vfl.context import Context, Roster
from vfl.errors import DeadlineError
from vfl.ledger import Ledger
from vfl.messages import Disclosed, Public
from vfl.protocols.alignment_messages import JointCount, Salt
from vfl.transport import inprocess
from vfl.transport.virtual import Crash, Entry, VirtualNetwork, launch
from vfl_scheduler import AllArrived, Fluctuation, LinkModel, UnitCosts, connector, measured

ROSTER = Roster("bank", ("p0", "p1"))
CLEAN = LinkModel(10e6, 0.02)
ROUGH = LinkModel(
    10e6, 0.02, Fluctuation(0.5, 10, "round"), loss=0.05, duplication=0.2, outages=((1.0, 1.5),)
)
COSTS = UnitCosts({"read": 0.5, "align": 0.2, "encrypt": 0.1, "compute": 0.05}, {"p0": 3.0})


def network_of(names, model=CLEAN, *, compute=COSTS, **options):
    return VirtualNetwork(names, connector(model, seed=5, hub="bank"), compute=compute, **options)


def run_bare(programs, **options):
    """One coroutine a party on its bare end: what `launch` gives, and the log."""
    network = network_of(programs, **options)
    assignments = {name: name for name in programs}
    finished = launch(lambda name, end, _: programs[name](end), assignments, print, network=network)
    return finished, network.log


@pytest.fixture
def in_virtual_time(monkeypatch):
    """in_virtual_time(job, folder, model): the run, its network and its end in virtual seconds.

    A round begins when the active party reports progress.
    """

    def run(job, folder, model=CLEAN):
        network = network_of([party.name for party in job.parties], model)
        ends = []

        def launched(program, assignments, on_event):
            def listen(event):
                if event.kind == "progress" and event.party == "bank":
                    network.round = event.done
                on_event(event)

            finished = launch(program, assignments, listen, network=network)
            ends.append(finished.end_s)
            return finished.results

        with monkeypatch.context() as patch:
            patch.setattr(inprocess, "launch", launched)
            done = api.run_job(job, folder=folder)
        return done, network, ends[0]

    return run


def shared_job(seed=0):
    tables = draw("logistic", [2, 3, 2], n=120, seed=seed)
    return job_of(tables, vfl.LogisticRegression(epochs=6)), tables


@pytest.mark.parametrize("model", [CLEAN, ROUGH], ids=["clean", "rough"])
@pytest.mark.parametrize("level", ["shared", "arbiter"])
def test_a_job_ends_in_the_same_model_as_in_real_time(
    in_virtual_time, small_job, tmp_path, level, model
):
    if level == "shared":
        job, tables = shared_job()
    else:
        small = small_job(passives=2)
        job, tables = small.job, small.tables.columns
    plain = vfl.run_job(job, folder=tmp_path / "plain")
    run, network, end_s = in_virtual_time(job, tmp_path / "virtual", model)
    assert run.result.epochs == plain.result.epochs
    assert run.metrics == pytest.approx(plain.metrics, abs=1e-4 if level == "shared" else 1e-12)
    for ours, theirs in zip(
        weights_of(run.folder, tables), weights_of(plain.folder, tables), strict=True
    ):
        # Shares are cut at random places: the last of 24 fraction bits may differ.
        np.testing.assert_allclose(ours, theirs, atol=1e-4 if level == "shared" else 1e-12)
    assert run.ledger.clean and run.ledger.bytes == sum(
        entry.nbytes for entry in network.log if entry.what == "sent"
    )
    pairs = {(entry.party, entry.other) for entry in network.log if entry.what == "sent"}
    for pair in pairs:  # a link is never faster than its bandwidth
        sizes = [entry.nbytes for entry in network.log if entry[1:4] == ("sent", *pair)]
        assert end_s > sum(sizes) * 8 / 10e6
    assert end_s >= network.log[-1].at_s


def test_frames_and_work_take_the_time_of_their_models():
    async def bank(end):
        await end.compute("encrypt", np.zeros, 3)
        await end.send("p0", np.zeros(125_000, np.uint8))  # 0.1 s, and 0.02 s under way
        return asyncio.get_running_loop().time()

    async def p0(end):
        await asyncio.gather(*(end.compute("compute", np.zeros, 3) for _ in range(2)))
        await end.receive()
        return asyncio.get_running_loop().time()

    programs = {"bank": bank, "p0": p0}
    finished, log = run_bare(programs)
    assert finished.results == {"bank": pytest.approx(0.22), "p0": pytest.approx(0.3)}
    assert finished.end_s == pytest.approx(0.3)
    assert [(round(entry.at_s, 9), *entry[1:]) for entry in log] == [
        (0.1, "computed", "bank", "zeros", 0, 0),
        (0.1, "sent", "bank", "p0", 125_000, 0),
        (0.15, "computed", "p0", "zeros", 0, 0),  # 3 times 0.05 s: this party is slow
        (0.22, "received", "p0", "bank", 125_000, 0),
        (0.3, "computed", "p0", "zeros", 0, 0),  # one machine: after the other
    ]


def test_measured_work_takes_what_it_took_here():
    async def bank(end):
        await end.compute("compute", time.sleep, 0.05)
        return asyncio.get_running_loop().time()

    begin = time.perf_counter()
    finished, _ = run_bare({"bank": bank}, compute=measured)
    assert 0.05 <= finished.results["bank"] <= time.perf_counter() - begin


def logged(in_virtual_time, folder, *, seed=0):
    job, _ = shared_job(seed)
    return in_virtual_time(job, folder, ROUGH)[1].log


def test_two_runs_from_one_seed_are_the_same_bit_for_bit(in_virtual_time, tmp_path):
    first, second = (logged(in_virtual_time, tmp_path / name) for name in "ab")
    assert len(first) > 100
    assert first == second
    assert {entry.what for entry in first} == {"sent", "received", "computed"}
    assert len({entry.round for entry in first}) > 3


REPLAY = """
import hashlib, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import pytest
from test_virtual_time import logged, in_virtual_time

with pytest.MonkeyPatch.context() as patch:
    log = logged(in_virtual_time.__wrapped__(patch), Path(sys.argv[1]))
print(hashlib.sha256(repr(log).encode()).hexdigest())
"""


def test_no_order_hangs_on_the_hashes_of_a_process(in_virtual_time, tmp_path):
    here = Path(__file__).parent
    other = subprocess.run(
        [sys.executable, "-c", REPLAY, tmp_path / "other", here, here.parent],
        env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    log = logged(in_virtual_time, tmp_path / "own")
    assert hashlib.sha256(repr(log).encode()).hexdigest() == other


# Salts go to the passive parties, who answer with a count.
SPOKEN = {
    (Salt.kind, "active", "passive"): Salt.protections,
    (JointCount.kind, "passive", "active"): JointCount.protections,
}


@pytest.fixture
def play_virtually():
    """play_virtually({name: async f(ctx)}, **options of the network): results and the log."""

    def run(programs, *, deadline_s=300.0, on_return=None, events=None, **options):
        network = network_of(programs, **options)

        async def part(assignment, end, on_event):
            name, program = assignment
            context = Context(
                name, ROSTER, end, Ledger(ROSTER.roles),
                job="session", declared=SPOKEN, deadline_s=deadline_s, on_event=on_event,
            )  # fmt: skip
            async with context:
                return await program(context)

        finished = launch(
            part, {name: (name, program) for name, program in programs.items()},
            [].append if events is None else events.append,
            network=network, on_return=on_return,
        )  # fmt: skip
        return finished, network.log

    return run


async def idle(ctx):
    await asyncio.sleep(2000.0)


async def asks(ctx):
    """Gives each passive party a salt and wants counts back: {party: (count)}, when."""
    await ctx.broadcast(ctx.roster.passives, Salt(Public(b"s" * 32)), scope="align")
    got = await ctx.gather(JointCount, from_=ctx.roster.passives, scope="align")
    now = asyncio.get_running_loop().time()
    return {name: message.rows.value for name, message in got.items()}, now


async def answers(ctx):
    """Takes the salt, works for ten seconds, answers."""
    await ctx.receive(Salt, from_="bank", scope="align")
    await asyncio.sleep(10.0)
    await ctx.send("bank", JointCount(Disclosed(len(ctx.name), "r")), scope="align")


ASKED = {"bank": asks, "p0": answers, "p1": answers}


def test_contributions_of_one_instant_come_in_the_order_of_the_parties(monkeypatch):
    names = [f"p{k}" for k in range(12)]
    roster, orders = Roster("bank", tuple(names)), []

    class Recorder(AllArrived):
        def decide(self, state):
            orders.append(list(state.arrived))
            return super().decide(state)

    monkeypatch.setattr("vfl.context.AllArrived", Recorder)

    async def part(name, end, on_event):
        context = Context(
            name, roster, end, Ledger(roster.roles),
            job="session", declared=SPOKEN, on_event=on_event,
        )  # fmt: skip
        async with context:
            if name != "bank":
                await context.send("bank", JointCount(Disclosed(1, "r")), scope="align")
            else:
                await context.gather(JointCount, from_=names, scope="align")

    launch(part, {name: name for name in roster.roles}, print, network=network_of(roster.roles))
    assert orders == [names[:count] for count in range(13)]


def test_a_deadline_of_five_minutes_passes_at_once_and_names_whom_it_waited_for(play_virtually):
    events, begin = [], time.monotonic()
    with pytest.raises(DeadlineError) as caught:
        play_virtually(ASKED | {"p1": idle}, events=events)
    assert time.monotonic() - begin < 5
    text = str(caught.value)
    assert "bank has waited 300 s of 300 s for 'align.joint_count' from p1 in align" in text
    assert "p1 was never heard" in text and "p0" not in text
    # Every ten seconds, but for the time since p0 answered.
    assert 29 <= len([event for event in events if event.kind == "waiting"]) <= 31


def test_a_party_that_crashes_and_never_comes_back_is_named(play_virtually):
    with pytest.raises(DeadlineError, match=r"'align.joint_count' from p0 in align; p0 was never"):
        play_virtually(ASKED, crashes=[Crash("p0", 5.0)])


def test_who_sends_to_a_crashed_party_says_who_does_not_answer(play_virtually):
    with pytest.raises(DeadlineError, match=r"within 300 s: p0 does not answer"):
        play_virtually(ASKED, crashes=[Crash("p0", 0.0)])


def test_a_crashed_party_that_nobody_misses_has_no_result_and_stops_nobody(play_virtually):
    async def rests(ctx):
        await asyncio.sleep(7.0)

    finished, log = play_virtually(dict.fromkeys(ASKED, rests), crashes=[Crash("p0", 5.0)])
    assert list(finished.results) == ["bank", "p1"]
    assert finished.end_s == pytest.approx(7.0)
    assert log == [Entry(pytest.approx(5.0), "crashed", "p0")]


def test_what_is_sent_to_a_crashed_party_arrives_when_it_is_back(play_virtually):
    async def asks_late(ctx):
        await asyncio.sleep(3.0)
        return await asks(ctx)

    finished, log = play_virtually(
        ASKED | {"bank": asks_late},
        crashes=[Crash("p0", 1.0, 20.0)], on_return=lambda name: (name, answers),
    )  # fmt: skip
    counts, at_s = finished.results["bank"]
    assert counts == {"p0": 2, "p1": 2}
    assert at_s == pytest.approx(30.02, abs=0.01)
    life = [(entry.what, entry.other) for entry in log if entry.party == "p0"]
    assert life == [("crashed", ""), ("returned", ""), ("received", "bank"), ("sent", "bank")]


def test_what_a_party_knew_before_its_crash_is_forgotten(play_virtually):
    async def answers_unasked(ctx):
        await ctx.send("bank", JointCount(Disclosed(7, "r")), scope="align")

    lives = {"crashes": [Crash("p0", 5.0, 20.0)]}
    with pytest.raises(DeadlineError, match=r"bank has waited 300 s .* from p0 in align"):
        play_virtually(ASKED, on_return=lambda name: (name, answers), **lives)
    finished, _ = play_virtually(ASKED, on_return=lambda name: (name, answers_unasked), **lives)
    assert finished.results["bank"][0] == {"p0": 7, "p1": 2}


def test_what_a_crashed_party_had_under_way_is_lost(play_virtually, monkeypatch):
    logs = []
    monkeypatch.setattr(VirtualNetwork, "note", keeping(VirtualNetwork.note, logs))
    # The answer leaves at 10 s and a little, and takes longer than a second.
    with pytest.raises(DeadlineError, match="from p0 in align"):
        play_virtually(ASKED, model=LinkModel(1e3), crashes=[Crash("p0", 13.0)])
    (log,) = {id(log): log for log in logs}.values()
    assert [entry[1:4] for entry in log if entry.what == "lost"] == [("lost", "p0", "bank")]


def keeping(note, logs):
    """`note`, which also leaves the log where a test finds it after an error."""

    def kept(self, *args):
        logs.append(self.log)
        note(self, *args)

    return kept


def test_where_nothing_is_left_to_happen_all_are_told_who_waits_in_what():
    async def bank(end):
        await end.send("p0", np.zeros(125_000, np.uint8))
        await end.receive()

    async def p0(end):
        while True:
            await end.receive()

    begin = time.monotonic()
    with pytest.raises(DeadlineError, match="nothing is left that could happen") as caught:
        run_bare({"bank": bank, "p0": p0})
    assert time.monotonic() - begin < 5
    assert "bank waits in VirtualEnd.receive, p0 waits in VirtualEnd.receive" in str(caught.value)
    assert "after 0.120 s" in str(caught.value)


def test_a_thread_is_refused_because_its_work_takes_real_time():
    async def bank(_):
        await asyncio.to_thread(time.sleep, 0.0)

    with pytest.raises(RuntimeError, match=r"give it to Context\.compute"):
        run_bare({"bank": bank})


def test_the_first_error_of_any_party_ends_all_and_is_raised():
    async def bank(end):
        await end.compute("compute", int, "none")

    async def p0(end):
        await end.receive()

    with pytest.raises(ValueError, match="invalid literal"):
        run_bare({"bank": bank, "p0": p0})


@pytest.mark.parametrize(
    ("crash", "match"),
    [
        (lambda: network_of(["bank"], crashes=[Crash("p9", 1.0)]), "p9"),
        (lambda: Crash("p0", -1.0), "p0"),
        (lambda: Crash("p0", 5.0, 5.0), "p0"),
    ],
)
def test_a_crash_that_cannot_be_is_refused(crash, match):
    with pytest.raises(ValueError, match=match):
        crash()
