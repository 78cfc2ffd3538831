"""Messages: no bare value can be declared, no unsafe one can leave, no forged one can enter."""

from __future__ import annotations

import dataclasses
import tracemalloc

import msgspec
import numpy as np
import pytest

from vfl.context import Roster
from vfl.declaration import Declaration, Disclosure, Flow
from vfl.errors import ProtocolError, SecurityError
from vfl.messages import Array, Disclosed, Envelope, Masked, Message, Public, pack, unpack
from vfl_crypto import wire
from vfl_crypto.errors import UnsafeDepartureError
from vfl_crypto.linear import Ciphertext
from vfl_crypto.oracles.mock import MockScheme

ROUTE = {"job": "j", "sender": "a", "receiver": "b", "scope": "s/0"}
MUTANTS = 3000


class Everything(Message, kind="test.everything"):
    numbers: Public[list[int]]
    name: Public[str]
    body: Ciphertext
    points: Masked
    values: Disclosed[Array]


class Single(Message, kind="test.single"):
    value: Public[int]


class Secret(Message, kind="test.secret"):
    value: Disclosed[float]


def fresh(values=(1.0, 2.0)) -> Ciphertext:
    return MockScheme().generate().encryptor.encrypt(np.array(values))


def everything() -> Everything:
    return Everything(
        Public([1, -2, 1 << 40]), Public("é"), fresh(), Masked(np.zeros((3, 32), np.uint8), "x"),
        Disclosed(np.arange(4), "because"),
    )  # fmt: skip


def header_of(message: Message) -> Envelope:
    return pack(message, **ROUTE)[1]


