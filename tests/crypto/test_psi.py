"""Private set intersection: right joins, refused points, and what a masked list shows."""

import copy
import hashlib
import pickle
import random
import secrets
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from vfl_crypto import _native
from vfl_crypto.errors import AlignmentError
from vfl_crypto.psi import Blinder, hash_to_curve25519, match, shuffled

P = 2**255 - 19
SALT = bytes(range(32))


def point(u):
    return np.frombuffer(u.to_bytes(32, "little"), dtype=np.uint8)


def id_list(numbers):
    return [b"%d" % n for n in numbers]


def rows(points):
    return {p.tobytes() for p in points}


# -- the protocol, written out -------------------------------------------------------------------


def two_party_rows(ids_a, ids_p):
    """Positions in A's and P's lists of the joint ids, each computed where the protocol does."""
    salt = secrets.token_bytes(32)
    a, p = Blinder(), Blinder()
    order_a, order_p = shuffled(len(ids_a)), shuffled(len(ids_p))
    sent_a = a.blind_ids(ids_a, salt)[order_a]
    sent_p = p.blind_ids(ids_p, salt)[order_p]
    found = match(p.blind(sent_a), [a.blind(sent_p)])
    return order_a[found.positions[0]], order_p[found.positions[1]], found


def chain_rows(lists):
    """Every list goes through every party; joint positions are led back through the shuffles."""
    salt = secrets.token_bytes(32)
    parties = [Blinder() for _ in lists]
    finished, orders = [], []
    for owner, ids in enumerate(lists):
        points = parties[owner].blind_ids(ids, salt)
        trail = [shuffled(len(ids))]
        points = points[trail[0]]
        for step in range(1, len(parties)):
            trail.append(shuffled(len(ids)))
            points = parties[(owner + step) % len(parties)].blind(points)[trail[-1]]
        finished.append(points)
        orders.append(trail)
    found = match(finished[0], finished[1:])
    positions = []
    for joint, trail in zip(found.positions, orders, strict=True):
        positions.append(reduce(lambda at, order: order[at], reversed(trail), joint))
    return positions, found


ID_SETS = st.sets(st.integers(0, 60), max_size=40)


@settings(max_examples=40)
@given(ID_SETS, ID_SETS, st.randoms(use_true_random=False))
def test_two_parties_find_what_python_sets_find(a, b, rnd):
    ids_a, ids_b = id_list(a), id_list(b)
    rnd.shuffle(ids_a)
    at_a, at_b, found = two_party_rows(ids_a, ids_b)
    joint = [ids_a[i] for i in at_a]
    assert joint == [ids_b[i] for i in at_b]
    assert len(joint) == len(found)
    assert set(joint) == set(ids_a) & set(ids_b)
    assert found.overlaps.tolist() == [[len(a), len(a & b)], [len(a & b), len(b)]]


@settings(max_examples=25)
@given(st.lists(ID_SETS, min_size=3, max_size=4))
def test_three_and_four_parties_find_what_python_sets_find(sets):
    lists = [id_list(s) for s in sets]
    positions, found = chain_rows(lists)
    joint = [[ids[i] for i in at] for ids, at in zip(lists, positions, strict=True)]
    assert all(j == joint[0] for j in joint)
    assert set(joint[0]) == set.intersection(*map(set, lists))
    assert found.overlaps.tolist() == [[len(s & t) for t in sets] for s in sets]


def test_a_list_that_holds_an_id_twice_is_refused_by_count():
    masked = Blinder().blind_ids(id_list([1, 2, 3, 2, 3]), SALT)
    with pytest.raises(AlignmentError, match="2 of 5 entries of the own list"):
        match(masked, [masked[:3]])
    with pytest.raises(AlignmentError, match="2 of 5 entries of list 1"):
        match(masked[:3], [masked])


def test_points_that_differ_in_trailing_zero_bytes_alone_do_not_match():
    first, second = np.zeros((2, 1, 32), dtype=np.uint8)
    first[0, :3] = 1, 2, 3
    second[0, :4] = 1, 2, 3, 1
    assert len(match(first, [second])) == 0
    assert len(match(first, [first])) == 1


# -- hashing to the curve ------------------------------------------------------------------------


