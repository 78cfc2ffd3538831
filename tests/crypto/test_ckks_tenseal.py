"""Bytes made here load in TenSEAL, its bytes load here, and both compute the same."""

import math
import struct
import sys

import numpy as np
import pytest
import tenseal as ts
from tenseal import sealapi

from vfl_crypto.ckks import framing, noise, protobuf, seal
from vfl_crypto.ckks import tenseal as own
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.encoding import encode, residues
from vfl_crypto.ckks.holder import Holder
from vfl_crypto.ckks.keys import PublicKey, SecretKey
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.ckks.seal import Polynomials
from vfl_crypto.errors import (
    CryptoError,
    EncodingOverflowError,
    KeyMismatchError,
    UnsafeDepartureError,
)

CHAINS = {
    "usual": (8192, [60, 40, 40, 60]),
    "short": (8192, [50, 40, 40, 50]),
    "small": (4096, [36, 30, 36]),
    "coarse": (4096, [40, 20, 40]),
    "large": (16384, [60, 40, 40, 40, 40, 40, 60]),
}
RNG = np.random.default_rng(0)


class Side:
    """One key, known to TenSEAL and to us: `theirs`, `context` and `holder`."""

    def __init__(self, name, *, made_by_tenseal):
        n, bits = CHAINS[name]
        self.scale = 2.0 ** bits[1]
        # Of products: TenSEAL declares no deviation.
        self.coarse = {20: 0.5, 30: 1e-3, 40: 1e-5}[bits[1]]
        if made_by_tenseal:
            self.theirs = ts.context(ts.SCHEME_TYPE.CKKS, n, coeff_mod_bit_sizes=bits)
            self.theirs.global_scale = self.scale
            flags = {"save_galois_keys": False, "save_public_key": True, "save_relin_keys": True}
            with_secret = own.read_context(self.theirs.serialize(save_secret_key=True, **flags))
            self.context = own.read_context(self.theirs.serialize(save_secret_key=False, **flags))
            self.holder = Holder(
                with_secret.secret, with_secret.public, self.context.relinearisation
            )
        else:
            arithmetic = Arithmetic(Parameters.of_bits(n, bits), 2)
            secret = SecretKey(arithmetic)
            self.holder = Holder(secret)
            e = self.holder.evaluator
            self.context = own.Context(arithmetic, self.scale, e.public, e.relinearisation, secret)
            self.theirs = ts.context_from(own.write_context(self.context, secret=True))

    def tolerance(self, deviation):
        return 7 * noise.peak(self.context.parameters.n) * deviation


SIDES = {
    (name, maker): Side(name, made_by_tenseal=maker == "tenseal")
    for name in CHAINS
    for maker in ("tenseal", "vfl")
}


@pytest.fixture(params=SIDES, ids="-".join)
def side(request):
    return SIDES[request.param]


def opened(side, vectors):
    return side.holder.decrypt(vectors)._values


@pytest.mark.parametrize("public", [True, False])
def test_our_vectors_decrypt_in_tenseal(side, public):
    values = RNG.uniform(-1, 1, side.context.parameters.slots)
    face = side.holder.evaluator if public else side.holder
    vectors = face.encrypt(values, side.scale)
    loaded = ts.ckks_vector_from(side.theirs, own.write_vectors(side.context, vectors))
    assert np.abs(np.array(loaded.decrypt()) - values).max() < side.tolerance(vectors.deviation)
    back = own.read_vectors(side.context, loaded.serialize(), 1.0)
    np.testing.assert_array_equal(back.words, vectors.words)  # the seed expanded as ours does


def test_their_vectors_decrypt_here_with_the_noise_of_seal(side):
    slots = side.context.parameters.slots
    values = RNG.uniform(-1, 1, slots)
    vectors = own.read_vectors(
        side.context, ts.ckks_vector(side.theirs, values.tolist()).serialize(), 1.0
    )
    off = (opened(side, vectors) - values) / vectors.deviation
    assert abs(off.std() - 1) < 6 * math.sqrt(5 / (4 * slots))
    assert (vectors.scale, vectors.level) == (side.scale, side.context.parameters.levels)
    assert not vectors.fresh


