"""No silent wait: every wait ends, says whom it waited for, and nothing malformed gets through."""

from __future__ import annotations

import asyncio
import re
import time

import numpy as np
import pytest

from vfl import context
from vfl.context import Roster
from vfl.errors import DeadlineError, ProtocolError
from vfl.messages import Disclosed, Public, pack
from vfl.protocols.alignment_messages import JointCount, Salt
from vfl.protocols.arbiter_messages import Scores
from vfl_crypto import wire
from vfl_crypto.oracles.mock import MockScheme

ROSTER = Roster("bank", ("p0", "p1"))


def salt(text=b"s" * 32, **route):
    given = {"job": "session", "sender": "bank", "receiver": "p0", "scope": "align"} | route
    return pack(Salt(Public(text)), **given)[0]


async def receives_salt(ctx):
    return (await ctx.receive(Salt, from_="bank", scope="align")).salt.value


def sends(*frames):
    """A party outside all rules: puts frames on the transport and leaves."""

    async def program(end):
        for frame in frames:
            await end.send("p0", frame)

    return program


def test_a_party_that_never_sends_is_a_deadline_error_that_names_everything(play):
    async def bank(ctx):
        await ctx.send("p0", Salt(Public(b"s" * 32)), scope="align")
        await asyncio.sleep(30)

    async def p0(ctx):
        await receives_salt(ctx)
        await ctx.receive(JointCount, from_="bank", scope="align/7")

    begin = time.monotonic()
    with pytest.raises(DeadlineError) as caught:
        play(ROSTER, {"bank": bank, "p0": p0}, deadline_s=1.0)
    assert 0.9 < time.monotonic() - begin < 5
    text = str(caught.value)
    for part in ("'align.joint_count'", "from bank", "align/7", "--resume"):
        assert part in text
    assert re.search(r"p0 has waited [1-9] s of 1 s .* bank was last heard [1-9] s ago", text)


def test_a_gather_names_those_who_are_missing_and_only_those(play):
    async def bank(ctx):
        await ctx.gather(Scores, from_=("p0", "p1"), scope="train/0/0")

    async def p1(ctx):
        body = MockScheme().generate().encryptor.encrypt(np.zeros(1))
        await ctx.send("bank", Scores(body), scope="train/0/0")
        await asyncio.sleep(30)

    async def p0(ctx):
        await asyncio.sleep(30)

    with pytest.raises(DeadlineError, match=r"from p0 in train/0/0; p0 was never heard") as caught:
        play(ROSTER, {"bank": bank, "p0": p0, "p1": p1}, deadline_s=0.4)
    assert "p1" not in str(caught.value)


def test_a_long_wait_is_reported_while_it_lasts(play, monkeypatch):
    monkeypatch.setattr(context, "NOTICE_S", 0.05)

    async def bank(ctx):
        await asyncio.sleep(0.6)
        await ctx.send("p0", Salt(Public(b"s" * 32)), scope="align")

    begin = time.monotonic()
    events = play(ROSTER, {"bank": bank, "p0": receives_salt}).events
    waits = [event for event in events if event.kind == "waiting"]
    assert 2 <= len(waits) <= (time.monotonic() - begin) / 0.05
    assert all(e.party == "p0" and "'align.salt' from bank in align" in e.text for e in waits)


def test_messages_of_others_do_not_put_a_deadline_off(play):
    async def bank(ctx):
        for k in range(200):
            await ctx.send("p0", Salt(Public(b"s" * 32)), scope=f"other/{k}")
            await asyncio.sleep(0.05)

    begin = time.monotonic()
    with pytest.raises(DeadlineError):
        play(ROSTER, {"bank": bank, "p0": receives_salt}, deadline_s=0.5)
    assert time.monotonic() - begin < 5  # all messages take ten seconds


def tampered(frame, at=40):
    damaged = frame.copy()
    damaged[at] ^= 1
    return damaged