def test_hashed_ids_are_always_on_the_curve():
    points = hash_to_curve25519(id_list(range(2000)), SALT)
    assert points.shape == (2000, 32)
    for p in points[:200]:
        u = int.from_bytes(p.tobytes(), "little")
        assert u < P and pow(u**3 + 486662 * u * u + u, (P - 1) // 2, P) == 1
    assert _native.curve25519_on_curve(points).all()


def test_the_hash_is_the_first_counter_whose_digest_is_on_the_curve():
    def by_hand(one):
        for counter in range(200):
            state = hashlib.blake2b(key=SALT, digest_size=32, person=b"vfl psi u25519")
            state.update(counter.to_bytes(4, "little") + one)
            u = int.from_bytes(state.digest(), "little") % 2**255
            if u < P and pow(u**3 + 486662 * u * u + u, (P - 1) // 2, P) == 1:
                return u.to_bytes(32, "little")
        raise AssertionError

    ids = [*id_list(range(60)), b"", "Zoë".encode(), bytes(300)]
    assert [p.tobytes() for p in hash_to_curve25519(ids, SALT, threads=2)] == list(
        map(by_hand, ids)
    )


def first_digests(ids, salt):
    """The hash with the test for the curve left out."""
    digests = [
        hashlib.blake2b(bytes(4) + one, key=salt, digest_size=32, person=b"vfl psi u25519").digest()
        for one in ids
    ]
    points = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32).copy()
    points[:, 31] &= 0x7F
    return points


def guesses_ruled_out(hashed, masked, hashed_guesses):
    """Share of guesses that the curve-or-twist bit of a masked id tells apart from it."""
    assert len(hashed) == len(masked)
    seen = _native.curve25519_on_curve(masked)
    guessed = _native.curve25519_on_curve(hashed_guesses)
    return float((seen[:, None] != guessed[None, :]).mean())


def test_without_rejection_a_masked_id_rules_out_half_of_all_guesses_and_with_it_none():
    ids, guesses = id_list(range(400)), id_list(range(1000, 1400))
    scalar = secrets.token_bytes(32)

    bare = first_digests(ids, SALT)
    share = guesses_ruled_out(
        bare, _native.x25519_batch(scalar, bare), first_digests(guesses, SALT)
    )
    assert 0.4 < share < 0.6  # the attack works: one bit an id
    # and it is never wrong about the true id
    assert (
        _native.curve25519_on_curve(_native.x25519_batch(scalar, bare))
        == _native.curve25519_on_curve(bare)
    ).all()

    masked = Blinder().blind_ids(ids, SALT)
    hashed = hash_to_curve25519(ids, SALT)
    assert guesses_ruled_out(hashed, masked, hash_to_curve25519(guesses, SALT)) == 0.0


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_salt_of_the_wrong_length_is_refused(length):
    with pytest.raises(AlignmentError, match=f"{length} bytes"):
        Blinder().blind_ids([b"1"], bytes(length))


# -- what a peer may send ------------------------------------------------------------------------

ORDER_8 = [
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]
LOW_ORDER = [0, 1, *ORDER_8, P - 1]  # modulo p: the curve's, and one more of the twist


def encodings(u):
    """All 32-byte strings that some reading takes for u: modulo p, or without the top bit."""
    return {v for v in (u, u + P, u + 2 * P, u + 2**255, u + P + 2**255) if v < 2**256}


@pytest.mark.parametrize("u", sorted(set().union(*map(encodings, LOW_ORDER))))
def test_every_point_of_low_order_is_refused_in_every_encoding(u):
    good = hash_to_curve25519(id_list(range(4)), SALT)
    with pytest.raises(AlignmentError, match="1 of 5 points"):
        Blinder().blind(np.vstack([good, point(u)]))


@pytest.mark.parametrize("u", LOW_ORDER)
def test_a_point_of_low_order_would_show_whatever_the_scalar(u):
    assert not _native.x25519_batch(secrets.token_bytes(32), point(u)[None]).any()


def test_points_on_the_twist_are_refused_by_count():
    twist = [u for u in range(2, 40) if pow(u**3 + 486662 * u * u + u, (P - 1) // 2, P) == P - 1]
    good = hash_to_curve25519(id_list(range(10)), SALT)
    points = np.vstack([good, *(point(u)[None] for u in twist[:3])])
    with pytest.raises(AlignmentError, match="3 of 13 points from the peer are not on Curve25519"):
        Blinder().blind(points)
    assert Blinder().blind(good).shape == (10, 32)


def test_a_second_encoding_of_a_good_point_is_refused():
    small = next(  # P + u still fits 255 bits for u < 19
        u for u in range(2, 19) if pow(u**3 + 486662 * u * u + u, (P - 1) // 2, P) == 1
    )
    assert Blinder().blind(point(small)[None]).any()
    for again in (small + P, small + 2**255):
        with pytest.raises(AlignmentError, match="1 of 1 points"):
            Blinder().blind(point(again)[None])


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((3, 31), np.uint8),
        np.zeros(32, np.uint8),
        np.zeros((3, 32), np.int8),
        [bytes(32)],
    ],
)
def test_arrays_of_another_shape_or_dtype_are_refused(points):
    with pytest.raises(AlignmentError, match="masked list"):
        Blinder().blind(points)


def test_a_strided_list_is_raised_like_its_copy():
    points = hash_to_curve25519(id_list(range(20)), SALT)
    party = Blinder()
    assert (party.blind(points[::2]) == party.blind(points[::2].copy())).all()


# -- what stays secret ---------------------------------------------------------------------------


def test_lists_of_two_sessions_share_no_bytes():
    ids = id_list(range(300))
    party = Blinder()
    first = rows(party.blind_ids(ids, SALT))
    assert len(first) == 300
    assert first == rows(party.blind_ids(ids, SALT))  # one session: equal, that is the point
    assert not first & rows(Blinder().blind_ids(ids, SALT))  # a new scalar
    assert not first & rows(party.blind_ids(ids, SALT[::-1]))  # a new salt


def test_a_blinder_is_not_printed_pickled_or_copied():
    party = Blinder()
    assert party._scalar.hex() not in repr(party) and str(party._scalar) not in repr(party)
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            leave(party)


def test_a_shuffle_is_a_permutation_and_all_of_them_are_equally_likely():
    assert sorted(shuffled(1000).tolist()) == list(range(1000))
    assert len(shuffled(0)) == 0
    counts = {}
    for _ in range(6000):
        key = tuple(shuffled(3).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 1e-9


def test_progress_counts_up_to_the_whole():
    seen = []
    ids = id_list(range(5000))
    random.Random(1).shuffle(ids)
    Blinder().blind_ids(ids, SALT, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4096, 5000), (5000, 5000)]