def test_tenseal_computes_with_ours_and_we_with_theirs(side):
    e = side.holder.evaluator
    x, y = (RNG.uniform(-1, 1, 1000) for _ in range(2))
    a, b = side.holder.encrypt(x, side.scale), e.encrypt(y, side.scale)
    ours = [ts.ckks_vector_from(side.theirs, own.write_vectors(side.context, v)) for v in (a, b)]
    theirs = ts.ckks_vector(side.theirs, x.tolist())
    for got, want in (
        (ours[0] + theirs, 2 * x),
        (ours[0] * ours[1], x * y),
        (ours[1] * y.tolist(), y * y),
    ):
        assert np.abs(np.array(got.decrypt()) - want).max() < side.coarse
    read = own.read_vectors(side.context, theirs.serialize(), 1.0)
    for vectors, want in (
        (e.add(read, a), 2 * x),
        (e.rescale(e.multiply(read, b)), x * y),
        (e.rescale(e.multiply_plain(read, y)), x * y),
    ):
        assert np.abs(opened(side, vectors) - want).max() < side.tolerance(vectors.deviation)


def test_what_tenseal_multiplied_is_read_at_its_level(side):
    x = RNG.uniform(-1, 1, 10)
    product = ts.ckks_vector(side.theirs, x.tolist()) * x.tolist()
    vectors = own.read_vectors(side.context, product.serialize(), 1.0)
    assert vectors.level == side.context.parameters.levels - 1
    assert np.abs(opened(side, vectors) - x * x).max() < side.coarse


def test_our_public_context_encrypts_and_multiplies_in_tenseal():
    side = SIDES["usual", "vfl"]
    written = own.write_context(side.context)
    context = ts.context_from(written)
    assert context.is_public() and not context.has_secret_key() and context.has_relin_keys()
    x = RNG.uniform(-1, 1, 100)
    v = ts.ckks_vector(context, x.tolist())
    read = own.read_vectors(side.context, (v * v).serialize(), 1.0)
    assert np.abs(opened(side, read) - x * x).max() < 1e-5


@pytest.mark.parametrize("name", CHAINS)
def test_contexts_come_back_as_they_were(name):
    side = SIDES[name, "vfl"]
    secret = own.read_context(own.write_context(side.context, secret=True))
    public = own.read_context(own.write_context(side.context))
    assert public.secret is None
    assert public.parameters == secret.parameters == side.context.parameters
    assert public.scale == side.scale
    np.testing.assert_array_equal(secret.secret.words, side.context.secret.words)
    for read in (public, secret):
        np.testing.assert_array_equal(read.public.words, side.context.public.words)
        assert read.public.key_id == side.context.public.key_id
    np.testing.assert_array_equal(public.relinearisation.words, side.context.relinearisation.words)


def test_a_symmetric_context_is_read_and_written():
    n, bits = CHAINS["usual"]
    theirs = ts.context(
        ts.SCHEME_TYPE.CKKS, n, coeff_mod_bit_sizes=bits,
        encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
    )  # fmt: skip
    theirs.global_scale = 2.0**40
    context = own.read_context(theirs.serialize(save_secret_key=True))
    assert context.symmetric
    holder = Holder(context.secret, context.public)
    again = ts.context_from(own.write_context(context, secret=True))
    values = RNG.uniform(-1, 1, 50)
    raw = own.write_vectors(context, holder.encrypt(values, 2.0**40))
    for reader in (theirs, again):
        assert np.abs(np.array(ts.ckks_vector_from(reader, raw).decrypt()) - values).max() < 1e-7


def test_a_fresh_secret_key_ciphertext_has_half_the_bytes():
    for name in ("usual", "large", "short", "small"):
        side = SIDES[name, "tenseal"]
        values = RNG.uniform(-1, 1, side.context.parameters.slots)
        ours = len(own.write_vectors(side.context, side.holder.encrypt(values, side.scale)))
        theirs = len(ts.ckks_vector(side.theirs, values.tolist()).serialize())
        assert ours <= 0.5 * theirs, name


