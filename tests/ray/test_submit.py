"""Jobs handed to a cluster: checked here, run there, our own exit code back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

import vfl
from vfl import job as entry
from vfl.errors import JobError, PlacementError
from vfl.submit import _pack, submit


@pytest.fixture
def job_file(ray_job):
    """Writes a small job as YAML; its path."""

    def write(name="job", **changes):
        small = ray_job()
        job = msgspec.structs.replace(small.job, name=name, **changes)
        path = small.folder / "job.yaml"
        path.write_bytes(msgspec.yaml.encode(job))
        return path

    return write


@pytest.mark.ray
def test_a_submitted_job_comes_back_with_its_result_and_a_failed_one_with_our_exit_code(
    ray_cluster, job_file
):
    good, bad = job_file("good"), job_file("bad")
    (bad.parent / "p0.csv").unlink()
    codes, logs, results = {}, {good: [], bad: []}, []

    def follow(path, **options):
        codes[path] = submit(path, ray_cluster.jobs, on_log=logs[path].append, **options)

    both = [
        threading.Thread(target=follow, args=[good], kwargs={"on_result": results.append}),
        threading.Thread(target=follow, args=[bad]),
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(timeout=200)

    assert codes == {good: 0, bad: 3}, logs
    assert logs[good][-1] == "vfl exit code: 0"
    assert logs[bad][-1] == "vfl exit code: 3"
    assert any("p0" in line and str(bad.parent / "p0.csv") in line for line in logs[bad])
    (result,) = results
    assert result["metrics"]["auc"] > 0.5
    assert result["undeclared"] == 0
    # Where the driver ran, not in the working directory, which Ray deletes.
    assert Path(result["run"]).parent == ray_cluster.home / "vfl-runs"
    assert (Path(result["run"]) / "result.json").exists()


_SUBMIT = """
import sys
from pathlib import Path
from vfl.submit import submit

submit(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.ray
@pytest.mark.parametrize("token", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "ab" * 32}])
def test_without_the_clusters_token_a_job_is_refused_and_told_what_to_export(
    ray_cluster, job_file, token
):
    found = subprocess.run(
        [sys.executable, "-c", _SUBMIT, str(job_file()), ray_cluster.jobs], env=os.environ | token,
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert "PlacementError" in found.stderr
    assert "export RAY_AUTH_MODE=token" in found.stderr


def test_a_cluster_that_cannot_be_reached_is_named(job_file):
    with pytest.raises(PlacementError, match=r"http://127\.0\.0\.1:9"):
        submit(job_file(), "http://127.0.0.1:9")


def test_an_address_that_is_none_is_refused(job_file):
    with pytest.raises(PlacementError, match="write http://HEAD:8265"):
        submit(job_file(), "HEAD:8265")


def test_an_address_in_the_environment_does_not_win_silently(job_file, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://elsewhere:8265")
    with pytest.raises(PlacementError, match="RAY_ADDRESS is set to 'http://elsewhere:8265'"):
        submit(job_file(), "http://127.0.0.1:9")


def test_a_job_for_one_process_is_not_sent(job_file):
    with pytest.raises(JobError, match="a submitted job needs ray"):
        submit(job_file(transport="inprocess"), "http://127.0.0.1:9")


def test_a_job_with_a_mistake_is_refused_before_anything_is_sent(job_file):
    path = job_file()
    path.write_text(path.read_text() + "\nepohcs: 3\n")
    with pytest.raises(JobError, match="epohcs"):
        submit(path, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other-1.0-py3-none-any.whl", "no wheel of vfl"),
        ("vfl-1.0-py3-none-any.whl", "no such file"),
    ],
)
def test_a_wheel_that_is_not_ours_or_not_there_is_refused(job_file, tmp_path, name, text):
    with pytest.raises(JobError, match=text):
        submit(job_file(), "http://127.0.0.1:9", wheel=tmp_path / name)


def test_a_wheel_travels_with_the_job_and_is_installed_for_it(tmp_path):
    wheel = tmp_path / "vfl-9.9-cp311-cp311-linux_x86_64.whl"
    wheel.write_bytes(b"wheel")
    folder = tmp_path / "sent"
    folder.mkdir()
    environment = _pack(folder, b"job", wheel)
    assert {p.name for p in folder.iterdir()} == {"job.yaml", wheel.name}
    assert environment == {
        "working_dir": str(folder),
        "pip": [f"${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{wheel.name}"],
    }


def test_another_version_in_the_cluster_is_told_with_both_versions(job_file, capfd):
    code = entry.main([str(job_file()), "--expect-version", "9.9.9"])
    lines = capfd.readouterr().err.strip().split("\n")
    assert code == JobError.exit_code
    assert "9.9.9" in lines[0] and vfl.__version__ in lines[0] and "--wheel" in lines[0]
    assert lines[-1] == f"vfl exit code: {code}"


def test_with_json_an_error_is_one_object(tmp_path, capfd):
    code = entry.main([str(tmp_path / "none.yaml"), "--json"])
    captured = capfd.readouterr()
    error = msgspec.json.decode(captured.out)["error"]
    assert (error["type"], error["exit_code"]) == ("JobError", code)
    assert captured.err.strip().split("\n")[-1] == f"vfl exit code: {code}"
