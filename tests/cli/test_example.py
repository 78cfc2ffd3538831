"""The example in examples/ runs as it is written, up to the cipher and the transport."""

import importlib.util
from pathlib import Path

import msgspec

import vfl

EXAMPLE = Path(__file__).parents[2] / "examples" / "credit"


def test_the_credit_example_learns_from_both_companies(tmp_path):
    spec = importlib.util.spec_from_file_location("credit_example", EXAMPLE / "run.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.make_data(tmp_path / "data")
    (tmp_path / "job.yaml").write_text((EXAMPLE / "job.yaml").read_text())
    job = vfl.load_job(tmp_path / "job.yaml")
    assert job.transport == "ray" and job.asked.scheme == "auto"
    job = msgspec.structs.replace(job, crypto="mock", transport="inprocess")
    run = vfl.run_job(job, folder=tmp_path / "run")
    assert run.metrics["auc"] > run.metrics["auc_active_alone"] + 0.05
    new = {name: tmp_path / "data" / f"new-{name}.csv" for name in ("bank", "telecom")}
    lines = run.predict(new).read_text().splitlines()
    assert lines[0] == "customer,prediction" and 130 <= len(lines) - 1 <= 170
