"""Our Paillier beside phe, with gmpy2 and with Python integers alone, and beside HEU's ZPaillier.

Ours masks the result of X^T[[d]] so that it may leave; the peers' results could not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import numpy as np

from vfl_bench.harness import Contender, Work
from vfl_bench.suites.common import (
    Settings,
    beside_one_thread,
    gradient_data,
    gradient_facts,
    grid,
    relative_error,
    unrounded,
)
from vfl_crypto.linear import Ciphertext, Encryptor, KeyHolder
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.paillier.private import PrivateKey

BATCH = 64
Peers = Callable[[str, int], list[Contender]]


def works(settings: Settings) -> Iterator[Work]:
    """Encryption, decryption, addition and X^T[[d]] at each key size and thread count."""
    values = np.linspace(-1.0, 1.0, BATCH)
    for bits in settings.bits:
        key = PrivateKey.generate(bits)
        holders = {
            count: PaillierScheme(key_bits=bits, threads=count).holder(key)
            for count in settings.counts
        }
        with ExitStack() as stack:
            peers = _peers(settings, bits, values, stack)
            for holder in holders.values():
                stack.callback(holder.close)
            for threads in settings.threads:
                yield from _vectors(bits, holders, values, peers, threads)
                for batch, features in grid(settings):
                    yield _gradient(bits, holders, batch, features, peers, threads)


def _peers(settings: Settings, bits: int, values: np.ndarray, stack: ExitStack) -> Peers:
    """(operation, threads) -> the peers' contenders, on a part of the work small enough."""
    X, d = gradient_data(16, 4)
    found: list[Peers] = []
    if "phe" in settings.peers:
        from vfl_bench.peers.phe import PhePeer

        phe = PhePeer(bits, values, X, d)
        found.append(lambda operation, _: phe.contenders(operation))
    if "heu" in settings.peers:
        from vfl_bench.peers.heu import HeuPeer

        heu = stack.enter_context(HeuPeer(settings.heu_python, bits, values, X, d))
        found.append(lambda operation, threads: [heu.contender(operation, threads)])
    return lambda operation, threads: [c for peer in found for c in peer(operation, threads)]


def _vectors(
    bits: int, holders: Mapping[int, KeyHolder], values: np.ndarray, peers: Peers, threads: int
) -> Iterator[Work]:
    opener, encryptor = holders[threads], holders[threads].encryptor
    batch = encryptor.encrypt(values)

    def error(run: Callable[[], Ciphertext], want: np.ndarray) -> Callable[[], float]:
        return lambda: relative_error(unrounded(opener.decrypt(run())), want)

    def encrypt(count: int) -> Callable[[], object]:
        return lambda: holders[count].encryptor.encrypt(values)

    def decrypt(count: int) -> Callable[[], object]:
        return lambda: holders[count].decrypt(batch)

    def add(count: int) -> Callable[[], object]:
        return lambda: holders[count].encryptor.add(batch, batch)

    for name, run, wrong in (
        ("encrypt", encrypt, error(lambda: encryptor.encrypt(values), values)),
        ("decrypt", decrypt, error(lambda: batch, values)),
        ("add", add, error(lambda: encryptor.add(batch, batch), 2 * values)),
    ):
        contenders = beside_one_thread(run, threads, BATCH, wrong) + peers(name, threads)
        yield Work(
            f"paillier/bits={bits}/{name}/threads={threads}", "value", tuple(contenders),
            _facts(encryptor, bits),
        )  # fmt: skip


def _gradient(
    bits: int,
    holders: Mapping[int, KeyHolder],
    batch: int,
    features: int,
    peers: Peers,
    threads: int,
) -> Work:
    X, d = gradient_data(batch, features)
    rows = holders[1].encryptor.encrypt(d)

    def product(encryptor: Encryptor) -> Ciphertext:
        return encryptor.encrypt(np.zeros(features), encryptor.rmatmul(X, rows))

    def run(count: int) -> Callable[[], object]:
        return lambda: product(holders[count].encryptor)

    def error() -> float:
        return relative_error(
            unrounded(holders[threads].decrypt(product(holders[threads].encryptor))), X.T @ d
        )

    contenders = beside_one_thread(run, threads, batch * features, error) + peers("XTd", threads)
    return Work(
        f"paillier/bits={bits}/XTd/batch={batch}/features={features}/threads={threads}",
        "product",
        tuple(contenders),
        _facts(holders[1].encryptor, bits) | gradient_facts(batch, features),
    )


def _facts(encryptor: Encryptor, bits: int) -> dict[str, object]:
    info = encryptor.info
    return {
        "parameters": info.parameters, "key_bits": bits, "security_bits": info.security_bits,
    }  # fmt: skip
