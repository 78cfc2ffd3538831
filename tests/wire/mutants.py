"""Damage to frames and bodies, and the memory a parser of them may take."""

import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LIES = [0, 1, 2, 50, 255, 4096, 9000, 2**18, 2**18 + 1, 2**31, 2**32 - 1]


def mutate(frame: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One to three random damages, most of them to lengths and descriptors."""
    data = bytearray(frame)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(7)
        at = int(rng.integers(max(1, len(data))))
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + 1] = bytes([rng.integers(256)])
        elif kind == 2:
            start = int(rng.integers(len(other)))
            data[at:at] = other[start : start + int(rng.integers(1, 65))]
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 65))]
        elif kind == 4 and len(data) >= 16:  # the counts of the prefix
            where, form = [(6, "<H"), (8, "<I"), (12, "<I"), (4, "<H")][rng.integers(4)]
            struct.pack_into(form, data, where, lie(rng) % (1 << 8 * struct.calcsize(form)))
        elif kind == 5 and len(data) >= 56:  # a word of a descriptor
            struct.pack_into("<Q", data, 24 + 8 * int(rng.integers(4)), lie(rng))
        elif len(data) >= 56:  # dtype and dimensions
            data[16 + int(rng.integers(8))] = int(rng.integers(8))
    return bytes(data)


def lie(rng: np.random.Generator) -> int:
    powers = [0, 1, 2, 3, 5, 16, 31, 32, 33, 47, 61, 62, 63]
    return max(0, (1 << int(rng.choice(powers))) + int(rng.integers(-2, 3)))


@contextmanager
def little_memory(mib: int = 256) -> Iterator[None]:
    """No more address space than there is now and `mib` above; not where it cannot be known."""
    status = Path("/proc/self/statm")
    before = resource.getrlimit(resource.RLIMIT_AS)
    if status.exists():
        used = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (mib << 20), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def damaged(corpus: list[np.ndarray], count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """`count` mutants: flips and lies in the first 64 bytes, cuts, additions, runs of one byte."""
    draws = zip(
        rng.integers(len(corpus), size=count).tolist(), rng.integers(10, size=count).tolist(),
        rng.integers(2**40, size=count).tolist(), rng.integers(256, size=count).tolist(),
        strict=True,
    )  # fmt: skip
    for which, kind, place, value in draws:
        data = corpus[which]
        at = place % len(data)
        if kind <= 2:  # most lengths are wrong
            yield data[:at] if kind else np.append(data, np.uint8(value))
            continue
        data = data.copy()
        if kind <= 5:
            data[place % min(64, len(data))] ^= 1 << value % 8
        elif kind == 6:
            data[at : at + 1 + value * 16] = 255 * (value % 2)
        elif kind == 7:
            data[at] = value
        elif kind == 8 and len(data) >= 8:
            data[4:8] = np.frombuffer(struct.pack("<I", LIES[place % len(LIES)]), dtype=np.uint8)
        else:
            data[0] = place % 8
        yield data