HOSTILE = {
    "no frame": (lambda: np.zeros(100, np.uint8), "p0 got a frame from bank: .*not a version-1"),
    "no bytes": (lambda: np.zeros(0, np.uint8), "p0 got a frame from bank"),
    "damaged": (lambda: tampered(salt()), "p0 got a frame from bank: .*damaged"),
    "no message": (lambda: wire.pack(b"\xc1", []), "p0 got a frame from bank: .*no message"),
    "forged sender": (lambda: salt(sender="p1"), "from bank that says it goes from 'p1' to 'p0'"),
    "unknown sender": (lambda: salt(sender="x"), "says it goes from 'x'"),
    "other receiver": (lambda: salt(receiver="p1"), "to 'p1'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_frame_ends_the_wait_at_once(play, name):
    make, match = HOSTILE[name]
    begin = time.monotonic()
    with pytest.raises(ProtocolError, match=match):
        play(ROSTER, {"bank": sends(make()), "p0": receives_salt}, raw={"bank"})
    assert time.monotonic() - begin < 5  # half of the deadline


def test_a_frame_of_a_party_outside_the_job_is_refused(play):
    async def idle(ctx):
        await asyncio.sleep(0.2)

    frame = salt(sender="stranger")
    programs = {"bank": idle, "stranger": sends(frame), "p0": receives_salt}
    with pytest.raises(ProtocolError, match="got a frame from stranger"):
        play(ROSTER, programs, raw={"stranger"})


def test_a_message_that_this_sender_may_not_send_is_refused(play):
    frame = salt(sender="p1")  # the salt goes from the active to the passive parties
    with pytest.raises(ProtocolError, match=r"p1 sent 'align.salt' to p0, which no protocol"):
        play(ROSTER, {"p1": sends(frame), "p0": receives_salt}, raw={"p1"})


def test_an_error_reaches_a_wait_that_begins_after_it(play):
    async def p0(ctx):
        await asyncio.sleep(0.2)  # busy while the frame comes in
        await receives_salt(ctx)

    with pytest.raises(ProtocolError, match="not a version-1"):
        play(ROSTER, {"bank": sends(np.zeros(100, np.uint8)), "p0": p0}, raw={"bank"})


def test_a_repeated_frame_has_no_effect(play):
    async def p0(ctx):
        await asyncio.sleep(0.1)
        first = await receives_salt(ctx)
        with pytest.raises(DeadlineError):
            await receives_salt(ctx)
        return first

    found = play(ROSTER, {"bank": sends(*[salt()] * 5), "p0": p0}, raw={"bank"}, deadline_s=0.3)
    assert found.results["p0"] == b"s" * 32
    assert len(found.ledgers["p0"].entries) == 1


def test_a_repeated_message_with_other_bytes_is_refused(play):
    async def p0(ctx):
        await receives_salt(ctx)
        await ctx.receive(JointCount, from_="bank", scope="align")

    frames = salt(), salt(b"t" * 32)
    with pytest.raises(ProtocolError, match=r"bank sent 'align.salt' of align twice, changed"):
        play(ROSTER, {"bank": sends(*frames), "p0": p0}, raw={"bank"})


def test_early_messages_wait_and_each_goes_to_its_own_step(play):
    async def bank(ctx):
        for k in (2, 0, 1):
            await ctx.send("p0", JointCount(Disclosed(k, "r")), scope=f"align/{k}")

    async def p0(ctx):
        await asyncio.sleep(0.1)
        got = []
        for k in (0, 1, 2):
            message = await ctx.receive(JointCount, from_="bank", scope=f"align/{k}")
            got.append(message.rows.value)
        return got

    assert play(ROSTER, {"bank": bank, "p0": p0}).results["p0"] == [0, 1, 2]


def test_a_message_of_an_earlier_attempt_at_the_job_is_ignored(play):
    frames = salt(b"old" * 11, job="yesterday"), salt()
    found = play(ROSTER, {"bank": sends(*frames), "p0": receives_salt}, raw={"bank"})
    assert found.results["p0"] == b"s" * 32
    assert len(found.ledgers["p0"].entries) == 1


def test_waiting_is_booked_as_waiting(play):
    timings = {}

    async def bank(ctx):
        await asyncio.sleep(0.4)
        await ctx.send("p0", Salt(Public(b"s" * 32)), scope="align")

    async def p0(ctx):
        await receives_salt(ctx)
        timings.update(ctx.timings)

    begin = time.monotonic()
    play(ROSTER, {"bank": bank, "p0": p0})
    assert 0.3 < timings["wait"] < time.monotonic() - begin
