"""CKKS: this engine's masked slot sums beside TenSEAL's own rotations, on TenSEAL's arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vfl_bench.harness import Contender, Work

ROWS, COLUMNS = 1024, 16


def works(bits: Sequence[int], peers: Sequence[str], threads: int) -> Iterator[Work]:
    """Encryption, X^T[[d]] ready to leave, decryption. `bits` has no meaning here."""
    import tenseal

    from vfl_crypto.oracles.tenseal import CkksScheme

    del bits, threads  # TenSEAL's vector operations run on one thread and hold the GIL
    holder = CkksScheme().generate()
    encryptor = holder.encryptor
    info = encryptor.info
    facts = {"parameters": info.parameters, "security_bits": info.security_bits}
    rng = np.random.default_rng(0)
    X, d = rng.standard_normal((ROWS, COLUMNS)), rng.standard_normal(ROWS)
    ours = encryptor.encrypt(d)

    def product() -> object:
        return encryptor.encrypt(np.zeros(COLUMNS), encryptor.rmatmul(X, ours))

    result = encryptor.encrypt(np.zeros(COLUMNS), encryptor.rmatmul(X, ours))
    encrypt = [Contender("vfl", lambda: encryptor.encrypt(d), ROWS)]
    multiply = [Contender("vfl", product, ROWS * COLUMNS)]
    if "tenseal" in peers:
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60]
        )
        context.global_scale = 2.0**40
        context.generate_galois_keys()
        theirs, columns = tenseal.ckks_vector(context, d), [column.tolist() for column in X.T]
        encrypt.append(Contender("tenseal", lambda: tenseal.ckks_vector(context, d), ROWS))
        few = columns[:4]
        multiply.append(
            Contender("tenseal dot", lambda: [theirs.dot(c) for c in few], ROWS * len(few))
        )
        facts["peer_parameters"] = "N = 8192, log2 QP = 200, not masked"
    yield Work(f"ckks/encrypt/rows={ROWS}", "value", tuple(encrypt), facts)
    yield Work(f"ckks/XTd/rows={ROWS}/columns={COLUMNS}", "product", tuple(multiply), facts)
    decrypt = Contender("vfl", lambda: holder.decrypt(result), COLUMNS)
    yield Work(f"ckks/decrypt/columns={COLUMNS}", "value", (decrypt,), facts)
