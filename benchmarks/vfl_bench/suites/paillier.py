"""Our Paillier beside phe, with gmpy2 and with Python integers alone, and beside HEU's ZPaillier.

Ours masks the result of X^T[[d]] so that it may leave; the peers' results could not. "owner" is
encryption by the holder of the key, "packed" several values in each ciphertext; the peers do the
plain operation beside both.
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
from vfl_crypto.linear import Ciphertext, Encryptor
from vfl_crypto.paillier import PaillierScheme
from vfl_crypto.paillier.private import PrivateKey
from vfl_crypto.paillier.scheme import DEFAULT_WINDOW

BATCH = 64
Peers = Callable[[str, int], list[Contender]]


def works(settings: Settings) -> Iterator[Work]:
    """Encryption, decryption, addition and X^T[[d]] at each key size and thread count."""
    values = np.linspace(-1.0, 1.0, BATCH)
    for bits in settings.bits:
        key = PrivateKey.generate(bits)
        sides = {count: _Side(key, count) for count in settings.counts}
        with ExitStack() as stack:
            peers = _peers(settings, bits, values, stack)
            for side in sides.values():
                stack.callback(side.holder.close)
            for threads in settings.threads:
                yield from _vectors(bits, sides, values, peers, threads)
                for batch, features in grid(settings):
                    yield from _gradients(bits, sides, batch, features, peers, threads)


class _Side:
    """Both faces of one key, for calls of `threads`."""

    def __init__(self, key: PrivateKey, threads: int) -> None:
        scheme = PaillierScheme(key_bits=key.public.bits, threads=threads)
        self.holder = scheme.holder(key)
        self.encryptor = scheme.encryptor(self.holder.public_key)

    def opened(self, ciphertext: Ciphertext) -> np.ndarray:
        return unrounded(self.holder.decrypt(ciphertext))


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
    bits: int, sides: Mapping[int, _Side], values: np.ndarray, peers: Peers, threads: int
) -> Iterator[Work]:
    side = sides[threads]
    batch = side.encryptor.encrypt(values)
    packed = side.encryptor.pack(batch)

    def error(run: Callable[[], Ciphertext], want: np.ndarray) -> Callable[[], float]:
        return lambda: relative_error(side.opened(run()), want)

    def encrypt(count: int) -> Callable[[], Ciphertext]:
        return lambda: sides[count].encryptor.encrypt(values)

    def encrypt_owner(count: int) -> Callable[[], Ciphertext]:
        return lambda: sides[count].holder.encryptor.encrypt(values)

    def encrypt_packed(count: int) -> Callable[[], Ciphertext]:
        return lambda: sides[count].encryptor.encrypt_packed(values)

    def decrypt(count: int) -> Callable[[], object]:
        return lambda: sides[count].holder.decrypt(batch)

    def decrypt_packed(count: int) -> Callable[[], object]:
        return lambda: sides[count].holder.decrypt(packed)

    def pack(count: int) -> Callable[[], Ciphertext]:
        return lambda: sides[count].encryptor.pack(batch)

    def add(count: int) -> Callable[[], Ciphertext]:
        return lambda: sides[count].encryptor.add(batch, batch)

    for name, run, wrong, beside in (
        ("encrypt", encrypt, error(encrypt(threads), values), "encrypt"),
        ("encrypt-owner", encrypt_owner, error(encrypt_owner(threads), values), "encrypt"),
        ("encrypt-packed", encrypt_packed, error(encrypt_packed(threads), values), "encrypt"),
        ("decrypt", decrypt, error(lambda: batch, values), "decrypt"),
        ("decrypt-packed", decrypt_packed, error(lambda: packed, values), "decrypt"),
        ("pack", pack, error(pack(threads), values), None),
        ("add", add, error(add(threads), 2 * values), "add"),
    ):
        contenders = beside_one_thread(run, threads, BATCH, wrong)
        if beside is not None:
            contenders += peers(beside, threads)
        yield Work(
            f"paillier/bits={bits}/{name}/threads={threads}", "value", tuple(contenders),
            _facts(side.encryptor, bits),
        )  # fmt: skip


def _gradients(
    bits: int,
    sides: Mapping[int, _Side],
    batch: int,
    features: int,
    peers: Peers,
    threads: int,
) -> Iterator[Work]:
    X, d = gradient_data(batch, features)
    side = sides[threads]
    rows = side.encryptor.encrypt(d)
    zeros = np.zeros(features)

    def product(count: int) -> Callable[[], Ciphertext]:
        encryptor = sides[count].encryptor
        return lambda: encryptor.encrypt(zeros, encryptor.rmatmul(X, rows))

    def product_packed(count: int) -> Callable[[], Ciphertext]:
        encryptor = sides[count].encryptor
        return lambda: encryptor.encrypt(zeros, encryptor.pack(encryptor.rmatmul(X, rows)))

    def error(run: Callable[[], Ciphertext]) -> Callable[[], float]:
        return lambda: relative_error(side.opened(run()), X.T @ d)

    for name, run in (("XTd", product), ("XTd-packed", product_packed)):
        contenders = beside_one_thread(run, threads, batch * features, error(run(threads)))
        facts = _facts(side.encryptor, bits) | {"reply_bytes": run(threads)().nbytes}
        yield Work(
            f"paillier/bits={bits}/{name}/batch={batch}/features={features}/threads={threads}",
            "product",
            tuple(contenders + peers("XTd", threads)),
            facts | gradient_facts(batch, features),
        )


def _facts(encryptor: Encryptor, bits: int) -> dict[str, object]:
    info = encryptor.info
    return {
        "parameters": info.parameters, "key_bits": bits, "security_bits": info.security_bits,
        "window": DEFAULT_WINDOW,
    }  # fmt: skip
