"""Fixtures of protocol tests."""

from __future__ import annotations

import pytest
from emulated import emulate, straggling_job


@pytest.fixture
def emulation(monkeypatch, small_job, tmp_path):
    """emulation(schedule, p=, seed=, ..., job options): an `Emulated` run."""

    def run(schedule, *, p=0.5, seed=1, link=None, crashes=(), **options):
        job = straggling_job(small_job, schedule, **options)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return emulate(monkeypatch, job, folder, p=p, seed=seed, link=link, crashes=crashes)

    return run
