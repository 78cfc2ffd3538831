"""What each command prints and leaves behind."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import vfl as package
from vfl import plaintext, wording
from vfl.errors import VflError
from vfl.verify import _weights

PAILLIER = {"scheme": "paillier", "key_bits": 2048}


def test_run_with_json_prints_one_object_and_everything_else_on_stderr(vfl, job_file):
    done = vfl("run", job_file(crypto=PAILLIER, epochs=1), "--json")
    assert done.code == 0
    result = done.json
    held_out = {"auc", "accuracy", "log_loss", "deviance"}
    on_training_rows = {f"train_{name}" for name in held_out}
    assert set(result["metrics"]) == held_out | on_training_rows | {"auc_active_alone"}
    assert set(result["timings"]) == {"clinic", "imaging", "laboratory", "total"}
    assert result["ledger"]["undeclared"] == [] and result["undeclared"] == 0
    assert {"sender", "receiver", "messages", "bytes", "keys"} == set(
        result["ledger"]["borders"][0]
    )
    assert result["rows"] == {"table": 560, "aligned": 472, "train": 378, "held_out": 94}
    assert result["cipher"] == "paillier, n: 2048 bit" and result["security_bits"] == 112
    assert result["arbiter"] == "" and result["opened"] == 1  # the score of each row, in one round
    assert json.loads((Path(result["run"]) / "result.json").read_text()) == result
    assert "training 1/1" in done.stderr and "held out" in done.stderr


def test_run_tells_what_it_reached_and_what_crossed_in_100_columns(vfl, job_file):
    done = vfl("run", job_file())
    assert done.code == 0
    result = package.open_run(next(Path("vfl-runs").iterdir())).result
    for said in (
        f"{result.metrics['auc']:.4f}", f"{result.metrics['auc_active_alone']:.4f}",
        "378 to train on, 94 held out", "mock cipher: protects nothing",
        "All parties ran in one process", result.run,
        wording.size(sum(border.bytes for border in result.ledger.borders)),
    ):  # fmt: skip
        assert said in done.stdout
    assert (
        "imaging and laboratory must trust clinic with the sum of their scores for each training "
        "row and epoch: 2 numbers a row. As many as there are columns would give these away; half "
        "as many is the limit."
    ) in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "masking own ids 560/560" in done.stderr and "held out" not in done.stderr


def test_a_run_with_an_arbiter_names_who_holds_the_key(vfl, job_file):
    def edit(job):
        job["security"] = "arbiter"
        job["parties"].append({"name": "notary", "role": "arbiter"})

    done = vfl("run", job_file(edit))
    assert done.code == 0 and "notary holds the only secret key" in done.stdout
    assert package.open_run(next(Path("vfl-runs").iterdir())).result.arbiter == "notary"


def test_quiet_leaves_the_folder_alone(vfl, job_file):
    done = vfl("run", job_file(), "--quiet", "--folder", "here")
    assert (done.code, done.stdout, done.stderr) == (0, "here\n", "")


def test_predictions_are_those_of_the_pooled_weights(vfl, finished):
    run = package.open_run(finished)
    tables = [f"{p.name}={p.data}" for p in run.job.parties if p.data]
    done = vfl("predict", finished, *tables, "--json")
    assert done.code == 0
    with Path(done.json["predictions"]).open() as file:
        lines = list(csv.DictReader(file))
    pooled = plaintext.pool(run.job)
    z = plaintext.scores(pooled, _weights(run, pooled))[:, 0]
    assert len(lines) == 472
    found = np.array([float(line["prediction"]) for line in lines])
    # two passive scores in steps of 2^-12, and the slope of the sigmoid is at most 1/4
    assert found == pytest.approx(1 / (1 + np.exp(-z)), abs=2**-13 / 2)


def test_audit_passes_a_clean_run_and_refuses_an_edited_ledger(vfl, finished):
    assert vfl("audit", finished, "--json").json["clean"] is True
    assert "every message is in the ledgers of both its ends" in vfl("audit", finished).stdout
    ledger = finished / "imaging" / "ledger.jsonl"
    ledger.write_text(
        ledger.read_text().replace('"protection":"encrypted"', '"protection":"public"')
    )
    done = vfl("audit", finished, "--json")
    assert done.code == 5
    assert done.json["clean"] is False
    undeclared = "\n".join(done.json["undeclared"])
    assert "shared.products.values (public) from imaging to clinic" in undeclared
    assert "shared.gradient.values (public) from imaging to clinic" in undeclared


def test_report_names_the_file_it_wrote(vfl, finished):
    done = vfl("report", finished, "--out", "r.html", "--quiet")
    assert (done.code, done.stdout) == (0, "r.html\n")
    assert Path("r.html").read_text().startswith("<!doctype html>")


def test_schema_describes_every_key_of_a_job(vfl):
    schema = vfl("schema").json
    assert set(schema["$defs"]["JobSpec"]["properties"]) == set(package.JobSpec.__struct_fields__)


def test_version(vfl):
    assert vfl("--version").stdout == f"vfl {package.__version__}\n"


def test_help_explains_every_exit_code(vfl):
    said = vfl("--help").stdout
    codes = [cls.exit_code for cls in VflError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    for code in (0, VflError.exit_code, *codes, 70, 130):
        assert f" {code}  " in said


def test_an_unforeseen_fault_keeps_its_traceback_and_exits_70(vfl, job_file, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("not foreseen")

    monkeypatch.setattr("vfl.api.run_job", fail)
    done = vfl("run", job_file(), "--json")
    assert done.code == 70
    assert done.json["error"] == {
        "type": "RuntimeError", "message": "not foreseen", "exit_code": 70
    }  # fmt: skip
    assert "Traceback" in done.stderr and "in fail" in done.stderr


def test_ctrl_c_says_how_to_continue_and_continuing_finishes(tmp_path, job_file):
    def edit(job):
        job["accept_score_leak"] = True
        job["model"]["tolerance"] = 0

    path = job_file(edit, epochs=100)
    vfl = [str(Path(sys.executable).with_name("vfl"))]
    with subprocess.Popen(
        [*vfl, "run", path], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        while not list(tmp_path.glob("vfl-runs/*/*/epoch-000001.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and out == ""
    assert f"continue with: vfl run {path} --resume" in err and "Traceback" not in err
    done = subprocess.run(
        [*vfl, "run", path, "--resume", "--json"],
        cwd=tmp_path, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["resumed"] and result["epochs"] == 100 and result["undeclared"] == 0


def test_a_call_that_cannot_be_read_is_json_where_json_was_asked_for(tmp_path):
    vfl = str(Path(sys.executable).with_name("vfl"))
    done = subprocess.run([vfl, "run", "--json"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "UsageError"