def encoded(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def test_a_message_comes_back_field_by_field_but_its_ciphertext_is_no_longer_fresh():
    sent = everything()
    got, envelope, digest = unpack(pack(sent, **ROUTE)[0])
    assert isinstance(got, Everything)
    assert (envelope.sender, envelope.receiver, envelope.scope) == ("a", "b", "s/0")
    assert got.numbers == sent.numbers and got.name == sent.name
    assert np.array_equal(got.points.value, sent.points.value) and got.points.how == "x"
    assert np.array_equal(got.values.value, sent.values.value) and got.values.reason == "because"
    assert np.array_equal(got.body.body, sent.body.body) and got.body.key_id == sent.body.key_id
    assert sent.body.fresh and not got.body.fresh
    assert len(digest) == 64


@pytest.mark.parametrize(
    "hint", [np.ndarray, list, int, bytes, Array, Public, Disclosed, Public[int] | None]
)
def test_a_field_without_a_wrapper_is_refused_when_the_class_is_made(hint):
    with pytest.raises(TypeError, match="bare"):
        type("Bare", (Message,), {"__annotations__": {"value": hint}}, kind="test.bare")
    with pytest.raises(ProtocolError, match="unknown kind"):  # and it is not registered
        Message.of_kind("test.bare")


def test_two_classes_cannot_share_a_kind():
    with pytest.raises(TypeError, match="two messages"):
        type("Twin", (Message,), {"__annotations__": {}}, kind="test.single")


def test_a_ciphertext_that_was_not_encrypted_for_its_departure_cannot_be_packed():
    holder = MockScheme().generate()
    own = holder.encryptor.encrypt(np.ones(2))
    stale = [
        holder.encryptor.add(own, own),
        holder.encryptor.rmatmul(np.ones((2, 3)), own),
        unpack(pack(everything(), **ROUTE)[0])[0].body,
    ]
    for body in stale:
        with pytest.raises(UnsafeDepartureError, match=r"test\.everything\.body"):
            pack(dataclasses.replace(everything(), body=body), **ROUTE)
    refreshed = holder.encryptor.encrypt(np.zeros(3), stale[1])
    pack(dataclasses.replace(everything(), body=refreshed), **ROUTE)


@pytest.mark.parametrize(
    "value",
    [1, Disclosed(1, "r"), Masked(np.zeros(1), "m"), fresh(), Public(np.zeros(3)), None],
    ids=["bare", "disclosed", "masked", "encrypted", "an array", "nothing"],
)
def test_a_value_in_another_wrapper_than_declared_cannot_be_packed(value):
    with pytest.raises(TypeError, match=r"test\.single\.value"):
        pack(Single(value), **ROUTE)


def test_a_plain_value_cannot_stand_where_an_array_was_declared():
    with pytest.raises(TypeError, match=r"test\.everything\.values"):
        pack(dataclasses.replace(everything(), values=Disclosed([1, 2], "r")), **ROUTE)


def forged(message: Message, change) -> np.ndarray:
    """The frame of a message after `change` was applied to its envelope as plain objects."""
    frame = pack(message, **ROUTE)[0]
    parsed = wire.unpack(frame)
    plain = msgspec.msgpack.decode(parsed.header)
    arrays = list(parsed.arrays)
    change(plain, arrays)
    return wire.pack(encoded(plain), arrays)


FORGERIES = {
    "unknown kind": (lambda e, _: e.update(kind="no.such"), "unknown kind"),
    "field order": (lambda e, _: e["fields"].reverse(), "other fields"),
    "missing field": (lambda e, _: e["fields"].pop(), "other fields"),
    "field twice": (lambda e, _: e["fields"].append(e["fields"][0]), "other fields"),
    "protection": (lambda e, _: e["fields"][3].update(protection="public"), "other fields"),
    "no array": (lambda e, _: e["fields"][2].update(array=-1), "no such array"),
    "array out of range": (lambda e, _: e["fields"][2].update(array=3), "no such array"),
    "array of another": (lambda e, _: e["fields"][2].update(array=1), "malformed"),
    "array for a value": (lambda e, _: e["fields"][0].update(array=0), "no such array"),
    "extra array": (lambda _, a: a.append(np.zeros(9)), "belong to no field"),
    "count": (lambda e, _: e["fields"][4].update(count=1), "malformed"),
    "stray key": (lambda e, _: e["fields"][4].update(key_id="k"), "malformed"),
    "stray value": (lambda e, _: e["fields"][3].update(value=[1, 2]), "malformed"),
    "type": (lambda e, _: e["fields"][0].update(value="text"), "bad 'numbers'"),
    "float for int": (lambda e, _: e["fields"][0].update(value=[0.5]), "bad 'numbers'"),
    "unknown key": (lambda e, _: e.update(extra=1), "no message"),
    "no scope": (lambda e, _: e.pop("scope"), "no message"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_envelope_is_a_protocol_error(name):
    change, match = FORGERIES[name]
    with pytest.raises(ProtocolError, match=match):
        unpack(forged(everything(), change))


def test_a_header_in_another_encoding_of_the_same_content_is_refused():
    header = wire.unpack(pack(Single(Public(5)), **ROUTE)[0]).header
    assert header.count(b"\xa1j") == 1  # "j" as a fixstr; as a str8 it reads the same
    longer = header.replace(b"\xa1j", b"\xd9\x01j")
    assert msgspec.msgpack.decode(longer) == msgspec.msgpack.decode(header)
    with pytest.raises(ProtocolError, match="one form"):
        unpack(wire.pack(longer, []))


NESTED = b"\x91" * 200_000 + b"\xc0"  # [[[...]]]


def raw_field(content: bytes) -> bytes:
    names = [(encoded(k), encoded(v)) for k, v in ROUTE.items()] + [
        (encoded("kind"), encoded("test.single"))
    ]
    field = b"\x83" + b"".join(map(encoded, ("name", "value", "protection", "public")))
    field += encoded("value") + content
    return b"\x86" + b"".join(a + b for a, b in names) + encoded("fields") + b"\x91" + field


@pytest.mark.parametrize(
    "header",
    [
        NESTED,
        raw_field(NESTED),
        raw_field(b"\x81\xa1a" * 100_000 + b"\xc0"),
        raw_field(b"\xdd\xff\xff\xff\xff"),
        raw_field(b"\xdf\xff\xff\xff\xff"),
        raw_field(b"\xc6\xff\xff\xff\xff"),
        raw_field(b"\xa1\xff"),
        b"\xdf\xff\xff\xff\xff",
        b"\x86\xa3job\xa1\xff",
        b"\xc1",
        b"",
    ],
    ids=[
        "nested", "nested value", "nested maps", "4G list", "4G map", "4G bytes", "not UTF-8",
        "4G keys", "job not UTF-8", "unused code", "empty",
    ],
)  # fmt: skip
def test_a_hostile_header_is_a_protocol_error_and_costs_no_memory(header):
    frame = wire.pack(header, [])
    tracemalloc.start()
    with pytest.raises(ProtocolError):
        unpack(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(header) + 200_000


def test_no_mutation_of_a_header_raises_anything_but_a_protocol_error():
    rng = np.random.default_rng(22)
    parsed = wire.unpack(pack(everything(), **ROUTE)[0])
    accepted = 0
    for _ in range(MUTANTS):
        header = bytearray(parsed.header)
        for _ in range(rng.integers(1, 3)):
            at = int(rng.integers(len(header)))
            if rng.random() < 0.7:
                header[at] = rng.integers(256)
            elif rng.random() < 0.5:
                del header[at : at + int(rng.integers(1, 9))]
            else:
                header[at:at] = rng.bytes(int(rng.integers(1, 9)))
        frame = wire.pack(bytes(header), parsed.arrays)
        try:
            message, envelope, _ = unpack(frame)
        except ProtocolError:
            continue
        accepted += 1
        leaving = dataclasses.replace(message, body=dataclasses.replace(message.body, fresh=True))
        route = {key: getattr(envelope, key) for key in ROUTE}
        assert pack(leaving, **route)[0].tobytes() == frame.tobytes()
    assert accepted > MUTANTS / 50  # other names, reasons and numbers are well-formed


def test_a_message_that_no_protocol_declares_is_not_sent(play, tap):
    async def bank(ctx):
        await ctx.send("p0", Single(Public(1)), scope="s")

    async def p0(ctx):
        await ctx.receive(Single, from_="bank", scope="s")

    with pytest.raises(SecurityError, match="nothing was sent"):
        play(Roster("bank", ("p0",)), {"bank": bank, "p0": p0})
    assert tap.frames == []


def test_a_message_declared_for_another_direction_is_not_sent(play, tap):
    declared = {("test.single", "passive", "active"): Single.protections}

    async def bank(ctx):
        await ctx.send("p0", Single(Public(1)), scope="s")

    async def p0(ctx):
        await ctx.receive(Single, from_="bank", scope="s")

    with pytest.raises(SecurityError, match="nothing was sent"):
        play(Roster("bank", ("p0",)), {"bank": bank, "p0": p0}, declared=declared)
    assert tap.frames == []


def test_a_protocol_that_discloses_without_saying_so_cannot_be_declared():
    flows = (Flow(Secret, "active", "passive"), Flow(Secret, "active", "arbiter"))
    to_passive = Disclosure("passive", "the value", "test.secret")
    to_arbiter = Disclosure("arbiter", "the value", "test.secret")
    for given in ((), (to_passive,), (to_arbiter,)):  # each receiver must be named
        with pytest.raises(TypeError, match="not declared"):
            Declaration("p", flows, given)
    Declaration("p", flows, (to_passive, to_arbiter))


def test_a_disclosure_that_no_message_carries_cannot_be_declared():
    with pytest.raises(TypeError, match=r"no 'test\.secret' discloses to the arbiter"):
        Declaration("p", (), (Disclosure("arbiter", "the value", "test.secret"),))