def test_a_vector_longer_than_the_slots_is_several_ciphertexts():
    side = SIDES["small", "tenseal"]
    values = RNG.uniform(-1, 1, 5000)
    vectors = own.read_vectors(
        side.context, ts.ckks_vector(side.theirs, values.tolist()).serialize(), 1.0
    )
    assert vectors.lengths == (2048, 2048, 904)
    assert np.abs(opened(side, vectors) - values).max() < side.tolerance(vectors.deviation)


def test_a_batch_of_ours_is_one_long_vector_there():
    side = SIDES["usual", "tenseal"]
    values = RNG.uniform(-1, 1, (3, 4096))
    raw = own.write_vectors(side.context, side.holder.encrypt(values, side.scale))
    loaded = ts.ckks_vector_from(side.theirs, raw)
    assert np.abs(np.array(loaded.decrypt()) - values.reshape(-1)).max() < 1e-7


def test_what_was_computed_is_not_written_before_it_departs():
    side = SIDES["usual", "vfl"]
    e = side.holder.evaluator
    a = e.encrypt(np.ones(4), side.scale)
    product = e.rescale(e.multiply_plain(a, np.full(4, 0.5)))
    for vectors in (product, e.add(a, a)):
        with pytest.raises(UnsafeDepartureError, match="depart"):
            own.write_vectors(side.context, vectors)
    raw = own.write_vectors(side.context, e.depart(product, openings=1))
    loaded = np.array(ts.ckks_vector_from(side.theirs, raw).decrypt())
    assert np.abs(loaded - 0.5).max() < 0.01


def test_a_declared_deviation_never_switches_the_flood_off():
    side = SIDES["short", "vfl"]
    raw = own.write_vectors(side.context, side.holder.encrypt(np.ones(8), side.scale, 1.0))
    n = side.context.parameters.n
    least = noise.slot(n, noise.encryption(n, public=False), side.scale)
    for declared, hidden in ((0.0, least), (1e-300, least), (least, least), (9.0, 9.0)):
        vectors = own.read_vectors(side.context, raw, 1.0, declared)
        flood = side.holder.decrypt(vectors)._flood_std
        assert flood == noise.flood(noise.peak(n) * hidden, noise.OPENINGS, noise.STATISTICAL_BITS)
    for wrong in (-1.0, -1e-300, math.nan, math.inf):
        with pytest.raises(EncodingOverflowError, match="0 or more"):
            own.read_vectors(side.context, raw, 1.0, wrong)
    with pytest.raises(EncodingOverflowError, match="0 or more"):
        own.read_vectors(side.context, raw, -1.0)


def test_vectors_of_another_context_are_not_mixed_up():
    one, two = SIDES["usual", "vfl"], SIDES["usual", "tenseal"]
    raw = ts.ckks_vector(one.theirs, [1.0]).serialize()
    read = own.read_vectors(one.context, raw, 1.0)
    with pytest.raises(KeyMismatchError):
        two.holder.decrypt(read)
    with pytest.raises(KeyMismatchError):
        own.write_vectors(two.context, one.holder.encrypt(np.ones(1), one.scale))


