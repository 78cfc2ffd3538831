"""Our Paillier beside phe, with gmpy2 and with Python integers alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vfl_bench.harness import Contender, Work
from vfl_crypto.paillier import PaillierScheme

BATCH = 64
ROWS, COLUMNS = 100, 10


def works(bits: Sequence[int], peers: Sequence[str], threads: int) -> Iterator[Work]:
    """Encryption, decryption, addition and X^T[[d]] at each key size."""
    for size in bits:
        yield from _works(size, peers, threads)


def _works(size: int, peers: Sequence[str], threads: int) -> Iterator[Work]:
    holder = PaillierScheme(key_bits=size, threads=threads).generate()
    encryptor = holder.encryptor
    values = np.linspace(-1.0, 1.0, BATCH)
    rng = np.random.default_rng(0)
    X = np.ldexp(rng.integers(-(2**19), 2**19, (ROWS, COLUMNS)).astype(np.float64), -16)  # 20 bits
    d = rng.standard_normal(ROWS)
    batch, rows = encryptor.encrypt(values), encryptor.encrypt(d)
    phe = [row for row in _phe(size, values, X, d) if row[0] in peers] if peers else []
    info = encryptor.info
    facts = {
        "parameters": info.parameters, "key_bits": size, "security_bits": info.security_bits,
        "threads": threads,
    }  # fmt: skip

    def product() -> object:
        return encryptor.encrypt(np.zeros(COLUMNS), encryptor.rmatmul(X, rows))

    ours: dict[str, tuple[Callable[[], object], int, str]] = {
        "encrypt": (lambda: encryptor.encrypt(values), BATCH, "value"),
        "decrypt": (lambda: holder.decrypt(batch), BATCH, "value"),
        "add": (lambda: encryptor.add(batch, batch), BATCH, "value"),
        f"XTd/rows={ROWS}/columns={COLUMNS}": (product, ROWS * COLUMNS, "product"),
    }
    for index, (name, (run, items, unit)) in enumerate(ours.items()):
        contenders = [Contender("vfl", run, items)]
        contenders += [Contender(label, *runs[index]) for label, runs in phe]
        yield Work(f"paillier/bits={size}/{name}", unit, tuple(contenders), facts)
    holder.close()


def _phe(
    size: int, values: np.ndarray, X: np.ndarray, d: np.ndarray
) -> list[tuple[str, list[tuple[Callable[[], object], int]]]]:
    """phe on the same work, per element as its users write it; fewer items a call, it is slow."""
    try:
        import phe
        import phe.util
    except ImportError:
        return []
    phe.util.HAVE_GMP = importlib.util.find_spec("gmpy2") is not None
    public, private = phe.generate_paillier_keypair(n_length=size)
    few = [int(v * 2**30) for v in values[:2]]
    some = [public.encrypt(v) for v in few]
    cells = [[int(x) for x in row] for row in np.rint(X[:4, :2] * 2**16)]
    rows = [public.encrypt(int(v * 2**30)) for v in d[:4]]

    def product() -> object:
        return [sum(rows[i] * cells[i][j] for i in range(4)) for j in range(2)]

    def on(gmp: bool, run: Callable[[], object]) -> Callable[[], object]:
        def call() -> object:
            phe.util.HAVE_GMP = gmp
            return run()

        return call

    runs: list[tuple[Callable[[], object], int]] = [
        (lambda: [public.encrypt(v) for v in few], 2),
        (lambda: [private.decrypt(c) for c in some], 2),
        (lambda: [a + b for a, b in zip(some, some, strict=True)], 2),
        (product, 8),
    ]
    found = []
    if importlib.util.find_spec("gmpy2"):  # phe uses it where it is installed
        found.append(("phe+gmpy2", [(on(True, run), items) for run, items in runs]))
    found.append(("phe", [(on(False, run), items) for run, items in runs]))
    return found
