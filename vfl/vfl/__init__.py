"""Vertical federated learning under homomorphic encryption.

import vfl

bank = vfl.Party("bank", data="bank.csv", id="id", label="default")
telecom = vfl.Party("telecom", data="telecom.csv", id="id")
run = vfl.fit(vfl.LogisticRegression(l2=1e-3), parties=[bank, telecom])
run.metrics, run.ledger, run.predict({...}), run.report("report.html")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfl.api import Run, fit, open_run, run_job
    from vfl.errors import VflError
    from vfl.spec import (
        CryptoSpec,
        EarlyStopping,
        JobSpec,
        LinearRegression,
        LogisticRegression,
        MultinomialRegression,
        PoissonRegression,
        load_job,
    )
    from vfl.spec import PartySpec as Party

__version__ = "0.1.0"

_HOME = {
    "CryptoSpec": "vfl.spec",
    "EarlyStopping": "vfl.spec",
    "JobSpec": "vfl.spec",
    "LinearRegression": "vfl.spec",
    "LogisticRegression": "vfl.spec",
    "MultinomialRegression": "vfl.spec",
    "Party": "vfl.spec:PartySpec",
    "PoissonRegression": "vfl.spec",
    "Run": "vfl.api",
    "VflError": "vfl.errors",
    "fit": "vfl.api",
    "load_job": "vfl.spec",
    "open_run": "vfl.api",
    "run_job": "vfl.api",
}
__all__ = [
    "CryptoSpec",
    "EarlyStopping",
    "JobSpec",
    "LinearRegression",
    "LogisticRegression",
    "MultinomialRegression",
    "Party",
    "PoissonRegression",
    "Run",
    "VflError",
    "fit",
    "load_job",
    "open_run",
    "run_job",
]


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that `import vfl` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'vfl' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)
