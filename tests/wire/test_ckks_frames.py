"""Bodies and public keys of encrypted gradients from a stranger: 20 000 mutants."""

from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from mutants import damaged, little_memory

from vfl_crypto.ckks import CkksScheme
from vfl_crypto.errors import (
    EncodingOverflowError,
    InsecureParametersError,
    KeyMismatchError,
    WireError,
)

REFUSALS = (WireError, KeyMismatchError, EncodingOverflowError, InsecureParametersError)
BODIES, FIELDS, KEYS = 12_000, 4_000, 4_000
SCHEME = CkksScheme(threads=1)
HOLDER = SCHEME.generate()
PUBLIC = SCHEME.encryptor(HOLDER.public_key)
X, D = np.random.default_rng(0).normal(size=(50, 3)) / 4, np.linspace(-1, 1, 50)
ROWS = PUBLIC.encrypt(D)
MATERIAL = [
    ROWS,
    HOLDER.encryptor.encrypt(D),
    PUBLIC.encrypt(np.zeros(3), onto=PUBLIC.rmatmul(X, ROWS)),
]


def outcome(call):
    try:
        call()
    except REFUSALS as refusal:
        return type(refusal).__name__
    return "read"


def test_the_material_is_what_it_should_be():
    for ciphertext, want in zip(MATERIAL, (D, D, X.T @ D), strict=True):
        assert np.abs(HOLDER.decrypt(ciphertext)._values - want).max() < 7 * (
            HOLDER.decrypt(ciphertext)._flood_std
        )


def test_mutated_bodies_are_refused_or_harmless():
    rng, seen = np.random.default_rng(0), Counter()
    with little_memory():
        for ciphertext in MATERIAL:
            for body in damaged([np.array(ciphertext.body)], BODIES // 3, rng):
                mutant = replace(ciphertext, body=body)
                seen[outcome(lambda m=mutant: HOLDER.decrypt(m))] += 1
    assert seen["WireError"] > 0.4 * BODIES
    assert seen["read"] > 0


@pytest.mark.parametrize("base", MATERIAL, ids=["public", "seeded", "sums"])
def test_mutated_fields_are_refused_or_harmless(base):
    """Counts and scales decide what is allocated: all lies end before that."""
    rng = np.random.default_rng(1)
    lies = [-(2**40), -1, 0, 1, 2, 3, 49, 50, 2048, 4097, 2**24, 2**24 + 1, 2**31, 2**62]
    with little_memory():
        for _ in range(FIELDS // 3):
            name = ["count", "scale_bits", "terms"][rng.integers(3)]
            change = {name: int(rng.choice(lies)), "layout": ["rows", "sums"][rng.integers(2)]}
            mutant = replace(base, **change)
            result = outcome(lambda m=mutant: HOLDER.decrypt(m))
            assert result != "read" or mutant.layout == base.layout


def test_mutated_public_keys_are_refused_or_harmless():
    rng, seen = np.random.default_rng(2), Counter()
    corpus = [np.frombuffer(HOLDER.public_key, dtype=np.uint8)]
    with little_memory():
        for raw in damaged(corpus, KEYS, rng):
            seen[outcome(lambda r=raw: SCHEME.encryptor(r.tobytes()))] += 1
    assert seen["WireError"] > 0.3 * KEYS


def test_every_formats_field_is_held_against_ours():
    raw = msgspec.msgpack.decode(HOLDER.public_key)
    for name, value in raw["formats"].items():
        changed = dict(raw, formats=dict(raw["formats"]))
        if name == "prime_bits":
            changed["formats"][name] = [24, 24, 30, 28]
        else:
            changed["formats"][name] = value - 1 if name != "n" else 16384
        with pytest.raises((KeyMismatchError, InsecureParametersError, WireError)):
            SCHEME.encryptor(msgspec.msgpack.encode(changed))