@pytest.mark.parametrize("compression", ["none", "zlib", "zstd"])
@pytest.mark.parametrize("version", [(3, 4), (3, 6), (4, 1), (4, 3), (4, 9)])
def test_all_versions_and_compressions_are_read(version, compression):
    """TenSEAL 0.3.15 and 0.3.16 write 4.1, later ones 4.3; from 4.0 on there is one word more."""
    import zlib

    import zstandard

    p = Parameters.of_bits(*CHAINS["small"])
    words = np.stack([RNG.integers(0, q, (2, p.n), dtype=np.uint64) for q in p.data], 1)
    raw = seal.ciphertext_bytes(p, Polynomials(words, 2.0**30), compress=False)
    head, array = raw[16 : 16 + 65], raw[16 + 65 :]
    nested = struct.pack("<HBBBBHQ", 0xA15E, 16, *version, 0, 0, len(array)) + array[16:]
    members = head + (struct.pack("<Q", 1) if version >= (4, 0) else b"") + nested
    kind = ["none", "zlib", "zstd"].index(compression)
    packed = [lambda x: x, zlib.compress, zstandard.compress][kind](members)
    header = struct.pack("<HBBBBHQ", 0xA15E, 16, *version, kind, 0, 16 + len(packed))
    found = seal.read_ciphertext(p, memoryview(header + packed))
    np.testing.assert_array_equal(found.words, words)


@pytest.mark.parametrize("bits", [[60, 40, 40, 60], [50, 50, 50], [40, 20, 40, 20]])
def test_primes_are_those_of_seal(bits):
    theirs = [int(q.value()) for q in sealapi.CoeffModulus.Create(8192, bits)]
    assert list(Parameters.of_bits(8192, bits).primes) == theirs


def test_encoded_words_are_those_of_seal():
    """Up to a unit in few coefficients, where doubles round otherwise."""
    p = Parameters.of_bits(*CHAINS["usual"])
    arithmetic = Arithmetic(p)
    literal = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    literal.set_poly_modulus_degree(p.n)
    literal.set_coeff_modulus(sealapi.CoeffModulus.Create(p.n, CHAINS["usual"][1]))
    context = sealapi.SEALContext(literal, True, sealapi.SEC_LEVEL_TYPE.TC128)
    values = RNG.normal(size=4096) + 1j * RNG.normal(size=4096)
    plain = sealapi.Plaintext()
    sealapi.CKKSEncoder(context).encode(values.tolist(), 2.0**40, plain)
    theirs = np.fromiter((plain[i] for i in range(3 * p.n)), np.uint64, 3 * p.n)
    ours = residues(arithmetic, encode(arithmetic, values[None], 2.0**40), 3)[0]
    ring = arithmetic.ring(3)
    off = ring.inverse(ring.subtract(theirs.reshape(3, -1), ours))[0].astype(np.int64)
    off = np.where(off > p.primes[0] // 2, off - p.primes[0], off)
    assert np.abs(off).max() <= 1
    assert np.count_nonzero(off) < 0.01 * p.n


def test_the_shipped_path_works_without_tenseal_and_says_what_zstd_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "tenseal", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    side = SIDES["small", "vfl"]
    with pytest.raises(CryptoError, match=r"install vfl\[tenseal\]"):
        own.write_context(side.context)
    raw = seal.parameters_bytes(side.context.parameters, compress=False)
    assert seal.read_parameters(memoryview(raw)) == side.context.parameters
    with pytest.raises(CryptoError, match=r"install vfl\[tenseal\]"):
        seal.read_parameters(memoryview(raw[:5] + b"\x02" + raw[6:]))


def test_uncompressed_objects_load_in_seal_too():
    side = SIDES["small", "tenseal"]
    values = RNG.uniform(-1, 1, 10)
    vectors = side.holder.encrypt(values, side.scale)
    one = Polynomials(vectors.words[0], vectors.scale, vectors.seeds[0])
    raw = seal.ciphertext_bytes(side.context.parameters, one, compress=False)
    assert framing.HEADER.unpack(raw[:16])[5] == 0
    message = protobuf.write((1, protobuf.packed([10])), (2, raw), (3, vectors.scale))
    loaded = ts.ckks_vector_from(side.theirs, message)
    assert np.abs(np.array(loaded.decrypt()) - values).max() < 1e-4


def test_a_public_key_without_randomness_is_refused():
    from vfl_crypto.errors import WireError

    p = CHAINS["small"]
    arithmetic = Arithmetic(Parameters.of_bits(*p))
    with pytest.raises(WireError, match="without randomness"):
        PublicKey(arithmetic, np.zeros((2, 3, p[0]), dtype=np.uint64))
