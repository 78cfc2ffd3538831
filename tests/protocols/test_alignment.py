"""Alignment: the joint rows are those of a set intersection, in one order, whoever misbehaves."""

from __future__ import annotations

import numpy as np
import plaintext
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vfl
from vfl.context import Roster
from vfl.errors import AlignmentError, ProtocolError
from vfl.messages import Disclosed, Masked, Public
from vfl.protocols import alignment as al
from vfl_crypto.psi import Blinder, hash_to_curve25519

POOL = [f"person-{n}".encode() for n in range(14)]
LOW_ORDER = (0, 1, 2**255 - 20)  # u-coordinates of points whose multiples are few
TWIST = 2  # u = 2 lies on the twist of Curve25519: u^3 + 486662 u^2 + u is no square


def roster(parties: int) -> Roster:
    return Roster("bank", tuple(f"p{k}" for k in range(parties - 1)))


def align(play, tables, *, seed=0, minimum=1, programs=None):
    """Rows found by each party; `programs` replaces what a party does."""
    names = ["bank", *(f"p{k}" for k in range(len(tables) - 1))]

    def program(name, ids):
        if name == "bank":
            return lambda ctx: al.active(ctx, ids, seed=seed, minimum=minimum)
        return lambda ctx: al.passive(ctx, ids, minimum=minimum)

    parts = {name: program(name, ids) for name, ids in zip(names, tables, strict=True)}
    return play(roster(len(tables)), parts | (programs or {})).results


table = st.lists(st.sampled_from(POOL), max_size=12, unique=True)


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_the_joint_rows_are_the_intersection_of_the_sets_in_one_order(play, parties):
    @given(st.data(), st.integers(-5, 5))
    @settings(max_examples=25)
    def check(data, seed):
        tables = data.draw(st.lists(table, min_size=parties, max_size=parties))
        joint = set.intersection(*map(set, tables))
        if not joint:
            with pytest.raises(AlignmentError):
                align(play, tables, seed=seed)
            return
        found = align(play, tables, seed=seed)
        expected = plaintext.row_order([i.decode() for i in joint], seed)
        for ids, rows in zip(tables, found.values(), strict=True):
            assert [ids[row].decode() for row in rows] == expected

    check()


@pytest.mark.parametrize("parties", [2, 3])
def test_the_order_of_rows_does_not_depend_on_the_order_of_the_files_or_the_session(play, parties):
    tables = [POOL[k:] + POOL[:k] for k in range(parties)]
    first = align(play, tables)
    order = [POOL[row] for row in first["bank"]]
    for _ in range(2):
        tables = [ids[::-1] for ids in tables]
        found = align(play, tables)
        for ids, rows in zip(tables, found.values(), strict=True):
            assert [ids[row] for row in rows] == order
    assert [POOL[r] for r in align(play, [POOL] * parties, seed=1)["bank"]] != order


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_too_small_an_overlap_is_reported_in_counts_and_without_an_id(play, parties):
    tables = [[*POOL[:5], b"only-%d" % k, b"mine-%d" % k] for k in range(parties)]
    with pytest.raises(AlignmentError) as caught:
        align(play, tables, minimum=6)
    text = str(caught.value)
    assert "5 rows are common" in text and "at least 6" in text
    assert "7 ids" in text or "share 5" in text
    assert not any(word in text for word in ("person-", "only-", "mine-"))
    found = align(play, tables, minimum=5)  # exactly enough
    assert {len(rows) for rows in found.values()} == {5}


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("minimum", [0, 1])
def test_no_overlap_at_all_is_an_error_even_if_none_is_asked_for(play, parties, minimum):
    with pytest.raises(AlignmentError, match="0 rows are common"):
        align(play, [[POOL[k]] for k in range(parties)], minimum=minimum)


def test_repeated_ids_are_refused_by_counts_before_anything_is_sent(small_job, tmp_path, tap):
    small = small_job()
    small.tables.ids["p0"][3] = small.tables.ids["p0"][4]
    repeated = small_job(tables=small.tables)
    with pytest.raises(AlignmentError, match=r"p0: .*1 of 127 ids occur more than once") as caught:
        vfl.run_job(repeated.job, folder=tmp_path / "run")
    assert small.tables.ids["p0"][4] not in str(caught.value)
    assert not [frame for sender, _, frame in tap.frames if sender == "p0"]


# a passive party that does not follow the protocol, against an honest active one


def points_of(*coordinates: int) -> np.ndarray:
    raw = b"".join(u.to_bytes(32, "little") for u in coordinates)
    return np.frombuffer(raw, np.uint8).reshape(-1, 32)


def cheating_passive(*, own=None, twice=None):
    """A passive party of two whose lists are replaced by what `own` and `twice` make of them."""

    async def program(ctx):
        salt = (await ctx.receive(al.Salt, from_="bank", scope="align")).salt.value
        blinder = Blinder()
        mine = blinder.blind_ids(POOL, salt)
        mine = own(mine) if own else mine
        await ctx.send("bank", al.MaskedIds(Masked(mine, "x")), scope="align/p0")
        theirs = (await ctx.receive(al.MaskedIds, from_="bank", scope="align/bank")).points.value
        raised = blinder.blind(theirs)
        raised = twice(raised) if twice else raised
        await ctx.send("bank", al.MaskedTwice(Masked(raised, "x")), scope="align/bank")
        await ctx.receive(al.JointCount, from_="bank", scope="align")

    return program


def with_first(*coordinates: int):
    return lambda points: np.concatenate([points_of(*coordinates), points[len(coordinates) :]])


