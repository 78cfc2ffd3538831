"""Well-formed messages with impossible content end in a ProtocolError, never in a crash."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from tampering import ciphertext, field, public_key, tampering

import vfl
from vfl.context import Context
from vfl.errors import ProtocolError, SecurityError, VflError
from vfl.messages import Disclosed, Masked
from vfl.parties import coordinated
from vfl_crypto.lattice import LatticeScheme
from vfl_crypto.paillier import PaillierScheme


class Unclosed:
    """A key holder that survives the jobs that use it."""

    def __init__(self, holder) -> None:
        self._holder = holder

    def __getattr__(self, name):
        return getattr(self._holder, name)

    def close(self) -> None:
        pass


class OneKey:
    """A scheme whose every key is the same: key generation is not what these tests are about."""

    def __init__(self, scheme, holder) -> None:
        self._scheme = scheme
        self._holder = Unclosed(holder)
        self._encryptor = scheme.encryptor(holder.public_key)

    def generate(self):
        return self._holder

    def encryptor(self, public_key):
        if public_key == self._holder.public_key:
            return self._encryptor
        return self._scheme.encryptor(public_key)


@pytest.fixture(scope="module")
def schemes(paillier_holder):
    """Real ciphers, one key each, for all tests here."""
    lattice = LatticeScheme()
    return {
        "paillier": OneKey(PaillierScheme(key_bits=2048), paillier_holder),
        "lattice": OneKey(lattice, lattice.generate()),
    }


@pytest.fixture
def tampered(small_job, tmp_path, schemes):
    """Runs a job in which `party` changes its message number `at` of a kind before it leaves."""
    count = itertools.count()

    def run(party, kind, change, *, at=0, crypto="mock", passives=2, **options):
        options = {"model": vfl.LogisticRegression(epochs=2), "rows": 50, "features": 1} | options
        small = small_job(passives=passives, active_features=1, **options)
        with pytest.MonkeyPatch.context() as patch, tampering(party, kind, change, at=at):
            if crypto in schemes:
                patch.setattr(coordinated, "make_scheme", lambda _: schemes[crypto])
            return vfl.run_job(small.job, folder=tmp_path / f"run-{next(count)}")

    return run


BAD_CIPHERTEXTS = {
    "other key": ciphertext(key_id="00" * 32),
    "other scheme": ciphertext(scheme="ckks"),
    "vast scale": ciphertext(scale_bits=1 << 40),
    "negative scale": ciphertext(scale_bits=-1),
    "count lies": ciphertext(count=lambda n: n + 5),
    "negative count": ciphertext(count=-1),
    "other dtype": ciphertext(body=lambda b: b.astype(np.int32)),
    "flat": ciphertext(body=lambda b: np.ascontiguousarray(b.reshape(-1)[: len(b) - 1])),
    "three dimensions": ciphertext(body=lambda b: b.reshape(len(b), -1, 1)),
}
BAD_LENGTHS = {
    "fewer values": ciphertext(body=lambda b: np.ascontiguousarray(b[:-1]), count=lambda n: n - 1),
    "more values": ciphertext(body=lambda b: np.concatenate([b, b[:1]]), count=lambda n: n + 1),
    "no values": ciphertext(body=lambda b: b[:0], count=0),
}


ROUTES = [("p0", "scores"), ("bank", "residual"), ("p1", "gradient")]


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r[1])
@pytest.mark.parametrize("word", [0, 2**64 - 1])
def test_a_row_outside_the_ring_is_refused(tampered, route, word):
    party, kind = route
    change = ciphertext(body=lambda b: np.full_like(b, word))
    with pytest.raises(ProtocolError, match="not between 0 and n"):
        tampered(party, f"train.{kind}", change, crypto="paillier")


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r[1])
def test_a_layout_that_does_not_exist_is_refused(tampered, route):
    party, kind = route
    with pytest.raises(ProtocolError):
        tampered(party, f"train.{kind}", ciphertext(layout="diagonal"))


@pytest.mark.parametrize("route", ROUTES[:2], ids=lambda r: r[1])
@pytest.mark.parametrize("passives", [1, 2])
def test_sums_where_rows_belong_are_refused(tampered, route, passives):
    party, kind = route
    with pytest.raises(ProtocolError, match="where encrypted rows were expected"):
        tampered(party, f"train.{kind}", ciphertext(layout="sums"), passives=passives)


BAD = BAD_CIPHERTEXTS | BAD_LENGTHS
CASES = [("mock", name) for name in BAD]
CASES += [("paillier", name) for name in ("vast scale", "count lies", "flat", "more values")]
CASES += [("lattice", name) for name in BAD]


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r[1])
@pytest.mark.parametrize(("crypto", "name"), CASES)
def test_a_ciphertext_that_does_not_fit_is_refused(tampered, crypto, name, route):
    party, kind = route
    change = BAD[name]
    # the first gradient tells the arbiter how many columns a party has: change the second
    at = 1 if kind == "gradient" else 0
    with pytest.raises(ProtocolError):
        tampered(party, f"train.{kind}", change, at=at, crypto=crypto)


def step(change):
    return lambda m: dataclasses.replace(m, values=Disclosed(change(m.values.value), "r"))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v[:0], lambda v: np.append(v, 1.0), lambda v: v[None], lambda v: v * np.nan,
        lambda v: v + np.inf, lambda v: v.view(np.uint64), lambda v: np.rint(v).astype(np.int32),
    ],
    ids=["empty", "longer", "matrix", "nan", "infinite", "unsigned", "integers"],
)  # fmt: skip
def test_a_step_that_is_no_step_is_refused(tampered, change):
    with pytest.raises(ProtocolError, match="step"):
        tampered("arbiter", "train.step", step(change), at=1)


@pytest.mark.parametrize(
    "rows", [[], [0], [-40], [20, 20], [41], [40, 0]],
    ids=["none", "zero", "negative", "two", "one more", "empty batch"],
)  # fmt: skip
def test_batches_that_are_not_the_own_ones_are_refused(tampered, rows):
    with pytest.raises(ProtocolError, match="batches of"):
        tampered("bank", "train.start", field(batch_rows=rows))


@pytest.mark.parametrize("rows", [[], [0], [-40], [40, 0]])
def test_the_arbiter_refuses_batches_without_rows(tampered, rows):
    with pytest.raises(ProtocolError, match="announced batches"):
        tampered("bank", "train.start", field(batch_rows=rows), at=2)  # p0, p1, arbiter


@pytest.mark.parametrize("key", [b"", b"key", bytes(300), b"mock-public-1:" + b"z" * 64])
@pytest.mark.parametrize("crypto", ["mock", "paillier", "lattice"])
def test_a_public_key_that_is_none_is_refused(tampered, crypto, key):
    with pytest.raises(ProtocolError):
        tampered("arbiter", "train.key", public_key(key), at=1, crypto=crypto)


def test_a_public_key_below_the_floor_is_refused(tampered, paillier_holder):
    """An n of 1024 bits in the form of a key: somebody else could read what it encrypts."""
    good = paillier_holder.public_key

    def shorten(message):
        from vfl_crypto.paillier.keys import PublicKey

        n = PublicKey.from_bytes(good).n
        weak = object.__new__(PublicKey)
        object.__setattr__(weak, "n", (n >> 1024) | 1)
        object.__setattr__(weak, "h_s", None)
        return public_key(weak.to_bytes())(message)

    with pytest.raises(SecurityError, match="2048"):
        tampered("arbiter", "train.key", shorten, crypto="paillier")


@pytest.mark.parametrize("epoch", [1, -1, 10**9])
def test_an_epoch_that_was_never_stored_cannot_be_continued_after(tampered, epoch):
    with pytest.raises(VflError, match="cannot read"):
        tampered("bank", "train.start", field(epoch=epoch))


@pytest.mark.parametrize(
    "change",
    [lambda v: v[:-1], lambda v: np.append(v, v[:1]), lambda v: v[None], lambda v: v.astype(float)],
    ids=["short", "long", "matrix", "floats"],
)
@pytest.mark.parametrize("cheats", [{"p1"}, {"p0", "p1"}], ids=["one", "all"])
def test_masked_scores_of_another_form_are_refused(tampered, monkeypatch, change, cheats):
    send = Context.send

    async def sending(self, to, message, *, scope):
        if message.kind == "score.masked" and self.name in cheats:
            changed = Masked(change(message.values.value), "pairwise")
            message = dataclasses.replace(message, values=changed)
        await send(self, to, message, scope=scope)

    monkeypatch.setattr(Context, "send", sending)
    with pytest.raises(ProtocolError, match="bank"):
        tampered("p1", "score.masked", lambda m: m)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v[:-1], lambda v: v[None], lambda v: v * np.nan, lambda v: v[:0],
        lambda v: v.view(np.uint64),
    ],
    ids=["short", "matrix", "nan", "empty", "unsigned"],
)  # fmt: skip
def test_sole_scores_of_another_form_are_refused(tampered, change):
    with pytest.raises(ProtocolError, match="bank needs 10 scores"):
        tampered("p0", "score.sole", step(change), passives=1)


@pytest.mark.parametrize("key", [b"", bytes(32), b"k" * 31])
def test_a_mask_key_that_is_none_is_refused(tampered, key):
    with pytest.raises(ProtocolError, match="p1: the public key of p0"):
        tampered("p0", "sum.key", field(key=key))


def test_without_the_change_the_same_jobs_run(tampered):
    for party, kind, crypto in (
        ("arbiter", "train.step", "mock"), ("bank", "train.start", "mock"),
        ("p0", "score.masked", "mock"), ("p1", "train.gradient", "paillier"),
        ("p1", "train.gradient", "lattice"),
    ):  # fmt: skip
        assert tampered(party, kind, lambda m: m, crypto=crypto).result.ledger.clean
