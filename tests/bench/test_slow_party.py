"""The party that benchmarks slow down: in which rounds, by how much, and nobody else."""

import numpy as np
import pytest

from vfl import api
from vfl.spec import LogisticRegression, ScheduleSpec
from vfl_bench.ray_stragglers import measure
from vfl_bench.slow_party import SlowParty


def test_a_seeded_quarter_of_the_rounds_is_slow():
    plan = SlowParty("p1", share=0.25, seed=3)
    slow = [plan.slowed(number, batch) for number in range(500) for batch in range(4)]
    assert slow == [plan.slowed(number, batch) for number in range(500) for batch in range(4)]
    assert abs(np.mean(slow) - 0.25) < 6 * np.sqrt(0.25 * 0.75 / len(slow))
    other = SlowParty("p1", share=0.25, seed=4)
    assert slow != [other.slowed(number, batch) for number in range(500) for batch in range(4)]


def test_the_slow_party_is_the_last_of_each_round_and_the_model_is_the_same(small_job, tmp_path):
    model = LogisticRegression(epochs=4, tolerance=0.0)
    job = small_job(passives=3, model=model, schedule=ScheduleSpec(deadline_s=60.0)).job
    slow = api.run_job(job, folder=tmp_path / "slow", program=SlowParty("p1", times=1000.0))
    usual = api.run_job(job, folder=tmp_path / "usual")
    assert slow.metrics == pytest.approx(usual.metrics, abs=1e-12)
    rounds = api.timelines(slow.folder)["bank"].rounds
    last = [max(one.arrived, key=one.arrived.__getitem__) for one in rounds[1:]]
    assert last.count("p1") >= 2  # of three: real time, and a busy machine may stop anybody


def test_rows_tell_the_tail_and_what_it_is_of_the_undisturbed_one():
    rows = list(measure(["adaptive"], rows=900, batch=600, epochs=3, transport="inprocess",
                        crypto="mock"))  # fmt: skip
    assert [row.peer for row in rows] == ["undisturbed", "slow in a quarter", "slow always"]
    for row in rows[1:]:
        assert row.figures["p95 to undisturbed"] == pytest.approx(row.real_time / rows[0].real_time)
        assert row.figures["auc loss"] == pytest.approx(rows[0].facts["auc"] - row.facts["auc"])
        assert 0 <= row.facts["missed"] <= 1
