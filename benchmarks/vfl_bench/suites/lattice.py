"""Encrypted matrix products on the lattice kernels, all of it: encrypt, multiply, pack, mask, open.

    gradient   X^T[[d]], X of 12 or 18 bits; "warm" with X's tiles transformed before, "cold" not
    EW         [[E]] W: encrypted embeddings times plain weights

Bytes are those on the wire both ways, and apart from them those of the public key, sent once. Short
work is timed several times in a row: beside a peer that takes seconds, one call of milliseconds
would mostly measure what the peer left in the caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from vfl_bench.harness import Contender, Work
from vfl_bench.suites.common import (
    Settings,
    beside_one_thread,
    gradient_facts,
    grid,
    relative_error,
)
from vfl_crypto.lattice import LatticeScheme, exchange, masking
from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.keys import SecretKey
from vfl_crypto.lattice.parameters import COMPACT, WIDE, ParameterSet
from vfl_crypto.lattice.plan import choose, modulus_bits
from vfl_crypto.lattice.product import Tiles
from vfl_crypto.security import SECURITY_BITS
from vfl_crypto.words import IntegerMatrix, Words

SHAPES = ((1024, 64), (4096, 300))
FORMATS = {12: (COMPACT, 12), 18: (WIDE, 24)}
"""Bits of X -> parameter set, bits of d: values below 4 in magnitude."""

EMBEDDINGS = (4096, 64, 32)  # batch, inner, outer
PRODUCTS = 1 << 21  # products at least in a timed call
PEER_ROWS = 2048  # TenSEAL's slots at N = 4096


def works(settings: Settings) -> Iterator[Work]:
    """The stated shapes, those of the command line, and [[E]] W."""
    shapes = dict.fromkeys((*SHAPES, *grid(settings)))
    for threads in settings.threads:
        for batch, features in shapes:
            yield _gradient(settings, batch, features, 12, threads, warm=True)
        batch, features = SHAPES[-1]
        yield _gradient(settings, batch, features, 12, threads, warm=False)
        yield _gradient(settings, batch, features, 18, threads, warm=True)
        yield _embeddings(threads)


def _gradient(
    settings: Settings, batch: int, features: int, bits: int, threads: int, *, warm: bool
) -> Work:
    parameters, data_bits = FORMATS[bits]
    log_t = modulus_bits(batch, bits, data_bits)
    rng = np.random.default_rng(0)
    X = np.clip(rng.standard_normal((batch, features)), -3.99, 3.99)
    d = np.clip(rng.standard_normal(batch), -3.99, 3.99)
    want = X.T @ d
    sizes = {}

    def integers() -> IntegerMatrix:
        return IntegerMatrix(np.rint(np.ldexp(X.T, bits - 3)), bits)

    def prepared(count: int) -> Callable[[], np.ndarray]:
        scheme = LatticeScheme(parameters, threads=count)
        holder = scheme.share_holder()
        evaluator = scheme.evaluator(holder.public_key)
        kept = integers()

        def run() -> np.ndarray:
            words = Words.of(np.rint(np.ldexp(d, data_bits - 3)).astype(np.int64), log_t)
            sent = holder.encrypt_words(words)
            masked, own = evaluator.multiply(kept if warm else integers(), sent)
            sizes["bytes"] = sent.nbytes + masked.nbytes
            sizes["key_bytes"] = len(holder.public_key)
            return (own + holder.share(masked)).signed(bits + data_bits - 6)

        return run

    error = relative_error(prepared(threads)(), want)
    times = -(-PRODUCTS // (batch * features)) if warm else 1

    def repeated(count: int) -> Callable[[], object]:
        run = prepared(count)
        return lambda: [run() for _ in range(times)]

    ours = beside_one_thread(repeated, threads, times * batch * features, lambda: error)
    peers: list[Contender] = []
    fits = warm and bits == 12 and batch <= PEER_ROWS
    if "tenseal" in settings.peers and fits and threads == 1:  # as many as the peer is given
        from vfl_bench.peers.tenseal_gradient import TensealGradient

        peer = TensealGradient(X, d, error)
        peers = [peer.dots(), peer.matmul()]
    shape = f"batch={batch}/features={features}/threads={threads}"
    return Work(
        f"lattice/gradient/{bits} bit/{'warm' if warm else 'cold'}/{shape}",
        "product",
        (*ours, *peers),
        _facts(parameters) | sizes | (gradient_facts(batch, features) if warm else {}),
    )


def _embeddings(threads: int) -> Work:
    """[[E]] W with E (B, d) and W (d, o), 12 bits both."""
    batch, inner, outer = EMBEDDINGS
    rng = np.random.default_rng(0)
    E = rng.integers(-2047, 2048, (batch, inner))
    W = rng.integers(-2047, 2048, (inner, outer))
    log_t = modulus_bits(inner, 12, 12)
    plan = choose(COMPACT, (outer, inner, batch), plain_bits=12, modulus_bits=log_t, rounded=True)
    columns = np.ascontiguousarray(E.T)
    sizes = {}

    def prepared(count: int) -> Callable[[], np.ndarray]:
        secret = SecretKey(Arithmetic(COMPACT, count))
        public = secret.publish(plan.levels)
        tiles = Tiles(plan, secret.arithmetic, np.ascontiguousarray(W.T))

        def run() -> np.ndarray:
            words = Words.of(columns.reshape(-1), plan.modulus_bits)
            up = exchange.upload(plan.tile, secret, words, columns.shape)
            down, own = exchange.answer(tiles, public, up)
            theirs = masking.open_share(plan, secret, down)
            sizes["bytes"] = up.nbytes + down.nbytes
            sizes["key_bytes"] = len(public.packed)
            return (own + theirs).signed().reshape(outer, batch)

        return run

    error = relative_error(prepared(threads)(), (E @ W).T)
    return Work(
        f"lattice/EW/batch={batch}/inner={inner}/outer={outer}/threads={threads}",
        "product",
        tuple(beside_one_thread(prepared, threads, batch * inner * outer, lambda: error)),
        _facts(COMPACT) | sizes,
    )


def _facts(parameters: ParameterSet) -> dict[str, object]:
    return {
        "parameters": str(parameters), "log_qp": parameters.log2_qp,
        "security_bits": SECURITY_BITS,
    }  # fmt: skip
