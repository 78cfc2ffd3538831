"""Small jobs on Ray."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from vfl.spec import LogisticRegression, check_job


@pytest.fixture
def ray_job(small_job):
    """As `small_job`, with a real cipher and on Ray; `placements`: party -> labels."""

    def build(placements=None, *, epochs=3, crypto="paillier", **options):
        model = LogisticRegression(epochs=epochs, tolerance=0.0)
        small = small_job(crypto=crypto, model=model, **options)
        parties = [
            msgspec.structs.replace(p, placement=(placements or {}).get(p.name, {}))
            for p in small.job.parties
        ]
        job = msgspec.structs.replace(small.job, parties=parties, transport="ray")
        return dataclasses.replace(small, job=check_job(job))

    return build
