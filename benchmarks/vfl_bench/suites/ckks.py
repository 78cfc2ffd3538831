"""CKKS: this engine's masked slot sums beside TenSEAL's own rotations, on TenSEAL's arithmetic.

One thread whatever is asked for: TenSEAL's vector operations use one and hold the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vfl_bench.harness import Contender, Work
from vfl_bench.suites.common import (
    Settings,
    gradient_data,
    gradient_facts,
    grid,
    relative_error,
    unrounded,
)
from vfl_crypto.linear import Ciphertext, KeyHolder, SchemeInfo
from vfl_crypto.oracles.ckks_noise import CkksParameters
from vfl_crypto.oracles.tenseal import CkksScheme

if TYPE_CHECKING:
    from vfl_bench.peers.tenseal import TensealPeer

ROWS = 1024


def works(settings: Settings) -> Iterator[Work]:
    """Encryption, X^T[[d]] ready to leave, decryption."""
    holder = CkksScheme().generate()
    encryptor = holder.encryptor
    peer = None
    if "tenseal" in settings.peers:
        from vfl_bench.peers.tenseal import TensealPeer

        peer = TensealPeer()
    values = np.random.default_rng(0).standard_normal(ROWS)
    ours = Contender(
        "vfl", lambda: encryptor.encrypt(values), ROWS,
        error=lambda: _error(holder, encryptor.encrypt(values), values),
    )  # fmt: skip
    theirs = [peer.encrypt(values)] if peer else []
    yield Work(
        f"ckks/encrypt/rows={ROWS}/threads=1", "value", (ours, *theirs), _facts(encryptor.info)
    )
    for batch, features in grid(settings):
        yield from _gradient(holder, batch, features, peer)


def _gradient(
    holder: KeyHolder, batch: int, features: int, peer: TensealPeer | None
) -> Iterator[Work]:
    encryptor = holder.encryptor
    X, d = gradient_data(batch, features)
    X /= 2  # within the range of a column
    rows, want = encryptor.encrypt(d), X.T @ d

    def product() -> Ciphertext:
        return encryptor.encrypt(np.zeros(features), encryptor.rmatmul(X, rows))

    result = product()
    multiply = Contender(
        "vfl", product, batch * features, error=lambda: _error(holder, product(), want)
    )
    decrypt = Contender(
        "vfl", lambda: holder.decrypt(result), features,
        error=lambda: _error(holder, result, want),
    )  # fmt: skip
    theirs = [peer.dot(X, d)] if peer and batch <= peer.slots else []
    shape = f"batch={batch}/features={features}/threads=1"
    facts = _facts(encryptor.info)
    of_gradient = facts | gradient_facts(batch, features)
    yield Work(f"ckks/XTd/{shape}", "product", (multiply, *theirs), of_gradient)
    yield Work(f"ckks/decrypt-XTd/{shape}", "value", (decrypt,), facts)


def _error(holder: KeyHolder, ciphertext: Ciphertext, want: np.ndarray) -> float:
    return relative_error(unrounded(holder.decrypt(ciphertext)), want)


def _facts(info: SchemeInfo) -> dict[str, object]:
    return {
        "parameters": info.parameters, "security_bits": info.security_bits,
        "log_qp": sum(CkksParameters().prime_bits), "threads": 1,
    }  # fmt: skip