BAD_LISTS = {
    "twist": (with_first(TWIST), "not on Curve25519"),
    "zero": (with_first(LOW_ORDER[0]), "low order|not on Curve25519"),
    "one": (with_first(LOW_ORDER[1]), "low order|not on Curve25519"),
    "minus one": (with_first(LOW_ORDER[2]), "low order|not on Curve25519"),
    "not reduced": (with_first(2**255 - 19 + 9), "not on Curve25519"),
    "high bit": (with_first(2**255 + 9), "not on Curve25519"),
    "short rows": (lambda p: np.ascontiguousarray(p[:, :31]), "shape"),
    "floats": (lambda p: p.astype(float), "uint8"),
    "one row": (lambda p: p[0], "shape"),
    "repeated": (lambda p: np.concatenate([p[:1], p[:-1]]), "repeated"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_a_peers_list_that_is_no_list_of_points_is_refused(play, name):
    change, match = BAD_LISTS[name]
    with pytest.raises(ProtocolError, match=match):
        align(play, [POOL, POOL], programs={"p0": cheating_passive(own=change)})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: p[:-1], "13 of 14"),
        (lambda p: np.concatenate([p, p[:1]]), "15 of 14"),
        (lambda p: np.concatenate([p[:1], p[:-1]]), "repeated"),
        (lambda p: p.astype(float), "shape"),
        (lambda p: np.hstack([p, p]), "shape"),
        (lambda p: p.reshape(-1), "448 of 14"),
    ],
    ids=["short", "long", "repeated", "floats", "wide", "flat"],
)
def test_a_returned_list_of_another_form_is_refused(play, change, match):
    with pytest.raises(ProtocolError, match=match):
        align(play, [POOL, POOL], programs={"p0": cheating_passive(twice=change)})


def test_the_cheating_party_without_its_cheat_is_let_through(play):
    assert len(align(play, [POOL, POOL], programs={"p0": cheating_passive()})["bank"]) == len(POOL)


@pytest.mark.parametrize("name", ["twist", "zero", "short rows", "floats", "one row"])
def test_a_bad_list_in_a_ring_is_refused_by_the_next_party(play, name):
    change, _ = BAD_LISTS[name]

    async def cheat(ctx):
        salt = (await ctx.receive(al.Salt, from_="bank", scope="align")).salt.value
        mine = change(Blinder().blind_ids(POOL, salt))
        await ctx.send("p1", al.MaskedIds(Masked(mine, "x")), scope="align/p0/1")
        await ctx.receive(al.JointCount, from_="bank", scope="align")

    with pytest.raises(ProtocolError, match="p1 refuses the masked ids from p0"):
        align(play, [POOL] * 3, programs={"p0": cheat})


@pytest.mark.parametrize("name", ["floats", "short rows", "repeated"])
def test_a_bad_finished_list_in_a_ring_is_refused_by_the_active_party(play, name):
    change, _ = BAD_LISTS[name]

    async def cheat(ctx):  # p1 finishes the list of the active party
        original = ctx.send

        async def sending(to, message, *, scope):
            if scope.endswith("finished"):
                message = al.MaskedIds(Masked(change(message.points.value), "x"))
            await original(to, message, scope=scope)

        ctx.send = sending
        return await al.passive(ctx, POOL, minimum=1)

    with pytest.raises(ProtocolError, match=r"finished list|changed a list"):
        align(play, [POOL] * 3, programs={"p1": cheat})


# an active party that does not, against an honest passive one


def cheating_active(*, count=5, places=None, salt=b"s" * 32):
    async def program(ctx):
        await ctx.send("p0", al.Salt(Public(salt)), scope="align")
        mine = Blinder().blind_ids(POOL, b"s" * 32)
        await ctx.send("p0", al.MaskedIds(Masked(mine, "x")), scope="align/bank")
        await ctx.receive(al.MaskedTwice, from_="p0", scope="align/bank")
        await ctx.send("p0", al.JointCount(Disclosed(count, "r")), scope="align")
        trace = al.Trace(Disclosed(places, "r"))
        await ctx.send("p0", trace, scope="align/p0")

    return program


@pytest.mark.parametrize(
    "places",
    [
        np.array([0, 1, 2, 3]),
        np.array([0, 1, 2, 3, 4, 5]),
        np.array([0, 1, 2, 3, 3]),
        np.array([0, 1, 2, 3, 14]),
        np.array([0, 1, 2, 3, -1]),
        np.array([0, 1, 2, 3, 4.0]),
        np.array([[0, 1, 2, 3, 4]]),
        np.array([0, 1, 2, 3, 4], np.uint64),
    ],
    ids=["fewer", "more", "twice", "beyond", "negative", "floats", "matrix", "unsigned"],
)
def test_places_that_are_not_the_announced_number_of_own_rows_are_refused(play, places):
    with pytest.raises(ProtocolError, match="which are not 5 rows of a list of 14"):
        align(play, [POOL, POOL], programs={"bank": cheating_active(places=places)})


def test_well_formed_places_are_taken(play):
    good = cheating_active(places=np.arange(5))
    assert len(align(play, [POOL, POOL], programs={"bank": good})["p0"]) == 5


@pytest.mark.parametrize("salt", [b"", b"short", b"x" * 65])
def test_a_salt_of_another_length_is_refused(play, salt):
    bad = cheating_active(salt=salt, places=np.arange(5))
    with pytest.raises(ProtocolError, match="16 to 64"):
        align(play, [POOL, POOL], programs={"bank": bad})


def test_the_test_points_are_what_they_are_called():
    p = 2**255 - 19
    on_curve = [pow(u**3 + 486662 * u**2 + u, (p - 1) // 2, p) for u in (TWIST, 9)]
    assert on_curve == [p - 1, 1]
    assert hash_to_curve25519(POOL, b"s" * 16).shape == (14, 32)
