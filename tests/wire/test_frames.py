"""Frames: what is packed comes back, and nothing else is accepted, whatever the bytes."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mutants import mutate

from vfl_crypto import wire
from vfl_crypto.errors import WireError

DTYPES = ["uint8", "uint32", "uint64", "int32", "int64", "float64"]
MUTANTS = 20_000

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        st.tuples(st.integers(0, 5), *[st.integers(1, 4)] * 2).flatmap(
            lambda shape: st.integers(1, 3).map(lambda n: shape[:n])
        ),
    )
)


def seeds() -> list[bytes]:
    """Frames of every feature: no arrays, each dtype, each number of dimensions, empty arrays."""
    rng = np.random.default_rng(1)
    frames = [wire.pack(b"", []), wire.pack(b"h" * 99, [])]
    frames += [wire.pack(b"x", [rng.integers(0, 99, (3, 2)).astype(dtype)]) for dtype in DTYPES]
    frames.append(wire.pack(b"abc", [np.zeros(0), np.zeros((2, 3, 4)), np.ones((0, 7), np.uint8)]))
    frames.append(wire.pack(b"", [np.zeros(k, np.uint8) for k in range(1, 9)]))
    return [frame.tobytes() for frame in frames]


@given(st.binary(max_size=200), st.lists(arrays, max_size=5))
@settings(max_examples=150)
def test_unpacking_a_packed_frame_gives_the_same_header_and_arrays(header, sent):
    frame = wire.pack(header, sent)
    got = wire.unpack(frame)
    assert got.header == header
    assert got.digest == frame[-32:].tobytes().hex()
    assert len(got.arrays) == len(sent)
    for before, after in zip(sent, got.arrays, strict=True):
        assert (before.dtype, before.shape) == (after.dtype, after.shape)
        assert before.tobytes() == after.tobytes()
        assert not after.flags.writeable


def test_a_strided_array_arrives_as_its_values():
    sent = np.arange(24.0).reshape(4, 6)[::2, ::3]
    (got,) = wire.unpack(wire.pack(b"", [sent])).arrays
    assert np.array_equal(got, sent)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.float32),
        np.zeros(3, ">f8"),
        np.zeros(3, bool),
        np.array([{}], object),
        np.zeros(()),
        np.zeros((1, 1, 1, 1)),
        np.zeros((3, 0)),
        np.zeros((0, 1 << 40), np.uint8),
    ],
    ids=["float32", "big-endian", "bool", "object", "0-d", "4-d", "empty rows", "vast row"],
)
def test_what_a_frame_cannot_hold_is_refused_before_anything_is_written(array):
    with pytest.raises(WireError, match="cannot hold"):
        wire.pack(b"", [array])


def test_too_many_arrays_and_too_long_headers_are_refused():
    with pytest.raises(WireError, match="at most"):
        wire.pack(b"", [np.zeros(1)] * (wire.MAX_ARRAYS + 1))
    with pytest.raises(WireError, match="at most"):
        wire.pack(bytes(wire.MAX_HEADER + 1), [])


@pytest.mark.parametrize("bad", [np.zeros(100), np.zeros((10, 10), np.uint8)])
def test_only_one_contiguous_run_of_bytes_is_a_frame(bad):
    with pytest.raises(WireError, match="contiguous"):
        wire.unpack(bad)
    with pytest.raises(WireError, match="contiguous"):
        wire.unpack(np.zeros(200, np.uint8)[::2])


@pytest.mark.parametrize("shape", [(0, 1 << 32, 1 << 32), (1 << 32, 0, 1), (1 << 63, 2, 1)])
def test_an_empty_frame_cannot_claim_to_hold_billions_of_rows(shape, redigest):
    # numpy would raise its own error for the first, and len() of the second is 4 294 967 296
    frame = bytearray(wire.pack(b"", [np.zeros((0, 3, 3))]).tobytes())
    struct.pack_into("<3Q", frame, 32, *shape)
    with pytest.raises(WireError):
        wire.unpack(redigest(bytes(frame)))


def test_an_array_never_has_more_rows_than_the_frame_has_bytes():
    for frame in (np.frombuffer(f, np.uint8) for f in seeds()):
        assert all(len(array) <= frame.size for array in wire.unpack(frame).arrays)


def test_every_flipped_byte_is_damage():
    frame = wire.pack(b"header", [np.arange(5.0)])
    for at in range(frame.size):
        damaged = frame.copy()
        damaged[at] ^= 1
        with pytest.raises(WireError):
            wire.unpack(damaged)


def test_the_parser_accepts_only_what_pack_writes_and_raises_nothing_but_wire_errors(redigest):
    rng = np.random.default_rng(20)
    corpus = seeds()
    accepted = behind_digest = 0
    for _ in range(MUTANTS):
        mutant = mutate(corpus[rng.integers(len(corpus))], corpus[rng.integers(len(corpus))], rng)
        if len(mutant) >= 32 and rng.random() < 0.9:
            frame = redigest(mutant)
        else:
            frame = np.frombuffer(mutant, np.uint8)
        try:
            got = wire.unpack(frame)
        except WireError as error:
            behind_digest += "array" in str(error) or "padding" in str(error)
            continue
        accepted += 1
        assert wire.pack(got.header, got.arrays).tobytes() == frame.tobytes()
    assert accepted > MUTANTS / 200  # e.g. changed values: the digest is all that guards them
    assert behind_digest > MUTANTS / 4  # most damage is found by the parser behind the digest


def test_no_length_in_a_frame_makes_the_parser_allocate(redigest):
    rng = np.random.default_rng(21)
    corpus = seeds()
    mutants = [mutate(corpus[rng.integers(len(corpus))], corpus[0], rng) for _ in range(2000)]
    frames = [redigest(m) for m in mutants if len(m) >= 32]
    tracemalloc.start()
    for frame in frames:
        try:
            wire.unpack(frame)
        except WireError:
            continue
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000  # bytes; the longest frame has about a thousand
