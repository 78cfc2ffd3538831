"""What a protocol may ask of an additively homomorphic cipher, whatever the cipher is.

A protocol never names a scheme. It holds one of two faces:

`Encryptor`   public key only: encrypts, adds, multiplies by plaintext matrices.
`KeyHolder`   owns the secret key: decrypts, and lets values out through `release` alone.

**Departure rule.** The product of a ciphertext and a plaintext matrix carries the matrix in its
randomness: whoever knows the factor divides it out. So a ciphertext may cross a party border only
if one encryption made just for it was added last. `encrypt` is that operation:

    encrypt(v)              [[v]]
    encrypt(v, onto=c)      [[v]] + c, with every slot of c that is not a result masked

and its results are the only ones marked `fresh`. `add` and `rmatmul` return ciphertexts that stay
at home; the message layer refuses to send them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vfl_crypto.errors import KeyMismatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.release import Decrypted, Released


@dataclass(frozen=True, eq=False)
class Ciphertext:
    """An encrypted vector of `count` reals: one contiguous array and what is needed to read it.

    Knows nothing of who owns it. `fresh` is true only where it was made by `encrypt` in this
    process; what comes off the wire is not fresh, so it cannot be passed on unchanged.
    """

    scheme: str  # "lattice", "paillier", "ckks", "mock"
    key_id: str  # digest of the public key, hex
    scale_bits: int  # a value v is stored as round(v * 2**scale_bits)
    count: int  # how many values
    body: NDArray[np.generic]  # C-contiguous; dtype and shape are the scheme's affair
    layout: str = "rows"  # "rows": one value a row; "sums": results of rmatmul
    fresh: bool = False
    terms: int = 1  # encryptions added up in it: a cipher with a range counts them

    @property
    def nbytes(self) -> int:
        return int(self.body.nbytes)


@dataclass(frozen=True)
class SchemeInfo:
    """How a ciphertext is protected, as the ledger and the reports print it."""

    scheme: str
    parameters: str  # "n: 3072 bit" or "N = 8192, log2 QP = 160"
    security_bits: int  # classical; 0 for the mock
    key_id: str


class Matrix:
    """A plain matrix (n, f) for many products: a read-only copy with an identity.

    A cipher may keep what it derives from it for as long as it lives.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = np.array(values, dtype=np.float64)
        if self._values.ndim != 2:
            raise KeyMismatchError(f"a matrix has two dimensions, not {self._values.shape}")
        self._values.flags.writeable = False

    def __len__(self) -> int:
        return len(self._values)

    @property
    def ndim(self) -> int:
        return 2

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self._values.shape
        return rows, columns

    def __array__(
        self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        return np.array(self._values, dtype=dtype, copy=copy)


class Encryptor(Protocol):
    """The public-key face. All arrays are float64; every method may run on any thread."""

    @property
    def info(self) -> SchemeInfo: ...

    def encrypt(self, values: NDArray[np.float64], onto: Ciphertext | None = None) -> Ciphertext:
        """Encrypt `values` (n,), or add them to `onto` (n,) with fresh randomness.

        The result is fresh: it may leave. Raises `EncodingOverflowError` for a value outside the
        fixed-point range, `KeyMismatchError` if `onto` belongs to another key or length.
        """

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """[[l + r]], same key, scale and length; not fresh."""

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        """[[X^T d]] (f,) from plain X (n, f) and [[d]] (n,); not fresh."""


class KeyHolder(Protocol):
    """The secret-key face. Never pickled, never printed."""

    @property
    def encryptor(self) -> Encryptor: ...

    @property
    def public_key(self) -> bytes:
        """What `LinearScheme.encryptor` reads on the other side."""

    @property
    def openings_left(self) -> int:
        """How many values may still be released under this key."""

    def decrypt(self, ciphertext: Ciphertext) -> Decrypted:
        """The values, sealed: only `release` turns them into an array."""

    def release(
        self, decrypted: Decrypted, significant_bits: int = 16, quantum: float = 0.0
    ) -> Released:
        """Round to `significant_bits`, but no finer than `quantum`, count, and open.

        Raises `ReleaseBudgetError` when the count would exceed the key's budget.
        """

    def close(self) -> None:
        """Drop the secret key."""


class LinearScheme(Protocol):
    """A cipher with its parameters: makes keys, reads public keys."""

    @property
    def name(self) -> str: ...

    def generate(self) -> KeyHolder:
        """A new key pair from the operating system's randomness."""

    def encryptor(self, public_key: bytes) -> Encryptor:
        """Read a public key made by `KeyHolder.public_key`.

        Raises `InsecureParametersError` below the floor, `WireError` for malformed bytes.
        """
