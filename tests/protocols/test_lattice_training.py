"""Training on the lattice: the weights of the clear, whatever keys and batches do."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

import vfl
from vfl.errors import DataError, SecurityError
from vfl.parties import coordinated
from vfl.parties.base import StoredModel
from vfl.protocols.guards import check_gradient_leak
from vfl.schemes import make_scheme, matrix_bits
from vfl.spec import CryptoSpec
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.lattice import LatticeScheme
from vfl_crypto.lattice.product import Tiles

# The matrix keeps 10 fraction bits: an error of at most 2^-11 an entry, as good as random, in means
# over a hundred rows or more; and a step of Adam may magnify a small gradient's error. No key shows
# in it: for these tables it is one number, at most 1.3e-4.
WEIGHT, AUC = 2e-4, 1e-4


def weights_of(run) -> dict[str, np.ndarray]:
    found = {}
    for path in run.folder.glob("*/model.json"):
        stored = msgspec.json.decode(path.read_bytes(), type=StoredModel)
        found[stored.party] = np.array([*stored.weights, stored.intercept])[:, 0]
    return found


def apart(one, other) -> float:
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    return max(np.abs(ours[party] - theirs[party]).max() for party in ours)


def in_the_clear(small, folder):
    return vfl.run_job(msgspec.structs.replace(small.job, crypto="mock"), folder=folder)


@pytest.fixture
def openings(monkeypatch):
    """Schemes whose keys open only so many values; the key holders that were made."""
    holders = []

    def limit(count=None):
        class Small(LatticeScheme):
            def generate(self):
                holder = super().generate()
                if count:
                    holder._door.budget = count
                holders.append(holder)
                return holder

        monkeypatch.setattr(coordinated, "make_scheme", lambda _: Small())
        return holders

    return limit


@pytest.mark.parametrize("passives", [1, 2])
@pytest.mark.parametrize("model", [vfl.LogisticRegression, vfl.LinearRegression])
def test_the_lattice_gives_the_mocks_weights_and_metrics(small_job, tmp_path, passives, model):
    small = small_job(passives=passives, model=model(epochs=6), crypto="lattice", rows=700)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    clear = in_the_clear(small, tmp_path / "clear")
    assert run.result.cipher.startswith("lattice, N = 8192") and run.result.security_bits == 128
    assert run.ledger.clean
    assert apart(run, clear) < WEIGHT
    metric = "auc" if model is vfl.LogisticRegression else "r2"
    assert run.metrics[metric] == pytest.approx(clear.metrics[metric], abs=AUC)


def test_a_batch_beyond_one_ciphertext_gives_the_mocks_weights(small_job, tmp_path):
    model = vfl.LogisticRegression(epochs=2)
    small = small_job(model=model, crypto="lattice", rows=9_300, strangers=0, test_fraction=0.1)
    run = vfl.run_job(small.job, folder=tmp_path / "run")
    clear = in_the_clear(small, tmp_path / "clear")
    assert apart(run, clear) < WEIGHT
    assert run.metrics["auc"] == pytest.approx(clear.metrics["auc"], abs=AUC)


def test_a_used_up_key_is_replaced_without_a_trace_in_the_weights(small_job, tmp_path, openings):
    small = small_job(passives=2, model=vfl.LogisticRegression(epochs=5), crypto="lattice")
    whole = vfl.run_job(small.job, folder=tmp_path / "whole")
    holders = openings(20)  # 10 columns with the intercept: good for two epochs
    rotated = vfl.run_job(small.job, folder=tmp_path / "rotated")
    assert apart(rotated, whole) == 0.0  # sums are exact: no key shows
    assert len(holders) == 3 and all(holder._secret is None for holder in holders)
    assert [holder.openings_left for holder in holders] == [0, 0, 10]
    ledger = (tmp_path / "rotated" / "p0" / "ledger.jsonl").read_text().splitlines()
    kinds = Counter(msgspec.json.decode(line)["kind"] for line in ledger)
    assert kinds["train.key"] == 3 and rotated.ledger.clean
    assert rotated.ledger.keys == pytest.approx(3 * whole.ledger.keys, rel=1e-3)


def test_an_epoch_that_no_key_lasts_for_is_refused(small_job, tmp_path, openings):
    small = small_job(passives=2, crypto="lattice")
    openings(9)
    with pytest.raises(SecurityError, match=r"10 more opened values .* allows 9.*batch_size"):
        vfl.run_job(small.job, folder=tmp_path / "run")


@pytest.mark.parametrize("reshuffle", [False, True])
def test_fixed_batches_are_prepared_once_for_all_epochs_and_keys(
    small_job, tmp_path, monkeypatch, openings, reshuffle
):
    prepared = Counter()
    work = Tiles._transformed

    def counted(self, start, stop):
        prepared[self] += 1
        return work(self, start, stop)

    monkeypatch.setattr(Tiles, "_transformed", counted)
    model = vfl.LogisticRegression(epochs=4, batch_size=30, reshuffle=reshuffle)
    small = small_job(model=model, crypto="lattice", accept_gradient_leak=True)
    holders = openings(48)  # 3 batches of 6 columns an epoch: two epochs
    vfl.run_job(small.job, folder=tmp_path / "run")
    assert len(holders) == 2
    assert len(prepared) == sum(prepared.values()) == 2 * 3 * (4 if reshuffle else 1)


def test_auto_trains_on_the_lattice(small_job, tmp_path):
    run = vfl.run_job(small_job(crypto="auto").job, folder=tmp_path / "run")
    assert run.result.cipher.startswith("lattice")


def test_scores_that_grow_out_of_range_say_what_to_lower_and_what_holds_more(small_job, tmp_path):
    model = vfl.LogisticRegression(optimizer="sgd", learning_rate=1000.0, epochs=2)
    small = small_job(model=model, crypto="lattice", rows=60, features=1)
    with pytest.raises(DataError, match=r"2\^6 .*lower model\.learning_rate.*crypto: paillier"):
        vfl.run_job(small.job, folder=tmp_path / "run")
    paillier = msgspec.structs.replace(small.job, crypto=CryptoSpec("paillier", 2048))
    assert vfl.run_job(paillier, folder=tmp_path / "paillier").result.epochs == 2


def test_a_label_beyond_the_range_is_refused_before_anything_of_it_is_sent(
    small_job, tmp_path, tap
):
    """One label of 78 standard deviations: the first residual is out of range."""
    small = small_job(model=vfl.LinearRegression(), crypto="lattice", rows=6200, strangers=0)
    tables = small.tables
    tables.label = dict.fromkeys(tables.label, 0.0)
    tables.label[min(tables.label)] = 1.0
    small = small_job(
        model=vfl.LinearRegression(), crypto="lattice", tables=tables, test_fraction=0.0
    )
    with pytest.raises(DataError, match=r"bank: .*1 of 6200 .*2\^6.*crypto: paillier"):
        vfl.run_job(small.job, folder=tmp_path / "run")
    assert b"train.residual" not in tap.everything


def test_a_batch_too_long_for_the_range_says_what_to_lower(small_job, tmp_path, monkeypatch):
    """With vectors of 40 fraction bits, that is any batch."""
    fine = LatticeScheme(data=FixedPoint(6, 40))
    monkeypatch.setattr(coordinated, "make_scheme", lambda _: fine)
    with pytest.raises(DataError, match=r"sums over \d+ rows .*smaller model\.batch_size"):
        vfl.run_job(small_job(crypto="lattice").job, folder=tmp_path / "run")


# What a gradient is computed from is the matrix as the cipher keeps it.


def test_the_guard_looks_at_the_columns_as_the_cipher_keeps_them():
    """A row of 0.008 among a thousand of 0.0004 has leverage 0.28, and 1 where those become 0."""
    X = np.full((1000, 1), 4e-4)
    X[17] = 8e-3
    bits = {scheme: matrix_bits(CryptoSpec(scheme)) for scheme in ("lattice", "paillier")}
    assert bits == {"lattice": 10, "paillier": 16}
    batch, options = [slice(0, 1000)], {"reshuffled": False, "accepted": False}
    check_gradient_leak("shop", X, batch, matrix_bits=bits["paillier"], **options)
    with pytest.raises(SecurityError, match="1 of 1000 rows"):
        check_gradient_leak("shop", X, batch, matrix_bits=bits["lattice"], **options)


@pytest.mark.parametrize(("crypto", "size"), [("lattice", 0.05), ("mock", 0.0008)])
def test_columns_that_would_be_all_rounding_are_refused(small_job, tmp_path, crypto, size):
    small = small_job(crypto=crypto)
    columns = small.tables.columns["p0"]

    def run(size):
        columns[:] = size * (columns - columns.mean(axis=0)) / columns.std(axis=0)
        again = small_job(crypto=crypto, tables=small.tables)
        parties = [
            msgspec.structs.replace(p, scale="none") if p.name == "p0" else p
            for p in again.job.parties
        ]
        job = msgspec.structs.replace(again.job, parties=parties)
        return vfl.run_job(job, folder=again.folder / "run")

    with pytest.raises(DataError, match=r"p0: the values of .* are too small"):
        run(size)
    assert run(2 * size).result.epochs == 3


def test_the_schemes_agree_with_their_matrix_bits():
    """A product's scale is the vector's and the matrix's fraction bits together."""
    for crypto in (CryptoSpec("lattice"), CryptoSpec("paillier", 2048)):
        holder = make_scheme(crypto).generate()
        rows = holder.encryptor.encrypt(np.ones(3))
        product = holder.encryptor.rmatmul(np.ones((3, 1)), rows)
        assert product.scale_bits - rows.scale_bits == matrix_bits(crypto)
