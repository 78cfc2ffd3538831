"""`vfl plan` at the level `open`: bytes against the ledgers of real runs, epochs, warnings."""

from __future__ import annotations

import pytest

from planned import bytes_of_run, check_bytes
from test_planner_shared import FREE, SMALL, job, shaped
from vfl.api import run_job
from vfl.planner.ciphers import Key
from vfl.planner.plan import HERE, plan
from vfl.planner.protocols import PROTOCOLS
from vfl.planner.units import FAR, STATED
from vfl.spec import CryptoSpec
from vfl_crypto.oracles.mock import MockScheme

OPEN = {"security": "open", "accept_gradient_leak": True} | FREE


def predicted(made, link=HERE):
    forecast = PROTOCOLS["open"].forecast
    return forecast(shaped(made), made.cipher, STATED, link, ray=False)


@pytest.mark.parametrize(
    "made",
    [
        job(model={"epochs": 11}, **OPEN),
        job(model={"epochs": 1}, **OPEN),
        job(columns=(2, 5, 3), crypto="lattice", model={"epochs": 2, "batch_size": 100}, **OPEN),
        job(120, (2, 5), SMALL, model={"epochs": 2}, **OPEN),
        job(700, (0, 5, 2), model={"epochs": 12, "batch_size": 50}, **OPEN),
        job(classes=3, columns=(2, 12, 4), crypto="lattice", model={"epochs": 2}, **OPEN),
        job(1400, (2, 12), security="open", test_fraction=0.0),
    ],
    ids=[
        "mock", "one epoch", "lattice, batches", "paillier", "many batches", "lattice, classes",
        "by default",
    ],
)  # fmt: skip
def test_bytes_are_those_of_the_ledger_of_a_real_run(made, tmp_path):
    told = predicted(made)
    check_bytes(told, run_job(made, folder=tmp_path / "run"), "open.key")


def nine(_self, _shapes, _dropped_bits):
    return Key(78, 0.0, 0.0, 0.0, 9, 0)


def test_keys_are_as_many_as_a_real_run_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(MockScheme.__init__, "__defaults__", (9,))
    monkeypatch.setattr("vfl.planner.share_costs.Mock.key", nine)
    made = job(columns=(2, 4), model={"epochs": 12}, **OPEN)
    run_job(made, folder=tmp_path / "run")
    sent, _ = bytes_of_run(tmp_path / "run")
    told = predicted(made)
    assert told.keys == 6
    assert told.key_bytes == sent["bank", "open.key"]


def test_a_plan_says_what_is_refused(tmp_path):
    told = plan(job(300, (2, 30), security="open", model={"epochs": 20}), seconds=0.1)
    refused = {one.about for one in told.warnings if one.refused}
    assert refused == {"columns", "scores"}
    assert any("its own gradient" in what for what in told.learns["passive"])


def test_a_slow_link_costs_its_latency_three_times_a_batch():
    made = job(columns=(2, 5), model={"epochs": 3, "batch_size": 40}, **OPEN)
    assert predicted(made, FAR).total_s > predicted(made).total_s + 3 * 6 * 3 * FAR.latency


@pytest.mark.parametrize("name", ["lattice", "paillier"])
def test_auto_is_one_of_the_ciphers_of_shares(name):
    made = job(columns=(2, 5), crypto="auto", security="open", accept_gradient_leak=True)
    assert made.cipher.scheme in ("lattice", "paillier")
    assert predicted(job(columns=(2, 5), crypto=CryptoSpec(name), **OPEN)).security_bits >= 128
