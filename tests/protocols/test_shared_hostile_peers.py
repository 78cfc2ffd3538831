"""Well-formed messages of the level `shared` with impossible content: refused, the peer named."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from glm import MODELS, draw, job_of
from tampering import ciphertext, field, public_key, tampering

import vfl
from vfl.context import Context
from vfl.errors import ProtocolError, VflError
from vfl.messages import Disclosed, Masked, Public

WIDTHS = [1, 2, 2, 2]
ROUTES = [
    ("bank", "shared.weights"), ("p0", "shared.products"), ("bank", "shared.residual"),
    ("p1", "shared.gradient"),
]  # fmt: skip
by_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: r[1])


@pytest.fixture
def tampered(tmp_path):
    """Runs a job in which `party` changes its message number `at` of a kind before it leaves."""
    count = itertools.count()

    def run(party, kind, change, *, at=0, crypto="mock", passives=2, family="logistic"):
        tables = draw(family, WIDTHS[: passives + 1], n=50)
        job = job_of(tables, MODELS[family](epochs=3, tolerance=0.0), crypto=crypto)
        with tampering(party, kind, change, at=at):
            return vfl.run_job(job, folder=tmp_path / f"run-{next(count)}")

    return run


BAD = {
    "other key": ciphertext(key_id="00" * 32),
    "other scheme": ciphertext(scheme="ckks"),
    "scaled": ciphertext(scale_bits=16),
    "count lies": ciphertext(count=lambda n: n + 5),
    "negative count": ciphertext(count=-1),
    "other dtype": ciphertext(body=lambda b: b.view(np.uint8).astype(np.int32)),
    "flat": ciphertext(body=lambda b: np.ascontiguousarray(b.reshape(-1)[:-1])),
    "no values": ciphertext(body=lambda b: b[:0], count=0),
    "no layout": ciphertext(layout="diagonal"),
    "no modulus": ciphertext(layout="words-"),
    "vast modulus": ciphertext(layout="words-4096"),
    "rows": ciphertext(layout="rows"),
    "other modulus": ciphertext(layout=lambda s: s[: s.index("-")] + "-64"),
    "other way": ciphertext(layout=lambda s: s.replace("words", "x").replace("masked", "words")),
}


CASES = [("mock", name) for name in BAD]
CASES += [("lattice", name) for name in ("count lies", "other dtype", "flat", "other modulus")]


@by_route
@pytest.mark.parametrize(("crypto", "name"), CASES)
def test_a_ciphertext_that_does_not_fit_is_refused(tampered, crypto, name, route):
    with pytest.raises(ProtocolError):
        tampered(*route, BAD[name], crypto=crypto)


@pytest.mark.parametrize("name", ["count lies", "flat", "vast modulus", "other modulus"])
@pytest.mark.parametrize("route", [ROUTES[0], ("p0", "shared.gradient")], ids=lambda r: r[1])
def test_paillier_refuses_them_as_well(tampered, name, route):
    with pytest.raises(ProtocolError):
        tampered(*route, BAD[name], crypto=vfl.CryptoSpec("paillier", 2048), passives=1)


@by_route
def test_a_ciphertext_of_another_length_is_refused(tampered, route):
    """Under the mock, whose bodies are rows: one less of each."""
    change = ciphertext(body=lambda b: np.ascontiguousarray(b[:-1]), count=lambda n: n - 1)
    with pytest.raises(ProtocolError):
        tampered(*route, change, passives=3)


def test_a_ciphertext_of_another_step_is_refused(tampered):
    """A Weights message where residuals belong: its length is another."""
    kept = []

    def swap(message):
        return dataclasses.replace(message, values=kept[0])

    send = Context.send

    async def sending(self, to, message, *, scope):
        if message.kind == "shared.weights":
            kept.append(message.values)
        await send(self, to, message, scope=scope)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "send", sending)
        with pytest.raises(ProtocolError):
            tampered("bank", "shared.residual", swap, at=2)


CONTRIBUTORS = [[], ["p0"], ["p1", "p0"], ["p0", "p1", "p1"], ["p0", "p1", "bank"]]


@pytest.mark.parametrize("names", CONTRIBUTORS, ids=str)
def test_a_sum_over_other_contributors_is_not_opened(tampered, names):
    with pytest.raises(ProtocolError, match=r"p0 was asked to open a sum over .*\['p0', 'p1'\]"):
        tampered("bank", "shared.weights", field(contributors=names))


NAN = float("nan")
MOVES = [
    ("advance", []), ("advance", [1.0]), ("advance", [1.0, 0.0, 0.0]), ("advance", [NAN, 0.0]),
    ("advance", [1.0, NAN]), ("advance", [0.0, 0.0]), ("advance", [1.5, 0.0]),
    ("advance", [1.0, 1.0]), ("advance", [1.0, -0.5]), ("advance", [float("inf"), 0.0]),
    ("advance", [0.001, 0.0]), ("advance", [1.0, 0.3]), ("retreat", []), ("retreat", [NAN]),
    ("retreat", [2.0]), ("retreat", [-0.5]), ("retreat", [0.5, 0.5]), ("stop", [1.0]),
    ("forward", [1.0, 0.0]), ("", []),
]  # fmt: skip


@pytest.mark.parametrize(("what", "sizes"), MOVES, ids=str)
@pytest.mark.parametrize("at", [0, 2])
def test_a_move_that_is_none_is_refused(tampered, what, sizes, at):
    def change(message):
        return dataclasses.replace(message, what=Public(what), sizes=Disclosed(sizes, "r"))

    with pytest.raises(ProtocolError, match="bank sent the move"):
        tampered("bank", "shared.move", change, at=at)


def test_a_retreat_before_any_step_is_refused(tampered):
    """There is nowhere to go back to."""

    def change(message):
        return dataclasses.replace(message, what=Public("retreat"), sizes=Disclosed([0.5], "r"))

    with pytest.raises(ProtocolError, match="bank sent the move 'retreat'"):
        tampered("bank", "shared.move", change)


OFFERS = [
    {"rows": 39}, {"rows": 0}, {"rows": -1}, {"outputs": 0}, {"outputs": -1}, {"outputs": 1 << 40},
]  # fmt: skip


@pytest.mark.parametrize("fields", OFFERS, ids=str)
def test_an_offer_of_other_rows_is_refused(tampered, fields):
    with pytest.raises(ProtocolError, match=r"bank trains on .* p0 has 40 rows"):
        tampered("bank", "shared.offer", field(**fields))


@pytest.mark.parametrize("bound", [0.0, -1.0, NAN, float("inf")])
def test_a_curvature_that_bounds_nothing_is_refused(tampered, bound):
    def change(message):
        return dataclasses.replace(message, curvature=Disclosed(bound, "r"))

    with pytest.raises(ProtocolError, match=r"bank sent the curvature"):
        tampered("bank", "shared.offer", change)


STARTS = [
    {"rounds": 0}, {"rounds": -3}, {"fits": 0}, {"fits": -1}, {"ranks": []}, {"ranks": [2]},
    {"ranks": [2, -2]}, {"ranks": [3, 2]}, {"after": -1}, {"fits": 1 << 40},
]  # fmt: skip


@pytest.mark.parametrize("fields", STARTS, ids=str)
def test_a_start_that_is_none_is_refused(tampered, fields):
    with pytest.raises(ProtocolError, match="bank"):
        tampered("bank", "shared.start", field(**fields))


@pytest.mark.parametrize("step", [1, 10**9])
def test_a_step_that_was_never_stored_cannot_be_continued_after(tampered, step):
    with pytest.raises(VflError, match="cannot read"):
        tampered("bank", "shared.start", field(after=step))


@pytest.mark.parametrize("rank", [0, -1, 41, 1 << 40])
def test_a_rank_that_no_columns_have_is_refused(tampered, rank):
    with pytest.raises(ProtocolError, match="p0"):
        tampered("p0", "shared.hello", field(rank=rank))


@pytest.mark.parametrize("rank", [1, 3])
def test_a_rank_that_is_not_ones_own_ends_in_an_error(tampered, rank):
    with pytest.raises(ProtocolError):
        tampered("p0", "shared.hello", field(rank=rank))


@pytest.mark.parametrize("key", [b"", b"key", bytes(300), b"mock-public-1:" + b"z" * 64])
@pytest.mark.parametrize("crypto", ["mock", "paillier", "lattice"])
def test_a_public_key_that_is_none_is_refused(tampered, crypto, key):
    crypto = vfl.CryptoSpec("paillier", 2048) if crypto == "paillier" else crypto
    with pytest.raises(ProtocolError):
        tampered("bank", "shared.key", public_key(key), crypto=crypto, passives=1)


@pytest.mark.parametrize("key", [b"", bytes(32), b"k" * 31])
def test_a_mask_key_that_is_none_is_refused(tampered, key):
    with pytest.raises(ProtocolError, match="p1: the public key of p0"):
        tampered("p0", "sum.key", field(key=key))


FORMS = {
    "short": lambda v: v[:-1], "long": lambda v: np.append(v, v[:1]), "matrix": lambda v: v[None],
    "floats": lambda v: v.astype(float), "wide": lambda v: v.astype(np.uint64),
    "signed": lambda v: v.astype(np.int32), "empty": lambda v: v[:0],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("passives", [1, 2])
def test_shares_of_scores_of_another_form_are_refused(tampered, name, passives):
    kind = "sole_scores" if passives == 1 else "masked_scores"

    def change(message):
        new = FORMS[name](message.values.value)
        values = Disclosed(new, "r") if passives == 1 else Masked(new, "pairwise")
        return dataclasses.replace(message, values=values)

    with pytest.raises(ProtocolError, match=r"p0 sent a share of scores.*40 of uint32"):
        tampered("p0", f"shared.{kind}", change, passives=passives)


@pytest.mark.parametrize("name", FORMS)
def test_coefficients_of_another_form_are_refused(tampered, name):
    def change(message):
        return dataclasses.replace(
            message, values=Disclosed(FORMS[name](message.values.value), "r")
        )

    with pytest.raises(ProtocolError, match="bank sent a share"):
        tampered("bank", "shared.coefficients", change)


@pytest.mark.parametrize("kind", ["shared.products", "shared.gradient"])
def test_a_message_under_another_scope_is_waited_for_in_vain(tmp_path, kind):
    """What belongs to another round never counts as this one's."""
    tables = draw("logistic", [1, 2], n=50)
    job = job_of(
        tables, vfl.LogisticRegression(epochs=3), schedule=vfl.spec.ScheduleSpec(deadline_s=0.5)
    )
    send = Context.send

    async def sending(self, to, message, *, scope):
        if message.kind == kind:
            scope = scope.replace("train/0/1", "train/0/2")
        await send(self, to, message, scope=scope)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "send", sending)
        with pytest.raises(VflError, match=r"(bank|p0) has waited .* in train/0/1"):
            vfl.run_job(job, folder=tmp_path / "run")


def test_without_the_change_the_same_jobs_run(tampered):
    for party, kind in ROUTES:
        assert tampered(party, kind, lambda m: m, crypto="lattice").result.ledger.clean
    assert tampered("p0", "shared.products", lambda m: m, family="softmax").result.ledger.clean
