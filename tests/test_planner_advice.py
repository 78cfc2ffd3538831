"""Each warning of `vfl plan`: given where it applies, and not on a sensible job."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from vfl.planner import advice
from vfl.planner.plan import plan
from vfl.spec import (
    CryptoSpec,
    JobSpec,
    LogisticRegression,
    MultinomialRegression,
    PartySpec,
    ScheduleSpec,
    check_job,
)


def job(rows=20_000, columns=4, model=None, passives=1, **options) -> JobSpec:
    ids = np.arange(rows)
    data = {"id": ids, "y": ids % 2} | {f"c{k}": ids for k in range(columns)}
    parties = [
        PartySpec("a", data=data, label="y"),
        PartySpec("b", data=data, columns=[f"c{k}" for k in range(columns)]),
        *(PartySpec(f"b{k}", data=data, columns=["c0", "c1"]) for k in range(1, passives)),
    ]
    options = {"transport": "inprocess"} | options
    made = JobSpec(
        parties=parties,
        model=LogisticRegression(**(model or {})),
        **{"security": "arbiter"} | options,
    )
    return check_job(made)


def about(made: JobSpec) -> dict[str, advice.Advice]:
    return {one.about: one for one in plan(made, seconds=0.0).warnings}


def test_a_sensible_job_has_no_warning():
    assert about(job()) == {}
    assert about(job(model={"batch_size": 8192})) == {}


@pytest.mark.parametrize(
    ("word", "made", "refused"),
    [
        ("batch", job(model={"batch_size": 600}), False),
        ("columns", job(rows=1000, columns=80), True),
        ("columns", job(rows=1000, columns=80, accept_gradient_leak=True), False),
        ("features", job(rows=100, columns=60, accept_gradient_leak=True), False),
        ("leak", job(accept_gradient_leak=True), False),
        ("openings", job(60_000, 400, {"batch_size": 64}, accept_gradient_leak=True), True),
        ("cipher", job(crypto="paillier"), False),
        ("key", job(crypto=CryptoSpec("paillier", 2048)), False),
        ("mock", job(crypto="mock"), False),
        ("epochs", job(model={"epochs": 500, "tolerance": 0.0}), False),
        ("schedule", job(passives=2, schedule=ScheduleSpec("backup")), False),
        ("schedule", job(passives=2, schedule=ScheduleSpec(on_lost="drop")), False),
        ("deadline", job(crypto="paillier", schedule=ScheduleSpec(deadline_s=2.0)), True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_silly_choice_is_warned_of(word, made, refused):
    found = about(made)
    assert word in found and found[word].refused is refused
    assert found[word].text.strip() and not found[word].text.endswith(".")


@pytest.mark.parametrize(
    ("word", "made", "refused"),
    [
        ("columns", job(rows=1000, columns=45), True),
        ("openings", job(60_000, 400, {"batch_size": 1024}, accept_gradient_leak=True), False),
    ],
)
def test_what_local_steps_open_is_counted(word, made, refused):
    assert word not in about(made)
    schedule = ScheduleSpec("adaptive", local_steps=16)
    assert about(msgspec.structs.replace(made, schedule=schedule))[word].refused is refused


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(advice, "installed", lambda _: False)
    assert "ray" not in about(job())
    on_ray = msgspec.structs.replace(job(), transport="ray")
    assert "vfl[ray]" in about(on_ray)["ray"].text
    assert about(on_ray)["ray"].refused


def test_a_job_larger_than_this_machine_is_said_to_be(monkeypatch):
    monkeypatch.setattr(advice, "memory_here", lambda: 1 << 20)
    assert "1.0 MiB" in about(job())["memory"].text
    monkeypatch.setattr(advice, "memory_here", lambda: 0)  # a system that does not say
    assert "memory" not in about(job())


def test_paillier_is_no_poor_choice_where_it_is_not_dearer():
    made = job(600, 1, {"batch_size": 4, "epochs": 1}, crypto="paillier", accept_gradient_leak=True)
    assert "cipher" not in about(made)


def test_what_ends_the_job_comes_first():
    made = job(rows=1000, columns=80, crypto="mock")
    assert [one.refused for one in plan(made, seconds=0.0).warnings] == [True, True, False]


def shared(rows=2000, columns=40, model=None, passives=1, **options) -> JobSpec:
    return job(rows, columns, model, **{"security": "shared"} | options)


def test_a_sensible_job_on_shares_has_no_warning():
    assert about(shared()) == {}
    assert about(shared(crypto="lattice", model={"epochs": 20})) == {}


@pytest.mark.parametrize(
    ("word", "made", "refused"),
    [
        ("scores", shared(model={"epochs": 21}), True),
        ("scores", shared(model={"epochs": 11}, folds=2), True),
        ("scores", shared(model={"epochs": 30}, accept_score_leak=True), False),
        ("scores", shared(columns=1), True),
        ("rounds", shared(columns=6), False),
        ("rounds", shared(folds=5), False),
        ("leak", shared(model={"epochs": 5}, accept_score_leak=True), False),
        ("features", shared(rows=100, columns=90), False),
        ("cipher", shared(crypto="paillier"), False),
        ("key", shared(crypto=CryptoSpec("paillier", 2048)), False),
        ("mock", shared(crypto="mock"), False),
        ("epochs", shared(model={"epochs": 500, "tolerance": 0.0}, accept_score_leak=True), False),
        ("deadline", shared(crypto="paillier", schedule=ScheduleSpec(deadline_s=2.0)), True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_silly_choice_on_shares_is_warned_of(word, made, refused):
    found = about(made)
    assert word in found and found[word].refused is refused
    assert found[word].text.strip() and not found[word].text.endswith(".")


def test_without_a_ridge_more_columns_than_rows_are_said_to_have_no_answer():
    assert "set l2" in about(shared(100, 90, {"l2": 0.0}))["features"].text
    assert "raise l2" in about(shared(100, 90))["features"].text


def test_more_weights_than_a_key_may_open_are_refused_before_they_are_trained():
    rows, columns = 900, 800
    ids = np.arange(rows)
    data = {"id": ids, "y": ids % 600} | {f"c{k}": ids for k in range(columns)}
    parties = [
        PartySpec("a", data=data, label="y", columns=[]),
        PartySpec("b", data=data, columns=[f"c{k}" for k in range(columns)]),
    ]
    made = check_job(
        JobSpec(
            parties=parties, model=MultinomialRegression(), crypto="lattice",
            transport="inprocess", accept_score_leak=True,
        )
    )  # fmt: skip
    assert about(made)["openings"].refused
    assert "431,400 weights" in about(made)["openings"].text


def test_a_passive_table_without_a_column_is_named():
    ids = np.arange(500)
    parties = [
        PartySpec("a", data={"id": ids, "y": ids % 2}, label="y"), PartySpec("b", data={"id": ids})
    ]  # fmt: skip
    made = JobSpec(parties=parties, model=LogisticRegression(), transport="inprocess")
    assert about(check_job(made))["columns"].text.startswith("b has no column")
