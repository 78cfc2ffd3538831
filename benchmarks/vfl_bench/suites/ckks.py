"""CKKS: batches of encrypted vectors beside TenSEAL and the SEAL inside it; a gradient beside both.

Vectors: 64 of N/2 values at N = 8192 and scale 2^40, an item is a vector. TenSEAL takes its usual
primes of 60, 40, 40 and 60 bits; ours are four of 50 bits, as many together, and the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
from vfl_crypto.ckks import tenseal as foreign
from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.encoding import decode, encode, residues
from vfl_crypto.ckks.encryption import encrypt_public
from vfl_crypto.ckks.holder import Holder
from vfl_crypto.ckks.keys import SecretKey
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.ckks.scheme import CkksScheme
from vfl_crypto.linear import Ciphertext, KeyHolder
from vfl_crypto.security import check_ring

if TYPE_CHECKING:
    from vfl_bench.peers.seal import SealCkks
    from vfl_bench.peers.tenseal import TensealPeer
    from vfl_crypto.ckks.vectors import Vectors

N, COUNT, SCALE, BOUND = 8192, 64, 2.0**40, 8.0
SHORT, USUAL = (50, 50, 50, 50), (60, 40, 40, 60)


class Ours:
    """A new key of one chain, and a batch of vectors under it."""

    def __init__(self, bits: tuple[int, ...], threads: int) -> None:
        self.arithmetic = Arithmetic(Parameters.of_bits(N, bits), threads)
        self.holder = Holder(SecretKey(self.arithmetic))
        self.evaluator = self.holder.evaluator
        self.values = batch()
        self.vectors = self.evaluator.encrypt(self.values, SCALE, BOUND)
        self.context = foreign.Context(self.arithmetic, SCALE, self.evaluator.public)

    def multiply(self) -> Vectors:
        """By other values each, encoded anew, and rescaled."""
        return self.evaluator.rescale(
            self.evaluator.multiply_plain(self.vectors, self.values, bound=BOUND)
        )

    def multiply_encrypted(self) -> Vectors:
        return self.evaluator.rescale(self.evaluator.multiply(self.vectors, self.vectors))

    def error(self, vectors: Vectors, want: NDArray[np.float64]) -> float:
        return relative_error(unrounded(self.holder.decrypt(vectors)), want.reshape(-1))


def batch() -> NDArray[np.float64]:
    """(64, N/2) seeded values below 8."""
    return np.random.default_rng(0).standard_normal((COUNT, N // 2))


def works(settings: Settings) -> Iterator[Work]:
    """Vectors and their bytes; a gradient: encryption, X^T[[d]] ready to leave, decryption."""
    seal = tenseal = None
    if "tenseal" in settings.peers:
        from vfl_bench.peers.seal import SealCkks
        from vfl_bench.peers.tenseal import TensealPeer

        seal, tenseal = SealCkks(N, USUAL, SCALE, batch()), TensealPeer()
    for threads in settings.threads:
        yield from _vectors(threads, tenseal, seal)
    for threads in settings.threads:
        for rows, features in grid(settings):
            yield from _gradient(rows, features, threads, tenseal)


def _vectors(threads: int, tenseal: TensealPeer | None, seal: SealCkks | None) -> Iterator[Work]:
    counts = {count: Ours(SHORT, count) for count in {1, threads}}
    usual, one = Ours(USUAL, threads), counts[threads]
    values = one.values

    def work(
        name: str,
        run: Callable[[Ours], object],
        error: Callable[[Ours], float],
        peers: list[Contender],
        size: Callable[[Ours], int] | None = None,
    ) -> Work:
        ours = beside_one_thread(lambda count: lambda: run(counts[count]), threads, COUNT)
        ours = [_with_error(c, counts[int(c.facts["threads"])], error, size) for c in ours]
        facts = {"threads": threads, **_facts(USUAL)}
        same = Contender("vfl, same primes", lambda: run(usual), COUNT, facts)
        ours.append(_with_error(same, usual, error, size))
        return Work(
            f"ckks/{name}/n={N}/batch={COUNT}/threads={threads}", "vector",
            (*ours, *peers), _facts(SHORT),
        )  # fmt: skip

    yield work(
        "encrypt-public",
        lambda o: o.evaluator.encrypt(values, SCALE, BOUND),
        lambda o: o.error(o.vectors, values),
        [tenseal.encrypt_batch(values)] if tenseal else [],
    )
    yield work(
        "encode",
        lambda o: residues(o.arithmetic, encode(o.arithmetic, values, SCALE), 3),
        _encoding_error,
        [seal.encode()] if seal else [],
    )
    coefficients = encode(one.arithmetic, values, SCALE)
    yield work(
        "encrypt-encoded",
        lambda o: encrypt_public(o.evaluator.public, coefficients, 3),
        lambda o: o.error(o.vectors, values),
        [seal.encrypt()] if seal else [],
    )
    yield work(
        "encrypt-secret-to-bytes",
        lambda o: foreign.write_vectors(o.context, o.holder.encrypt(values, SCALE, BOUND)),
        lambda o: o.error(o.holder.encrypt(values, SCALE, BOUND), values),
        [tenseal.encrypt_to_bytes(values)] if tenseal else [],
        lambda o: len(foreign.write_vectors(o.context, o.holder.encrypt(values[0], SCALE, BOUND))),
    )
    yield work(
        "add",
        lambda o: o.evaluator.add(o.vectors, o.vectors),
        lambda o: o.error(o.evaluator.add(o.vectors, o.vectors), 2 * values),
        [tenseal.add(values)] if tenseal else [],
    )
    yield work(
        "multiply-plain-rescale",
        lambda o: o.multiply(),
        lambda o: o.error(o.multiply(), values**2),
        [tenseal.multiply_plain(values)] if tenseal else [],
    )
    yield work(
        "multiply-relinearise-rescale",
        lambda o: o.multiply_encrypted(),
        lambda o: o.error(o.multiply_encrypted(), values**2),
        [tenseal.multiply(values)] if tenseal else [],
    )
    yield work(
        "decrypt",
        lambda o: o.holder.decrypt(o.vectors),
        lambda o: o.error(o.vectors, values),
        [tenseal.decrypt_batch(values)] if tenseal else [],
    )


def _with_error(
    contender: Contender,
    ours: Ours,
    error: Callable[[Ours], float],
    size: Callable[[Ours], int] | None,
) -> Contender:
    figures = (lambda _: {"bytes": float(size(ours))}) if size else None
    return Contender(
        contender.peer, contender.run, contender.items, contender.facts, lambda: error(ours),
        figures,
    )  # fmt: skip


def _encoding_error(ours: Ours) -> float:
    words = residues(ours.arithmetic, encode(ours.arithmetic, ours.values, SCALE), 3)
    return relative_error(decode(ours.arithmetic, words, SCALE).real, ours.values)


def _gradient(rows: int, features: int, threads: int, peer: TensealPeer | None) -> Iterator[Work]:
    holders = {count: CkksScheme(threads=count).generate() for count in {1, threads}}
    X, d = gradient_data(rows, features)
    X /= 2  # within the range of a column
    want = X.T @ d
    sent = {count: holder.encryptor.encrypt(d) for count, holder in holders.items()}

    def product(count: int) -> Ciphertext:
        encryptor = holders[count].encryptor
        return encryptor.encrypt(np.zeros(features), encryptor.rmatmul(X, sent[count]))

    results = {count: product(count) for count in holders}
    info = holders[1].encryptor.info
    facts = {
        "parameters": info.parameters, "security_bits": info.security_bits,
        "log_qp": int(info.parameters.rpartition(" ")[2]),
    }  # fmt: skip
    shape = f"batch={rows}/features={features}/threads={threads}"
    fits = peer is not None and rows <= peer.slots
    encrypt = beside_one_thread(
        lambda count: lambda: holders[count].encryptor.encrypt(d), threads, rows,
        lambda: _error(holders[threads], sent[threads], d),
    )  # fmt: skip
    yield Work(f"ckks/encrypt-d/{shape}", "value", tuple(encrypt), facts)
    multiply = beside_one_thread(
        lambda count: lambda: product(count), threads, rows * features,
        lambda: _error(holders[threads], results[threads], want),
    )  # fmt: skip
    theirs = [peer.dot(X, d)] if peer and fits else []
    of_gradient = facts | gradient_facts(rows, features)
    yield Work(f"ckks/XTd/{shape}", "product", (*multiply, *theirs), of_gradient)
    decrypt = beside_one_thread(
        lambda count: lambda: holders[count].decrypt(results[count]), threads, features,
        lambda: _error(holders[threads], results[threads], want),
    )  # fmt: skip
    yield Work(f"ckks/decrypt-XTd/{shape}", "value", tuple(decrypt), facts)


def _error(holder: KeyHolder, ciphertext: Ciphertext, want: NDArray[np.float64]) -> float:
    return relative_error(unrounded(holder.decrypt(ciphertext)), want)


def _facts(bits: tuple[int, ...]) -> dict[str, object]:
    return {
        "parameters": f"N = {N}, log2 QP = {sum(bits)}", "log_qp": sum(bits),
        "security_bits": check_ring(N, bits),
    }  # fmt: skip
