"""Planted values: found in what crosses the borders when nothing is encrypted, not when it is.

The search is the attack. It knows every form in which a value could have slipped through: floats,
fixed point at every scale in use, decimal text, compressed pieces, and Paillier ciphertexts that
somebody forgot to randomise.
"""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import json
import lzma
import zlib

import msgspec
import numpy as np
import pytest

import vfl
from vfl.errors import ProtocolError
from vfl.messages import unpack
from vfl.protocols.arbiter_messages import PublicKey as KeyMessage
from vfl_crypto.paillier.keys import PublicKey

# Fraction bits of matrices, of encrypted vectors, of their products: Paillier's, the lattice's.
SCALES = (16, 30, 46, 10, 17, 27)
COLUMN = 2 * np.array([7.924682468, 5.318640246])  # one row of two columns that are else zero
WEIGHT_ROWS, COLUMN_ROW = [1, 2], 6  # among the joint rows; the first two have one label
LEAST = 6  # bytes: chance finds four of them once in 300 searches of a lattice run's 13 MB


# the search


def forms(values: np.ndarray, n: int | None = None) -> dict[str, bytes]:
    """Byte strings that would give `values` away; with n also unprotected Paillier plaintexts.

    None is shorter than `LEAST`, so single precision needs two values beside each other.
    """
    found = {}
    for order, name in (("<", "little"), (">", "big")):
        found[f"float64 {name}"] = values.astype(f"{order}f8").tobytes()
        found[f"float32 {name}"] = values.astype(f"{order}f4").tobytes()
        for scale in SCALES:
            integers = [round(float(v) * 2**scale) for v in values]
            if all(abs(i) < 2**63 for i in integers):
                array = np.array(integers, dtype=f"{order}i8")
                found[f"fixed point {scale}, {name}"] = array.tobytes()
            if n:  # the first value alone: rows of ciphertexts are far apart
                limbs = -(-n.bit_length() // 64) * 8
                m = integers[0] % n
                residue, bare = m.to_bytes(limbs, name), (1 + m * n) % n**2
                if integers[0] < 0:  # a positive one is found as fixed point, padding aside
                    found[f"residue {scale}, {name}"] = residue
                found[f"not randomised {scale}, {name}"] = bare.to_bytes(2 * limbs, name)
    found["text"] = f"{abs(values[0]):.6f}".rstrip("0")[:-1].encode()
    return {
        name: form
        for name, form in found.items()
        if len(form) >= LEAST and len(form.strip(b"\0\xff")) >= 3
    }


def pieces(blob: bytes) -> list[bytes]:
    """The blob and everything in it that can be decompressed."""
    openers = {
        b"\x78\x01": zlib.decompressobj, b"\x78\x5e": zlib.decompressobj,
        b"\x78\x9c": zlib.decompressobj, b"\x78\xda": zlib.decompressobj,
        b"\x1f\x8b\x08": lambda: zlib.decompressobj(31), b"BZh": bz2.BZ2Decompressor,
        b"\xfd7zXZ\0": lzma.LZMADecompressor,
    }  # fmt: skip
    found = [blob]
    for mark, make in openers.items():
        at = blob.find(mark)
        while at >= 0:
            with contextlib.suppress(zlib.error, OSError, lzma.LZMAError):
                found.append(make().decompress(blob[at : at + (1 << 20)]))
            at = blob.find(mark, at + 1)
    return found


def search(values, blob: bytes, n: int | None = None) -> set[str]:
    """The forms in which `values` (k,), or their negatives, are in the blob."""
    values = np.atleast_1d(np.asarray(values, dtype=np.float64))
    found = set()
    for piece in pieces(blob):
        for signed in (values, -values):
            found |= {name for name, form in forms(signed, n).items() if form in piece}
    return found


# the search is tested first


N = (2**1023 + 1155) * (2**1024 + 643)  # any odd number of the size of a key will do


@pytest.mark.parametrize("values", [[1357.924682468], [-0.123456789], [42.125], [9.7, 0.31]])
def test_the_search_finds_each_form_wherever_it_is_put(values):
    noise = np.random.default_rng(1).bytes(5000)
    assert not search(values, noise, N)
    for sign in (1, -1):
        found = forms(sign * np.array(values), N)
        assert ("float32 little" in found) == (len(values) > 1)
        for name, form in found.items():
            assert name in search(values, noise[:333] + form + noise[333:], N)


@pytest.mark.parametrize(
    "compress", [zlib.compress, lambda b: zlib.compress(b, 9), bz2.compress, lzma.compress],
    ids=["zlib", "zlib 9", "bz2", "xz"],
)  # fmt: skip
def test_the_search_looks_into_compressed_pieces(compress):
    noise = np.random.default_rng(2).bytes(2000)
    hidden = compress(bytes(300) + np.float64(1357.924682468).tobytes() + bytes(300))
    assert search(1357.924682468, noise + hidden + noise) == {"float64 little"}


def test_the_search_finds_a_vector_as_a_whole():
    labels = np.random.default_rng(3).choice([-0.5, 0.5], 24)
    assert search(labels, b"x" * 99 + labels.tobytes()) == {"float64 little"}
    other = labels.copy()
    other[12] *= -1
    assert not search(labels, other.tobytes())


def test_the_search_finds_a_value_that_was_encrypted_without_randomness(paillier_holder):
    n = paillier_holder.encryptor.key.n
    bare = (1 + round(-0.5 * 2**30) % n * n) % n**2
    assert search(-0.5, bare.to_bytes(512, "little"), n) == {"not randomised 30, little"}
    body = paillier_holder.encryptor.encrypt(np.full(20, -0.5)).body
    assert not search(-0.5, body.tobytes(), n)


# the job


@pytest.fixture
def planted(small_job, tmp_path, tap):
    """Runs a job with planted values: (job, a weight of p0, all captured bytes, n of the key)."""

    def run(crypto):
        model = vfl.LogisticRegression(epochs=3, optimizer="sgd", learning_rate=1.0, l2=0.0)
        options = {"test_fraction": 0.0, "accept_gradient_leak": True, "rows": 40, "strangers": 0}
        small = small_job(model=model, features=3, crypto=crypto, **options)
        columns = small.tables.columns["p0"]
        place = {name: row for row, name in enumerate(small.tables.ids["p0"])}
        rows = [place[name] for name in joint_order(small.tables)]
        columns[:] = 0.0
        for k in WEIGHT_ROWS:  # the scores of these rows are the weight of column 0
            columns[rows[k], 0] = 1.0
        columns[rows[COLUMN_ROW], 1:] = COLUMN  # whose gradients are these times a residual
        small = small_job(model=model, tables=small.tables, crypto=crypto, **options)
        parties = [
            msgspec.structs.replace(p, scale="none") if p.name == "p0" else p
            for p in small.job.parties
        ]
        job = msgspec.structs.replace(small.job, parties=parties)
        vfl.run_job(job, folder=tmp_path / f"run-{crypto}")
        state = json.loads((tmp_path / f"run-{crypto}" / "p0" / "epoch-000002.json").read_bytes())
        weight = state["state"]["theta"][0]
        blob = tap.everything
        n = None
        if crypto == "paillier":
            messages = (unpack(np.frombuffer(f, np.uint8))[0] for *_, f in tap.frames)
            key = next(m.key.value for m in messages if isinstance(m, KeyMessage))
            n = PublicKey.from_bytes(key.tobytes()).n
        return small, weight, blob, n

    return run


def joint_order(tables) -> list[str]:
    tag = b"vfl row order" + bytes(16)  # of seed 0
    return sorted(tables.joint, key=lambda i: hashlib.sha256(tag + i.encode()).digest())


def wanted(small, weight) -> dict[str, np.ndarray]:
    """What gives the columns, the weight and the labels away on the first or last epoch's wire."""
    order = joint_order(small.tables)
    label = np.array([1.0 if small.tables.label[name] else -1.0 for name in order])
    return {
        "columns": COLUMN / 2,  # the first residual is half a label
        "weight": np.full(len(WEIGHT_ROWS), weight / 4),  # scores are sent with the slope 1/4
        "labels": label / 2,
    }


def test_the_mock_shows_columns_a_weight_and_all_labels(planted):
    small, weight, blob, _ = planted("mock")
    assert abs(weight) > 1e-3
    for name, values in wanted(small, weight).items():
        assert "float64 little" in search(values, blob), name


@pytest.mark.parametrize("crypto", ["paillier", "lattice", "ckks"])
def test_a_cipher_hides_columns_a_weight_and_all_labels(planted, crypto):
    small, weight, blob, n = planted(crypto)
    assert len(blob) > 100_000
    for name, values in wanted(small, weight).items():
        assert search(values, blob, n) == set(), name
    for value in (*COLUMN, weight, 0.5):  # and nothing encrypted is without randomness
        assert not {f for f in search(value, blob, n) if f.startswith(("not", "res"))}


@pytest.mark.parametrize("crypto", ["mock", "paillier", "lattice"])
def test_no_id_crosses_a_border_in_any_cipher(planted, crypto):
    small, _, blob, _ = planted(crypto)
    assert not any(i.encode() in piece for piece in pieces(blob) for i in small.tables.label)


def test_a_cipher_whose_randomness_is_left_out_is_found(planted, monkeypatch):
    """Protection off: the same run, with blinding that does nothing."""
    from vfl_crypto.paillier.blinding import DjnBlinding
    from vfl_crypto.paillier.limbs import to_limbs

    def nothing(self, count, threads):
        return to_limbs([1] * count, self._limbs)

    monkeypatch.setattr(DjnBlinding, "short", nothing)
    monkeypatch.setattr(DjnBlinding, "full", nothing)
    small, weight, blob, n = planted("paillier")
    looked_for = wanted(small, weight)
    looked_for["columns"] = np.rint(looked_for["columns"] * 2**17) / 2**17  # the matrix has 16 bits
    for name, values in looked_for.items():
        assert {f for f in search(values[:1], blob, n) if f.startswith("not randomised")}, name


def test_a_lattice_ciphertext_whose_randomness_is_left_out_is_refused(planted, monkeypatch):
    """Protection off: encryptions of zero that are zero. Whoever gets one looks for it."""
    from vfl_crypto.lattice import encryption

    def nothing(public, count):
        p = public.arithmetic.parameters
        return np.zeros((count, 2, len(p.primes), p.n), dtype=np.uint64)

    monkeypatch.setattr(encryption, "encrypt_zero", nothing)
    with pytest.raises(ProtocolError, match="without randomness"):
        planted("lattice")
