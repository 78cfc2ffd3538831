"""The command line in this process, and the bundled job as a file to edit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from vfl.cli import app
from vfl.data.bundled import write_breast_cancer_job


@dataclass
class Outcome:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one object on stdout; anything before or after it fails here."""
        return json.loads(self.stdout)


@pytest.fixture
def vfl(tmp_path, monkeypatch):
    """vfl("run", path, "--json") in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Outcome:
        done = CliRunner().invoke(app, [str(word) for word in words])
        return Outcome(done.exit_code, done.stdout, done.stderr)

    return call


@pytest.fixture
def job_file(tmp_path):
    """Writes the bundled job, edited: job_file(lambda job: job.update(seed=1))."""

    def write(edit=lambda _: None, *, crypto: Any = "mock", epochs: int = 2) -> Path:
        path = write_breast_cancer_job(tmp_path / "data")
        job = yaml.safe_load(path.read_text())
        job |= {"crypto": crypto, "transport": "inprocess"}
        job["model"]["epochs"] = epochs
        edit(job)
        edited = path.with_name("edited.yaml")
        edited.write_text(yaml.safe_dump(job, sort_keys=False))
        return edited

    return write


@pytest.fixture
def finished(vfl, job_file):
    """The folder of a finished mock run."""
    return Path(vfl("run", job_file(), "--json").json["run"])
