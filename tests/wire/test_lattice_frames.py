"""Lattice bytes from a stranger: 200 000 mutants, each read as what it says or refused by name.

An address-space limit a little above what the process has stands behind every run: a length that is
believed before it is checked shows as a MemoryError, which no parser may raise.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from mutants import LIES, damaged, little_memory, mutate

from vfl_crypto import _native, wire
from vfl_crypto.errors import (
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
    ReleaseError,
    WireError,
)
from vfl_crypto.fixedpoint import FixedPoint
from vfl_crypto.lattice import LatticeScheme, bodies, exchange, masking
from vfl_crypto.lattice.bodies import Kind
from vfl_crypto.lattice.keys import PublicKey
from vfl_crypto.lattice.parameters import COMPACT
from vfl_crypto.lattice.plan import choose
from vfl_crypto.lattice.product import Tiles
from vfl_crypto.linear import Ciphertext
from vfl_crypto.words import IntegerMatrix, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

MUTANTS = {
    "bodies": 90_000,
    "frames": 40_000,
    "ciphertexts": 40_000,
    "public keys": 10_000,
    "returned products": 9_000,
    "uploads": 1_000,
    "bit streams": 10_000,
}
REFUSALS = (
    WireError,
    KeyMismatchError,
    EncodingOverflowError,
    InsecureParametersError,
    ReleaseError,
)
SCHEME = LatticeScheme(COMPACT, FixedPoint(1, 6), FixedPoint(3, 8), threads=1, levels=1)
HOLDER = SCHEME.generate()
SHARES = SCHEME.share_holder()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)
BITS = 40
MATRIX = IntegerMatrix(np.random.default_rng(0).integers(-99, 99, (3, 50)).astype(float), 8)
PRIMES = np.array(COMPACT.primes, dtype=np.uint64)[:, None]


def test_the_mutants_are_200_000():
    assert sum(MUTANTS.values()) == 200_000


def material() -> dict[str, Ciphertext]:
    """A ciphertext of each kind."""
    rng = np.random.default_rng(0)
    X, d = rng.uniform(-1, 1, (50, 3)), rng.uniform(-1, 1, 50)
    rows = PUBLIC.encrypt(d)
    product = PUBLIC.rmatmul(X, rows)
    plan = PUBLIC.formats.plan(50, 3)
    sent, _ = masking.mask(
        plan, PUBLIC._public, PUBLIC.product_polys(PUBLIC.check(product).payload, plan)
    )
    flooded = bodies.make(Kind.FLOODED, 50, sent)  # looks like a masked product of that plan
    words = SHARES.encrypt_words(Words.uniform(50, BITS))
    return {
        "public": rows,
        "seeded": HOLDER.encryptor.encrypt(d),
        "product": product,
        "flooded": Ciphertext("lattice", rows.key_id, product.scale_bits, 3, flooded, "sums"),
        "words": words,
        "masked": SHARES.evaluator.multiply(MATRIX, words)[0],
    }


MATERIAL = material()


def test_bodies_are_split_or_refused():
    rng = np.random.default_rng(1)
    payloads = [rng.integers(256, size=rng.integers(1, 99), dtype=np.uint8) for _ in range(4)]
    corpus = [
        bodies.make(
            kind, 0 if kind in bodies.VECTORS else 50, payload, bits=8 * (kind is Kind.MASKED)
        )
        for kind in Kind
        for payload in payloads
    ]
    seen: Counter[str] = Counter()
    with little_memory():
        for body in damaged(corpus, MUTANTS["bodies"], rng):
            try:
                kind, rows, bits, payload = bodies.split(body)
            except WireError:
                seen["refused"] += 1
                continue
            seen[kind.name] += 1
            assert bodies.make(kind, rows, payload, bits=bits).tobytes() == body.tobytes()
    assert seen["refused"] > MUTANTS["bodies"] / 5
    assert min(seen[kind.name] for kind in Kind) > MUTANTS["bodies"] / 40


def test_frames_that_carry_bodies_are_read_or_refused(redigest):
    """Damage to the frame with its digest set right, and whole frames of damaged bodies."""
    rng = np.random.default_rng(2)
    small = [c.body[:99] for c in MATERIAL.values()]
    corpus = [wire.pack(b"header", [body, *small[:i]]).tobytes() for i, body in enumerate(small)]
    outside = MUTANTS["frames"] * 3 // 4
    seen: Counter[str] = Counter()

    def read(frame: np.ndarray) -> None:
        try:
            for array in wire.unpack(frame).arrays:
                bodies.split(array)
            seen["read"] += 1
        except WireError as error:
            seen["body" if "lattice" in str(error) else "frame"] += 1

    with little_memory():
        for one, other in rng.integers(len(corpus), size=(outside, 2)).tolist():
            read(redigest(mutate(corpus[one], corpus[other], rng).ljust(32)))
        for body in damaged(small, MUTANTS["frames"] - outside, rng):
            read(wire.pack(b"header", [body, small[0]]))
    assert seen["frame"] > outside / 2
    assert seen["read"] > outside / 20 and seen["body"] > outside / 30


def claims(count: int, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """What a header says about a ciphertext: the truth, or with some luck one or two lies."""
    lies = {
        "count": [*LIES, 2**40, 2**62 + 512, 2**64 - 1, -1],
        "terms": [0, -1, 16, 17, 2**64 - 1],
        "scale_bits": [0, 6, 14, 15, -1, 2**63],
        "layout": ["rows", "sums", "words-40", "masked-40", "masked-96", "masked-129", ""],
        "scheme": ["ckks", ""],
        "key_id": ["", "0" * 64],
    }
    names = [*lies, *["count"] * 6, *["nothing"] * 12]
    draws = rng.integers(len(names), size=count).tolist()
    for name, value in zip(draws, rng.integers(2**40, size=count).tolist(), strict=True):
        options = lies.get(names[name])
        yield {names[name]: options[value % len(options)]} if options else {}


def test_ciphertexts_are_opened_or_refused():
    """Through `check`, `rows` and the key holder, whole sizes, every field a peer controls."""
    rng = np.random.default_rng(3)
    corpus = list(MATERIAL.values())
    count = MUTANTS["ciphertexts"]
    whole = damaged([c.body for c in corpus], count, np.random.default_rng(4))
    which = np.random.default_rng(4).integers(len(corpus), size=count).tolist()
    calls = {
        "check": PUBLIC.check,
        "rows": lambda c: assert_residues(PUBLIC.rows(c)),
        "decrypt": HOLDER.decrypt,
        "multiply": lambda c: assert_shares(SHARES.evaluator.multiply(MATRIX, c)[1]),
        "share": lambda c: assert_shares(SHARES.share(c)),
    }
    names = rng.choice([*calls, "check", "rows"], count).tolist()
    seen: Counter[str] = Counter()
    with little_memory():
        for body, i, name, claim in zip(whole, which, names, claims(count, rng), strict=True):
            c = corpus[i]
            truth = {
                "scheme": c.scheme, "key_id": c.key_id, "scale_bits": c.scale_bits,
                "count": c.count, "layout": c.layout, "terms": c.terms,
            }  # fmt: skip
            try:
                calls[name](Ciphertext(**{**truth, **claim}, body=body))
            except REFUSALS as error:
                seen[type(error).__name__] += 1
                continue
            seen[name] += 1
    assert sum(seen[e.__name__] for e in REFUSALS) > count / 2
    assert min(seen[e] for e in ("WireError", "KeyMismatchError", "EncodingOverflowError")) > 500
    assert min(seen[name] for name in calls) > 100


def assert_residues(polys: np.ndarray) -> None:
    assert polys.shape[1:] == (2, 2, COMPACT.n) and (polys < PRIMES).all()


def assert_shares(share: Words) -> None:
    assert len(share) == 3 and share.bits in (BITS, 96)


def test_a_count_that_wraps_around_in_64_bits_is_refused():
    """2^53 + 1 results of 131 072 bytes are 131 072 bytes modulo 2^64."""
    body = bodies.make(Kind.PRODUCT, 8192, np.zeros(131_072, dtype=np.uint8))
    c = MATERIAL["product"]
    lie = Ciphertext("lattice", c.key_id, c.scale_bits, 2**62 + 512, body, "sums")
    with little_memory(), pytest.raises(WireError):
        HOLDER.decrypt(lie)


def test_public_keys_are_read_or_refused():
    rng = np.random.default_rng(5)
    keys = [HOLDER.public_key, LatticeScheme(COMPACT, levels=0).generate().public_key]
    parts = msgspec.msgpack.decode(keys[1])
    for name, value in {
        "parameters": "wide", "seed": b"short", "switching": [b""] * 10, "encryption": b"",
    }.items():  # fmt: skip
        keys.append(msgspec.msgpack.encode({**parts, name: value}))
    corpus = [np.frombuffer(key, dtype=np.uint8) for key in keys]
    read = 0
    with little_memory():
        for key in damaged([corpus[0], *[corpus[1]] * 4, *corpus], MUTANTS["public keys"], rng):
            try:
                public = PublicKey.from_bytes(key.tobytes())
            except WireError:
                continue
            read += 1
            assert public.levels <= 1 and (public.encryption < PRIMES).all()
    assert 500 < read < MUTANTS["public keys"] / 2


def test_returned_products_are_opened_or_refused():
    rng = np.random.default_rng(6)
    plan = PUBLIC.formats.plan(50, 3)
    sent = bodies.split(MATERIAL["flooded"].body).payload
    opened = 0
    with little_memory():
        for mutant in damaged([sent], MUTANTS["returned products"], rng):
            try:
                values = masking.open_returned(plan, HOLDER._secret, mutant)
            except WireError:
                continue
            opened += 1
            assert values.shape == (3, 1) and not (values >> np.uint64(plan.modulus_bits)).any()
    assert MUTANTS["returned products"] / 3 < opened < MUTANTS["returned products"] * 0.75


def test_uploads_are_multiplied_or_refused():
    rng = np.random.default_rng(9)
    plan = choose(COMPACT, (2, 3, 4096), plain_bits=8, modulus_bits=30, rounded=True)
    tiles = Tiles(plan, PUBLIC._public.arithmetic, rng.integers(-100, 100, (2, 3)))
    data = Words.uniform(3 * 4096, 30)
    sent = exchange.upload(plan.tile, HOLDER._secret, data, (3, 4096))
    answered = 0
    with little_memory():
        for mutant in damaged([sent], MUTANTS["uploads"], rng):
            try:
                returned, share = exchange.answer(tiles, PUBLIC._public, mutant)
            except WireError:
                continue
            answered += 1
            assert returned.size == masking.returned_bytes(plan) and len(share) == 2 * 4096
    assert MUTANTS["uploads"] / 3 < answered < MUTANTS["uploads"] * 0.75


def test_bit_streams_are_residues_or_refused():
    """Lengths from 1 to 40: where a stream ends inside a byte or a word, and what comes after."""
    rng = np.random.default_rng(7)
    rns = _native.Rns(COMPACT.primes)
    read = {"unpack": 0, "decompress": 0}
    with little_memory():
        for m in range(1, 41):
            x = np.stack([rng.integers(0, q, m, dtype=np.uint64) for q in COMPACT.primes])
            for packed in damaged([rns.pack(x)], MUTANTS["bit streams"] // 80, rng):
                try:
                    got = rns.unpack(packed, m)
                except ValueError:
                    continue
                read["unpack"] += 1
                assert (got < PRIMES).all() and np.array_equal(rns.pack(got), packed)
            bits = int(rng.integers(1, 70))
            for packed in damaged([rns.compress(x, bits)], MUTANTS["bit streams"] // 80, rng):
                try:
                    got = rns.decompress(packed, bits, m)
                except ValueError:
                    continue
                read["decompress"] += 1
                assert (got < PRIMES).all() and np.array_equal(rns.compress(got, bits), packed)
    for times in read.values():
        assert MUTANTS["bit streams"] / 20 < times < MUTANTS["bit streams"] / 2 * 0.8


def test_no_length_makes_the_parsers_allocate():
    """Bodies of a length that fits nothing, whatever the header says: no array is made for them."""
    rng = np.random.default_rng(8)
    corpus = [c.body for c in MATERIAL.values()]
    lengths = {body.size for body in corpus}
    mutants = [body for body in damaged(corpus, 2000, rng) if body.size not in lengths]
    counts = [1, 3, 50, 9000, 2**18, 2**40]
    plan = PUBLIC.formats.plan(50, 3)
    for count in counts:
        for rows in (1, 50, 9000):
            PUBLIC.formats.plan(rows, count)
    opened = 0
    readers = {"words": lambda c: SHARES.evaluator.multiply(MATRIX, c), "masked": SHARES.share}
    tracemalloc.start()
    for i, body in enumerate(mutants):
        for name, c in MATERIAL.items():
            lie = replace(c, count=counts[i % len(counts)], body=body)
            try:
                readers.get(name, HOLDER.decrypt)(lie)
                opened += 1
            except REFUSALS:
                pass
        try:
            masking.open_returned(plan, HOLDER._secret, body)
            opened += 1
        except WireError:
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(mutants) > 500 and opened == 0
    assert peak < 20_000  # bytes; the bodies have up to 72 000, their polynomials 131 072
