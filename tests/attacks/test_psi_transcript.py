"""What a passive party can make of everything that alignment sends it.

In the ring of three it must not learn which of its ids only one other party has. The attacker
keeps every list that reaches it, raises each to its own secret, and compares all it has.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vfl.context import Roster
from vfl.messages import unpack
from vfl.protocols import alignment as al
from vfl.protocols import alignment_messages, alignment_ring
from vfl_crypto.psi import Blinder

RING = Roster("bank", ("p0", "p1"))
ALL = [b"everybody-%d" % n for n in range(12)]
BANK_P0 = [b"bank and p0-%d" % n for n in range(5)]
BANK_P1 = [b"bank and p1-%d" % n for n in range(4)]
P0_P1 = [b"p0 and p1-%d" % n for n in range(6)]
OWN = {
    name: [b"%s alone-%d" % (name.encode(), n) for n in range(3)] for name in ("bank", "p0", "p1")
}
TABLES = {
    "bank": ALL + BANK_P0 + BANK_P1 + OWN["bank"],
    "p0": ALL + BANK_P0 + P0_P1 + OWN["p0"],
    "p1": ALL + BANK_P1 + P0_P1 + OWN["p1"],
}


@pytest.fixture
def session(play, tap, monkeypatch):
    """Align once: (rows, what each party received, each party's secret)."""

    def run(tables=TABLES, roster=RING):
        blinders = {}
        make = al.raise_own

        async def watched(ctx, blinder, *rest):
            blinders[ctx.name] = blinder
            return await make(ctx, blinder, *rest)

        with monkeypatch.context() as patch:
            for module in (al, alignment_ring):
                patch.setattr(module, "raise_own", watched)
            tap.frames.clear()
            programs = {
                name: (lambda ctx, ids=ids: al.passive(ctx, ids, minimum=1))
                for name, ids in tables.items()
            }
            bank = tables["bank"]
            programs["bank"] = lambda ctx: al.active(ctx, bank, seed=0, minimum=1)
            rows = play(roster, programs).results
        received = {
            name: [unpack(np.frombuffer(f, np.uint8))[:2] for f in tap.received_by(name)]
            for name in tables
        }
        return rows, received, blinders

    return run


def lists(received) -> dict[str, np.ndarray]:
    """Scope -> masked ids, of all lists a party was sent."""
    kinds = ("align.ids", "align.ids_twice")
    return {e.scope: m.points.value for m, e in received if e.kind in kinds}


def traces(received) -> dict[str, np.ndarray]:
    return {e.scope: m.places.value for m, e in received if e.kind == "align.trace"}


def as_set(points) -> set[bytes]:
    return {bytes(row) for row in points}


def reachable(blinder: Blinder, own: np.ndarray, foreign: dict[str, np.ndarray]):
    """Owner -> every form of that owner's points that the party has or can make."""
    forms = {"itself": as_set(own) | as_set(blinder.blind(own))}
    for scope, points in foreign.items():
        owner = scope.split("/")[1]
        raised = as_set(points) | as_set(blinder.blind(points))
        forms[owner] = forms.get(owner, set()) | raised
    return forms


def own_list(tap, name) -> np.ndarray:
    frame = next(
        f
        for sender, _, f in tap.frames
        if sender == name and f"align/{name}".encode() in f and b"align.ids" in f
    )
    return unpack(np.frombuffer(frame, np.uint8))[0].points.value


@pytest.mark.parametrize("attacker", ["p0", "p1"])
def test_a_passive_party_of_the_ring_cannot_match_any_two_lists(session, tap, attacker):
    _, received, blinders = session()
    found = reachable(blinders[attacker], own_list(tap, attacker), lists(received[attacker]))
    assert set(found) == {"itself", *TABLES} - {attacker}
    for left, right in itertools.combinations(found.values(), 2):
        assert not left & right


def test_the_same_comparison_finds_matches_once_a_second_secret_is_known(session, tap):
    """Protection off: p0 borrows the others' secrets, and its ids that only p1 shares are found."""
    rows, received, blinders = session()
    own = own_list(tap, "p0")
    for name in ("p0", "p1", "bank"):
        own = blinders[name].blind(own) if name != "p0" else own
    (of_p1,) = (p for s, p in lists(received["p0"]).items() if s.startswith("align/p1"))
    full = as_set(blinders["p0"].blind(of_p1))
    assert len(as_set(own) & full) == len(ALL) + len(P0_P1)
    assert len(rows["p0"]) == len(ALL)


@pytest.mark.parametrize("attacker", ["p0", "p1"])
def test_a_passive_party_sees_places_of_joint_rows_only(session, attacker):
    rows, received, _ = session()
    places = traces(received[attacker])
    assert set(places) == {"align/bank", "align/p0", "align/p1"}
    assert all(len(set(p.tolist())) == len(ALL) for p in places.values())
    found = {TABLES[attacker][row] for row in rows[attacker]}
    assert found == set(ALL)


@pytest.mark.parametrize("attacker", ["p0", "p1"])
def test_a_world_without_pairwise_overlaps_looks_the_same_to_a_passive_party(session, attacker):
    """Same sizes and joint rows, but what p0 and p1 share or not: the shape of all is the same."""

    def shape(received):
        return sorted(
            (e.kind, e.sender, e.scope, [(f.name, f.count) for f in e.fields]) for _, e in received
        )

    strangers = [b"somebody else-%d" % n for n in range(len(P0_P1))]
    other = TABLES | {"p1": ALL + BANK_P1 + strangers + OWN["p1"]}
    _, one, _ = session()
    _, two, _ = session(other)
    assert shape(one[attacker]) == shape(two[attacker])
    # the active party does see the number, and that is declared
    assert any(
        d.to == "active" and "how many ids each group of tables shares" in d.what
        for d in alignment_messages.DECLARATION.disclosures
    )


def test_the_active_party_sees_how_many_each_two_share_but_not_at_which_place(session):
    _, received, blinders = session()
    finished = {s.split("/")[1]: p for s, p in lists(received["bank"]).items() if "finished" in s}
    hop = {s: p for s, p in lists(received["bank"]).items() if "finished" not in s}
    assert (set(finished) == {"bank", "p1"} and list(hop) == ["align/p0/2", "align/p1/1"]) or (
        set(hop) == {"align/p0/2", "align/p1/1"}
    )
    full = {"p0": blinders["bank"].blind(hop["align/p0/2"]), **finished}
    share = {
        frozenset(pair): len(as_set(full[pair[0]]) & as_set(full[pair[1]]))
        for pair in itertools.combinations(full, 2)
    }
    assert share == {
        frozenset({"bank", "p0"}): len(ALL) + len(BANK_P0),
        frozenset({"bank", "p1"}): len(ALL) + len(BANK_P1),
        frozenset({"p0", "p1"}): len(ALL) + len(P0_P1),
    }


def test_the_own_list_comes_back_to_the_active_party_in_another_order(session, monkeypatch):
    """Places of its pairwise overlaps would be ids, were its list not shuffled by the others."""

    def own_order(blinders, received, rows):
        finished = next(p for s, p in lists(received["bank"]).items() if s == "align/bank/finished")
        salt = next(m.salt.value for m, e in received["p0"] if e.kind == "align.salt")
        points = blinders["bank"].blind_ids(TABLES["bank"], salt)
        for other in ("p0", "p1"):
            points = blinders[other].blind(points)
        assert as_set(points) == as_set(finished)
        return [bytes(p) for p in points] == [bytes(p) for p in finished]

    rows, received, blinders = session()
    assert not own_order(blinders, received, rows)
    monkeypatch.setattr(alignment_ring, "shuffled", np.arange)  # protection off
    rows, received, blinders = session()
    assert own_order(blinders, received, rows)


def test_two_parties_lists_show_nothing_to_the_passive_one(session, tap):
    tables = {"bank": TABLES["bank"], "p0": TABLES["p0"]}
    rows, received, blinders = session(tables, Roster("bank", ("p0",)))
    found = reachable(blinders["p0"], own_list(tap, "p0"), lists(received["p0"]))
    assert not found["itself"] & found["bank"]
    assert len(rows["p0"]) == len(ALL) + len(BANK_P0)  # what it is told in the end, and no more
    (places,) = traces(received["p0"]).values()
    assert len(places) == len(rows["p0"])


@pytest.mark.parametrize("count", [2, 3])
def test_the_lists_of_two_sessions_share_no_point_and_no_salt(session, count):
    tables = dict(list(TABLES.items())[:count])
    roster = Roster("bank", ("p0", "p1")[: count - 1])
    seen, salts = [], []
    for _ in range(2):
        _, received, _ = session(tables, roster)
        seen.append(set().union(*(as_set(p) for r in received.values() for p in lists(r).values())))
        salts.append(next(m.salt.value for m, e in received["p0"] if e.kind == "align.salt"))
    assert len(seen[0]) > 60
    assert not seen[0] & seen[1]
    assert salts[0] != salts[1] and len(salts[0]) == 32


def test_nothing_of_an_id_is_on_the_wire(session, tap):
    session()
    assert not any(i in tap.everything for ids in TABLES.values() for i in ids)
