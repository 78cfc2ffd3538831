"""TenSEAL files from a stranger: 60 000 mutants, each read as what it says or refused by name.

An address-space limit a little above what the process has stands behind every run: a length that is
believed before it is checked shows as a MemoryError, which no parser may raise.
"""

import struct
import tracemalloc
import zlib
from collections import Counter

import numpy as np
import pytest
import zstandard
from mutants import little_memory

from vfl_crypto.ckks import protobuf, seal, tenseal
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.framing import HEADER, write_object, write_words
from vfl_crypto.ckks.holder import Holder
from vfl_crypto.ckks.keys import SecretKey
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.ckks.seal import Polynomials
from vfl_crypto.errors import EncodingOverflowError, InsecureParametersError, WireError

REFUSALS = (WireError, InsecureParametersError, EncodingOverflowError)
MUTANTS = {"objects": 30_000, "vectors": 20_000, "contexts": 5_000, "streams": 5_000}
P = Parameters.of_bits(2048, [26, 26])
SECRET = SecretKey(Arithmetic(P))
HOLDER = Holder(SECRET)
CONTEXT = tenseal.Context(
    SECRET.arithmetic, 2.0**18, HOLDER.evaluator.public, HOLDER.evaluator.relinearisation, SECRET
)
VALUES = np.linspace(-1, 1, 10)
PUBLIC, SEEDED = HOLDER.evaluator.encrypt(VALUES, 2.0**18), HOLDER.encrypt(VALUES, 2.0**18)


def polynomials(vectors):
    seed = None if vectors.seeds is None else vectors.seeds[0]
    return Polynomials(vectors.words[0], vectors.scale, seed)


def key_polynomials():
    public, relin = CONTEXT.public, CONTEXT.relinearisation
    return [Polynomials(public.words, 1.0), Polynomials(relin.words[0], 1.0, relin.seeds[0])]


def read_key(raw):
    return SecretKey(SECRET.arithmetic, seal.read_secret_key(P, raw))


def objects(*, compress):
    """Each object with its reader."""
    options = {"compress": compress}
    return [
        (seal.parameters_bytes(P, **options), seal.read_parameters),
        (seal.ciphertext_bytes(P, polynomials(PUBLIC), **options), ciphertext),
        (seal.ciphertext_bytes(P, polynomials(SEEDED), **options), ciphertext),
        (seal.ciphertext_bytes(P, key_polynomials()[0], **options), public_key),
        (seal.switching_bytes(P, key_polynomials()[1:], **options), switching),
        (seal.secret_key_bytes(P, SECRET.words, **options), read_key),
    ]


def ciphertext(raw):
    return seal.read_ciphertext(P, raw)


def public_key(raw):
    return seal.read_public_key(P, raw)


def switching(raw):
    return seal.read_switching(P, raw)


def lie(rng):
    powers = [0, 1, 2, 4, 8, 15, 16, 24, 31, 32, 47, 62, 63]
    return max(0, (1 << int(rng.choice(powers))) + int(rng.integers(-2, 3)))


