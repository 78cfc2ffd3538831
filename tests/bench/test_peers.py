import os
import sys

import numpy as np
import pytest

from vfl.errors import MissingExtraError, VflError
from vfl_bench.harness import Seconds, Work, measure
from vfl_bench.peers import heu
from vfl_bench.peers.heu import HeuPeer
from vfl_bench.peers.phe import PhePeer
from vfl_bench.peers.seal import SealCkks, SealTransform
from vfl_bench.peers.tenseal import TensealPeer
from vfl_bench.suites.common import gradient_data

VALUES = np.linspace(-1.0, 1.0, 5)

CLEAR_HEU = '''
"""What the worker uses of sf-heu, in the clear; logs to standard output as it does."""
import os
import time
from types import SimpleNamespace
import numpy as np

class Cells:
    def __init__(self, integers):
        self.integers = integers
    def to_numpy(self, scale):
        return self.integers / scale

def encrypt(cells):
    time.sleep(0.002)
    return cells

def setup(schema, bits):
    os.write(1, b"[info] a fixed thread pool\\n")
    assert schema == "ZPaillier"
    return SimpleNamespace(
        float_encoder=lambda scale: scale,
        array=lambda values, scale: Cells(np.rint(values * scale).astype(object)),
        encryptor=lambda: SimpleNamespace(encrypt=encrypt),
        decryptor=lambda: SimpleNamespace(decrypt=lambda cells: Cells(
            cells.integers.astype(np.float64))),
        evaluator=lambda: SimpleNamespace(
            add=lambda a, b: Cells(a.integers + b.integers),
            matmul=lambda a, b: Cells(a.integers @ b.integers),
        ),
    )
'''


@pytest.fixture
def clear_python(tmp_path):
    """An interpreter that has a package heu which does not encrypt."""
    package, about = tmp_path / "heu", tmp_path / "sf_heu-9.9.dist-info"
    package.mkdir()
    about.mkdir()
    (package / "__init__.py").touch()
    (package / "numpy.py").write_text(CLEAR_HEU)
    (package / "phe.py").write_text("class SchemaType:\n    ZPaillier = 'ZPaillier'\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sf-heu\nVersion: 9.9\n")
    return script(
        tmp_path,
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "sys.argv = sys.argv[2:]\n"  # without -I
        "runpy.run_path(sys.argv[0], run_name='__main__')\n",
    )


def script(folder, code):
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    return str(path)


def test_heu_works_in_its_own_process_and_times_itself(clear_python):
    X, d = gradient_data(6, 3)
    assert heu.version(clear_python) == "9.9"
    with HeuPeer(clear_python, 2048, VALUES, X, d) as peer:
        for operation, items in (("encrypt", 5), ("decrypt", 5), ("add", 5), ("XTd", 18)):
            contender = peer.contender(operation, 1)
            seconds = contender.run()
            assert isinstance(seconds, Seconds)
            assert contender.items == items
            assert contender.error() < 1e-8, operation
        (row,) = measure(Work("w", "value", (peer.contender("encrypt", 1),)), 0.0)
    assert 2e3 / 5 <= row.real_time < 1e6 / 5  # the 2 ms that it sleeps, and not the way there
    assert row.facts["version"] == "9.9"
    assert "note" in peer.contender("XTd", 1).facts


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_heu_gets_as_many_processors_as_threads_are_measured(clear_python):
    X, d = gradient_data(6, 3)
    with HeuPeer(clear_python, 2048, VALUES, X, d) as peer:
        for threads in (1, len(os.sched_getaffinity(0))):
            contender = peer.contender("encrypt", threads)
            contender.run()
            assert contender.facts["threads"] == threads
            assert len(os.sched_getaffinity(peer._process.pid)) == threads


def test_a_wrong_result_of_a_peer_shows_as_an_error(clear_python):
    X, d = gradient_data(6, 3)
    with HeuPeer(clear_python, 2048, VALUES, X, d) as peer:
        peer._wanted["add"] = 3 * VALUES
        assert peer.contender("add", 1).error() == pytest.approx(1 / 3)


def test_a_peer_that_dies_is_named_with_its_last_words(tmp_path):
    python = script(tmp_path, "import sys\ninput()\nsys.exit('out of memory')\n")
    with pytest.raises(VflError, match=r"peer heu under .*python ended: out of memory"):
        HeuPeer(python, 2048, VALUES, *gradient_data(4, 2))


@pytest.mark.parametrize(
    ("python", "reason"),
    [("/nowhere/python", "No such file"), (sys.executable, "No module named 'heu'")],
)
def test_an_interpreter_without_heu_is_refused_with_the_reason(python, reason):
    with pytest.raises(MissingExtraError, match=reason):
        heu.version(python)


def test_phe_does_the_work_it_is_timed_on():
    X, d = gradient_data(8, 3)
    peer = PhePeer(512, VALUES, X, d)  # too short for anything but this
    for operation in ("encrypt", "decrypt", "add", "XTd"):
        contenders = peer.contenders(operation)
        assert [c.peer for c in contenders] == ["phe+gmpy2", "phe"]
        assert all(c.error() < 1e-8 for c in contenders)


def test_tenseal_does_the_work_it_is_timed_on():
    X, d = gradient_data(300, 6)
    peer = TensealPeer()
    batch = np.stack((d, 2 * d))
    for operation in ("encrypt_batch", "add", "decrypt_batch", "encrypt_to_bytes"):
        contender = getattr(peer, operation)(batch)
        contender.run()
        assert contender.error() < 1e-6
        assert contender.items == 2
    assert peer.multiply_plain(batch).error() < 1e-4
    assert peer.multiply(batch).error() < 1e-4
    dot = peer.dot(X, d)
    assert dot.error() < 1e-4
    assert dot.items == 300 * 4
    assert (dot.facts["log_qp"], dot.facts["security_bits"]) == (200, 128)


def test_seal_encodes_and_encrypts_what_it_is_timed_on():
    values = np.random.default_rng(0).standard_normal((2, 4096))
    peer = SealCkks(8192, (60, 40, 40, 60), 2.0**40, values)
    for contender in (peer.encode(), peer.encrypt()):
        contender.run()
        assert contender.error() < 1e-7
        assert contender.items == 2


def test_seal_transforms_back_and_forth_outside_the_time():
    peer = SealTransform(1024, 132120577, 4)
    forward, inverse = peer.forward(), peer.inverse()
    words = [[c[i] for i in range(2 * 1024)] for c in peer.ciphertexts]
    for contender, transformed in ((forward, True), (forward, True), (inverse, False)):
        assert isinstance(contender.run(), Seconds)
        assert all(c.is_ntt_form() == transformed for c in peer.ciphertexts)
    assert [[c[i] for i in range(2 * 1024)] for c in peer.ciphertexts] == words
    assert len(peer.ciphertexts) * 2 == forward.items == 4
