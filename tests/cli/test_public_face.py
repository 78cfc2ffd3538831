"""The names a user may rely on, and how quickly they are there."""

import json
import subprocess
import sys

import pytest

import vfl

HEAVY = ("torch", "ray", "numba", "sklearn", "scipy", "matplotlib", "pandas", "pyarrow", "tenseal")
MEASURE = """\
import json, sys, time
before = time.process_time()
{statement}
print(json.dumps([time.process_time() - before, sorted(m.split(".")[0] for m in sys.modules)]))
"""


def _measured(statement: str) -> tuple[float, set[str]]:
    """CPU seconds of a statement in a new interpreter, best of three, and what it imported."""
    seconds, modules = [], set()
    for _ in range(3):
        script = [sys.executable, "-c", MEASURE.format(statement=statement)]
        found = json.loads(subprocess.run(script, capture_output=True, check=True).stdout)
        seconds.append(found[0])
        modules |= set(found[1])
    return min(seconds), modules


def test_the_public_names():
    assert vfl.__all__ == [
        "CryptoSpec", "EarlyStopping", "JobSpec", "LinearRegression", "LogisticRegression",
        "MultinomialRegression", "Party", "PoissonRegression", "Run", "VflError", "fit",
        "load_job", "open_run", "run_job",
    ]  # fmt: skip
    assert all(callable(getattr(vfl, name)) for name in vfl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vfl.nothing


def test_import_vfl_is_quick_and_light():
    seconds, modules = _measured("import vfl")
    assert seconds < 0.3
    assert not modules & {*HEAVY, "numpy"}


def test_naming_a_job_needs_nothing_heavy():
    _, modules = _measured("import vfl; vfl.LogisticRegression, vfl.Party, vfl.load_job, vfl.fit")
    assert not modules & set(HEAVY)


def test_a_checked_job_has_not_yet_loaded_a_cipher():
    party = "vfl.Party('{0}', data='{0}.csv', label={1})"
    parties = f"[{party.format('a', repr('y'))}, {party.format('b', None)}]"
    made = f"vfl.JobSpec(parties={parties}, model=vfl.LogisticRegression())"
    statement = f"import vfl; from vfl.spec import check_job; check_job({made})"
    _, modules = _measured(f"{statement}; assert 'vfl_crypto.lattice' not in sys.modules")
    assert not modules & set(HEAVY)


def test_the_command_line_is_there_before_anybody_notices():
    seconds, modules = _measured("import vfl.cli")
    assert seconds < 0.5
    assert not modules & {*HEAVY, "numpy", "msgspec", "yaml"}