def mutate(data, rng):
    """One to three damages, most of them where lengths are: near the ends, and after the words."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        near = int(rng.integers(min(200, len(data)) or 1))
        at = [near, max(0, len(data) - near), int(rng.integers(len(data) or 1))][rng.integers(3)]
        kind = rng.integers(7)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + 1] = bytes([rng.integers(256)])
        elif kind == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 40)))
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 40))]
        elif kind == 4 and len(data) >= at + 8:
            struct.pack_into("<Q", data, at, lie(rng))
        elif kind == 5 and len(data) >= 120:  # the lengths of a header and of a ciphertext
            struct.pack_into("<Q", data, [8, 49, 57, 65, 73, 89, 97][rng.integers(7)], lie(rng))
        elif len(data) > at:
            data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def outcome(read, raw):
    try:
        read(raw)
    except REFUSALS as refusal:
        return type(refusal).__name__
    return "read"


def test_mutated_objects_are_refused_or_harmless():
    rng, seen = np.random.default_rng(0), Counter()
    corpus = objects(compress=False)
    with little_memory():
        for i in range(MUTANTS["objects"]):
            raw, read = corpus[i % len(corpus)]
            seen[outcome(lambda r, read=read: read(memoryview(r)), mutate(raw, rng))] += 1
    assert seen["WireError"] > 0.8 * MUTANTS["objects"]
    assert seen["read"] > 0  # a flip in a word is another word


def test_mutated_vectors_are_refused_or_harmless():
    rng, seen = np.random.default_rng(1), Counter()
    parts = [seal.ciphertext_bytes(P, polynomials(v), compress=False) for v in (PUBLIC, SEEDED)]
    corpus = [protobuf.write((1, protobuf.packed([10])), (2, part), (3, 2.0**18)) for part in parts]
    corpus.append(tenseal.write_vectors(CONTEXT, SEEDED))
    with little_memory():
        for i in range(MUTANTS["vectors"]):
            raw = mutate(corpus[i % len(corpus)], rng)
            seen[outcome(lambda r: tenseal.read_vectors(CONTEXT, r, 1.0), raw)] += 1
    assert seen["WireError"] > 0.7 * MUTANTS["vectors"]


def test_mutated_contexts_are_refused_or_harmless():
    rng, seen = np.random.default_rng(2), Counter()
    corpus = [tenseal.write_context(CONTEXT), tenseal.write_context(CONTEXT, secret=True)]
    with little_memory():
        for i in range(MUTANTS["contexts"]):
            seen[outcome(tenseal.read_context, mutate(corpus[i % 2], rng))] += 1
    assert seen["WireError"] > 0.6 * MUTANTS["contexts"]


def test_mutated_streams_are_refused_or_harmless():
    rng, seen = np.random.default_rng(3), Counter()
    corpus = objects(compress=True)
    with little_memory():
        for i in range(MUTANTS["streams"]):
            raw, read = corpus[i % len(corpus)]
            stream = mutate(raw[HEADER.size :], rng)
            header = bytearray(raw[: HEADER.size])
            struct.pack_into("<Q", header, 8, HEADER.size + len(stream))
            mutant = bytes(header) + stream
            seen[outcome(lambda r, read=read: read(memoryview(r)), mutant)] += 1
    assert seen["WireError"] > 0.5 * MUTANTS["streams"]


def test_random_bytes_are_no_message():
    rng = np.random.default_rng(4)
    for _ in range(2000):
        raw = rng.bytes(int(rng.integers(0, 300)))
        assert outcome(tenseal.read_context, raw) == "WireError"
        assert outcome(lambda r: tenseal.read_vectors(CONTEXT, r, 1.0), raw) == "WireError"


@pytest.mark.parametrize("kind", [1, 2])
def test_a_bomb_stops_at_what_the_object_can_have(kind):
    zeros = bytes(1 << 30)
    packed = zlib.compress(zeros, 9) if kind == 1 else zstandard.compress(zeros)
    del zeros
    raw = HEADER.pack(0xA15E, 16, 4, 3, kind, 0, 16 + len(packed)) + packed
    tracemalloc.start()
    with little_memory(), pytest.raises(WireError, match="more than the"):
        seal.read_ciphertext(P, memoryview(raw))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("field", [b"\x12\x00", b"\x10\x00", b"\x9a\x06\x00", b"\x0a\x00"])
def test_a_message_of_millions_of_fields_stops_at_those_it_can_have(field):
    """Two bytes make a field, which takes a hundred times as many in memory."""
    raw = field * 2_000_000
    inner = protobuf.write((1, PARAMETERS), (2, raw))
    for read in (lambda: tenseal.read_vectors(CONTEXT, raw, 1.0),
                 lambda: tenseal.read_context(raw),
                 lambda: tenseal.read_context(inner)):  # fmt: skip
        tracemalloc.start()
        with little_memory(), pytest.raises(WireError, match="fields"):
            read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20


def test_a_vector_that_would_expand_too_far_is_refused_at_its_first_ciphertext(monkeypatch):
    raw = vector((1, b"\x0a" * 3), *[(2, GOOD)] * 3, (3, 2.0**18))
    assert len(tenseal.read_vectors(CONTEXT, raw, 1.0)) == 3
    monkeypatch.setattr(tenseal, "MAX_WORD_BYTES", 3 * PUBLIC.words.nbytes - 1)
    with pytest.raises(WireError, match="split it"):
        tenseal.read_vectors(CONTEXT, raw, 1.0)


@pytest.mark.parametrize(
    ("limit", "read"),
    [
        ("MAX_VECTOR_BYTES", lambda raw: tenseal.read_vectors(CONTEXT, raw, 1.0)),
        ("MAX_CONTEXT_BYTES", tenseal.read_context),
    ],
)
def test_more_bytes_than_are_read_at_once_are_refused(monkeypatch, limit, read):
    monkeypatch.setattr(tenseal, limit, 99)
    with pytest.raises(WireError, match="100 bytes are more than the 99"):
        read(bytes(100))


def test_a_stream_that_wants_a_vast_window_is_refused():
    vast = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=0)
    packed = zstandard.ZstdCompressor(compression_params=vast).compressobj()
    stream = packed.compress(bytes(100)) + packed.flush()
    raw = HEADER.pack(0xA15E, 16, 4, 3, 2, 0, 16 + len(stream)) + stream
    with little_memory(), pytest.raises(WireError, match="zstd"):
        seal.read_ciphertext(P, memoryview(raw))


def framed(members, **header):
    values = {"magic": 0xA15E, "length": 16, "major": 3, "minor": 6, "kind": 0, "zero": 0}
    values |= {"size": 16 + len(members)} | header
    return HEADER.pack(*values.values()) + members


PLAIN = seal.ciphertext_bytes(P, polynomials(PUBLIC), compress=False)[16:]
HALF = seal.ciphertext_bytes(P, polynomials(SEEDED), compress=False)[16:]


def changed(members, at, form, *values):
    data = bytearray(members)
    struct.pack_into("<" + form, data, at, *values)
    return bytes(data)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (framed(PLAIN, magic=0xA15F), "header"),
        (framed(PLAIN, length=15), "header"),
        (framed(PLAIN, zero=1), "header"),
        (framed(PLAIN, size=15), "header"),
        (framed(PLAIN, size=17), "announces 17 bytes"),
        (framed(PLAIN, major=3, minor=3), r"SEAL 3\.3"),
        (framed(PLAIN, major=5, minor=0), r"SEAL 5\.0"),
        (framed(PLAIN, kind=3), "unknown way: 3"),
        (framed(PLAIN, kind=1), "no zlib stream"),
        (framed(PLAIN, kind=2), "no zstd stream"),
        (framed(zlib.compress(PLAIN)[:-1], kind=1), "cut off"),
        (framed(zlib.compress(PLAIN) + b"x", kind=1), "goes on"),
        (framed(zstandard.compress(PLAIN)[:-9], kind=2), "too early|zstd"),
        (framed(PLAIN, major=4, minor=3), "correction factor|parameters"),
        (framed(changed(PLAIN, 3, "B", 9)), "other parameters"),
        (framed(changed(PLAIN, 32, "B", 0)), "polynomials at scale"),
        (framed(changed(PLAIN, 33, "Q", 1)), "ciphertext of 1 polynomials"),
        (framed(changed(PLAIN, 33, "Q", 4)), "ciphertext of 4 polynomials"),
        (framed(changed(PLAIN, 33, "Q", 3)), "16384 words|words, not"),
        (framed(changed(PLAIN, 41, "Q", 4096)), "other parameters"),
        (framed(changed(PLAIN, 49, "Q", 2)), "other parameters"),
        (framed(changed(PLAIN, 57, "d", 0.0)), "at scale 0"),
        (framed(changed(PLAIN, 57, "d", np.nan)), "at scale nan"),
        (framed(changed(PLAIN, 57, "d", np.inf)), "at scale inf"),
        (framed(changed(PLAIN, 81, "Q", 2**60)), "words, not"),
        (framed(changed(PLAIN, 70, "B", 1)), "compressed part"),
        (framed(changed(PLAIN, 89, "Q", P.data[0])), "below its prime"),
        (framed(PLAIN + b"x"), "1 bytes too many"),
        (framed(PLAIN[:-1]), "words, not|too early"),
        (framed(PLAIN[:50]), "too early"),
        (framed(HALF[:-1]), "too early"),
        (framed(HALF[: -64 - 1] + b"\x02" + HALF[-64:]), "generator 2"),
        (b"", "shorter than"),
        (framed(PLAIN)[:15], "shorter than"),
    ],
)
def test_each_lie_is_named(raw, reason):
    with pytest.raises(WireError, match=reason):
        seal.read_ciphertext(P, memoryview(raw))


def parameters(scheme=2, n=2048, primes=P.primes, plain=0, tail=b""):
    members = struct.pack("<BQQ", scheme, n, len(primes))
    members += b"".join(write_object(struct.pack("<Q", q)) for q in (*primes, plain))
    return memoryview(write_object(members + tail))


@pytest.mark.parametrize(
    ("raw", "error", "reason"),
    [
        (parameters(scheme=1), WireError, "scheme 1"),
        (parameters(n=2047), WireError, "N = 2047"),
        (parameters(n=2**40), WireError, "N = 1099511627776"),
        (parameters(primes=P.primes[:1]), WireError, "1 primes"),
        (parameters(primes=P.primes * 33), WireError, "parameters"),
        (parameters(plain=65537), WireError, "plain modulus"),
        (parameters(tail=b"x"), WireError, "too many"),
        (parameters(primes=(P.primes[0], P.primes[0])), InsecureParametersError, "different"),
        (parameters(primes=(P.primes[0], P.primes[0] + 2)), InsecureParametersError, "not a prime"),
        (parameters(primes=(P.primes[0], 0)), InsecureParametersError, "2 bits or more"),
        (parameters(primes=(P.primes[0], 2**63)), InsecureParametersError, "limit of 53"),
        (parameters(primes=(2**27 - 39, P.primes[0], 3)), InsecureParametersError, "limit of 53"),
    ],
)
def test_parameters_that_are_none_of_ours_are_refused(raw, error, reason):
    with pytest.raises(error, match=reason):
        seal.read_parameters(raw)


def test_218_bits_pass_in_tenseal_and_not_here():
    """Its limits are those of 2018: 218 bits at N = 8192, four more than we take."""
    import tenseal as ts

    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 60, 60, 38])
    context.global_scale = 2.0**38
    with pytest.raises(InsecureParametersError, match="218 is above the limit of 214"):
        tenseal.read_context(context.serialize())


def test_a_secret_that_is_not_ternary_is_refused():
    ring = SECRET.arithmetic.key_ring
    two = np.zeros(P.n, dtype=np.int64)
    two[5] = 2
    other = SECRET.words.copy()
    other[1] = SecretKey(SECRET.arithmetic).words[1]  # another key modulo the second prime
    for words in (ring.forward(ring.lift(two)), other):
        raw = seal.secret_key_bytes(P, words, compress=False)
        with pytest.raises(WireError, match="ternary"):
            read_key(memoryview(raw))


def vector(*fields):
    return protobuf.write(*fields)


GOOD = seal.ciphertext_bytes(P, polynomials(PUBLIC), compress=False)
HIGHER = seal.ciphertext_bytes(P, Polynomials(PUBLIC.words[0], 2.0**17), compress=False)
BARE = np.concatenate((PUBLIC.words[0, :1], np.zeros_like(PUBLIC.words[0, :1])))
BARE = seal.ciphertext_bytes(P, Polynomials(BARE, 2.0**18), compress=False)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "with none"),
        (vector((2, GOOD)), "other numbers"),
        (vector((1, b"\x0a\x0a"), (2, GOOD)), "other numbers"),
        (vector((1, b"\x00"), (2, GOOD)), "1 to 1024 values"),
        (vector((1, protobuf.packed([1025])), (2, GOOD)), "1 to 1024 values"),
        (vector((1, b"\x0a\x0a"), (2, GOOD), (2, HIGHER)), "differ in scale"),
        (vector((1, b"\x0a"), (2, BARE)), "without randomness"),
        (vector((1, bytes(70000)), (2, GOOD)), "more than 4096"),
        (vector((1, b"\xff" * 11), (2, GOOD)), "64 bits"),
        (vector((1, b"\xff"), (2, GOOD)), "inside a number"),
        (b"\x02\x00", "without a number"),
        (b"\x0b\x00", "unknown kind 3"),
        (b"\x0a\x7f", "longer than its message"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "longer than its message"),
    ],
)
def test_each_lie_of_a_vector_is_named(raw, reason):
    with pytest.raises(WireError, match=reason):
        tenseal.read_vectors(CONTEXT, raw, 1.0)


def context(*fields, public=None):
    inner = public if public is not None else ((1, PUBLIC_KEY), (3, 2.0**18))
    return protobuf.write((1, PARAMETERS), (2, protobuf.write(*inner)), *fields)


PARAMETERS = seal.parameters_bytes(P, compress=False)
PUBLIC_KEY = seal.ciphertext_bytes(P, key_polynomials()[0], compress=False)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "without parameters"),
        (protobuf.write((1, PARAMETERS)), "without its public part"),
        (protobuf.write((1, 5)), "without parameters"),
        (context(public=((1, PUBLIC_KEY),)), "without a scale"),
        (context(public=((1, PUBLIC_KEY), (3, 0.0))), "the scale 0"),
        (context(public=((1, PUBLIC_KEY), (3, float("nan")))), "the scale nan"),
        (context(public=((1, PUBLIC_KEY), (3, b"1234"))), "the scale 0"),
        (context(public=((3, 2.0**18),)), "holds no key at all"),
        (context((3, b"")), "without its secret key"),
        (context((3, 7)), "where bytes should be"),
        (context(public=((1, GOOD), (3, 2.0**18))), "other parameters"),
        (context(public=((1, PUBLIC_KEY), (3, 1.0), (4, PUBLIC_KEY))), "relinearisation"),
    ],
)
def test_each_lie_of_a_context_is_named(raw, reason):
    with pytest.raises(WireError, match=reason):
        tenseal.read_context(raw)


def test_unknown_fields_and_galois_keys_are_read_over():
    raw = context(public=((1, PUBLIC_KEY), (3, 2.0**18), (5, b"galois"), (99, 1)))
    read = tenseal.read_context(raw)
    np.testing.assert_array_equal(read.public.words, CONTEXT.public.words)


def test_a_key_of_too_many_digits_is_refused():
    relin = key_polynomials()[1]
    raw = seal.switching_bytes(P, [relin, relin], compress=False)
    with pytest.raises(WireError):
        seal.read_switching(P, memoryview(raw))


def test_what_is_written_is_what_is_documented():
    raw = seal.ciphertext_bytes(P, polynomials(SEEDED), compress=False)
    assert raw[:8] == bytes([0x5E, 0xA1, 16, 3, 6, 0, 0, 0])
    assert len(raw) == 16 + 65 + 16 + 8 + 8 * P.n + 81
    assert raw[-64:] == SEEDED.seeds[0].tobytes()
    assert raw[81 : 81 + 16 + 8 + 8 * P.n] == write_words(SEEDED.words[0, :1])
