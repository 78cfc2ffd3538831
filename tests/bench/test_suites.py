import gmpy2
import numpy as np
import pytest

from vfl_bench.clock import clock_ghz
from vfl_bench.harness import measure
from vfl_bench.peers.seal import SealTransform
from vfl_bench.suites import ckks, ntt
from vfl_bench.suites.common import Settings
from vfl_bench.suites.psi import intersect
from vfl_crypto import _native


def test_the_measured_intersection_is_the_true_one():
    left, right = [b"%d" % i for i in range(50)], [b"%d" % i for i in range(30, 90)]
    assert intersect(left, right, threads=1) == 20


def test_every_ckks_row_has_its_modulus_and_a_measured_error(monkeypatch):
    monkeypatch.setattr(ckks, "COUNT", 2)
    settings = Settings(peers=("tenseal",), batches=(64,), features=(3,))
    rows = [row for work in ckks.works(settings) for row in measure(work, 0.0)]
    found = {}
    for row in rows:
        found.setdefault(row.name.split("/")[1], []).append(row)
    of_vectors = ["encrypt-public", "encode", "encrypt-encoded", "encrypt-secret-to-bytes", "add",
                  "multiply-plain-rescale", "multiply-relinearise-rescale", "decrypt"]  # fmt: skip
    assert list(found) == [*of_vectors, "encrypt-d", "XTd", "decrypt-XTd"]
    for name in of_vectors:
        peer = "seal" if name in {"encode", "encrypt-encoded"} else "tenseal"
        assert [row.peer for row in found[name]] == ["vfl", "vfl, same primes", peer]
        assert [row.facts["log_qp"] for row in found[name]] == [200, 200, 200]
    assert [row.peer for row in found["XTd"]] == ["vfl", "tenseal dot"]
    assert found["XTd"][0].facts["log_qp"] == 164
    assert (found["XTd"][0].facts["batch"], found["XTd"][0].facts["features"]) == (64, 3)
    assert all(0 < row.facts["relative_error"] < 1e-2 for row in rows)
    assert all(row.facts["security_bits"] == 128 for row in rows)
    _, same, theirs = (row.figures["bytes"] for row in found["encrypt-secret-to-bytes"])
    assert same <= theirs / 2


def test_tenseal_is_left_out_where_a_batch_does_not_fit_its_slots(monkeypatch):
    monkeypatch.setattr(ckks, "COUNT", 1)
    settings = Settings(peers=("tenseal",), batches=(4097,), features=(1,))
    product = next(work for work in ckks.works(settings) if "/XTd/" in work.name)
    assert [c.peer for c in product.contenders] == ["vfl"]


def test_the_measured_primes_have_a_transform_at_every_degree():
    assert [p.bit_length() for p in ntt.PRIMES] == [49, 35, 60]
    assert all(gmpy2.is_prime(p) and p % (2 * max(ntt.DEGREES)) == 1 for p in ntt.PRIMES)


def test_every_level_and_the_twin_stand_beside_the_kernel_in_use():
    before = _native.cpu_level()
    rows = measure(ntt.transform(2048, ntt.PRIMES[0], "inverse", 2, 3.0), 0.0)
    others = [level for level in _native.cpu_levels() if level != before]
    assert [row.peer for row in rows] == [
        "vfl", "vfl 1 thread", *(f"vfl {level}" for level in others), "vfl numba"
    ]  # fmt: skip
    assert [row.facts["threads"] for row in rows] == [2, 1, *(2 for _ in others), 2]
    assert rows[0].facts["cpu_level"] == before == _native.cpu_level()
    assert rows[0].facts["security_bits"] == 128


def test_each_ring_is_made_at_its_level_and_the_level_is_put_back(monkeypatch):
    made, ring, before = [], _native.Ring, _native.cpu_level()
    monkeypatch.setattr(
        _native, "Ring", lambda *given: (made.append(_native.cpu_level()), ring(*given))[1]
    )
    ntt.transform(2048, ntt.PRIMES[0], "forward", 1, 3.0)
    assert made == [before, *(level for level in _native.cpu_levels() if level != before)]
    assert _native.cpu_level() == before


def test_the_share_of_the_peak_is_operations_by_time():
    at_peak = 24576 * 4 / (2 * 4 * 3.2) / 1e3  # microseconds at N = 4096 and 3.2 GHz
    found = ntt.figures(4096, 49, 2 * at_peak, 3.2, 4)
    assert found["fma_peak_share"] == pytest.approx(0.5)
    assert found["ns_per_butterfly"] == pytest.approx(2 * 0.5 / 3.2)
    assert found["ns_per_modulus_bit"] == pytest.approx(2e3 * at_peak / 49)
    assert "fma_peak_share" not in ntt.figures(4096, 60, 10.0, 3.2, 4)
    assert "fma_peak_share" not in ntt.figures(4096, 49, 10.0, 3.2, 0)


def test_seal_is_timed_on_the_transform_that_is_ours():
    n, prime = 1024, ntt.PRIMES[0]
    peer = SealTransform(n, prime, 4)

    def words():
        cells = [[c[i] for i in range(2 * n)] for c in peer.ciphertexts]
        return np.array(cells, dtype=np.uint64).reshape(4, 1, n)

    coefficients = words()
    peer.to_values()
    np.testing.assert_array_equal(words(), _native.Ring(n, [prime]).forward(coefficients))


def test_the_clock_is_that_of_a_processor():
    assert 0.5 < clock_ghz() < 8.0
