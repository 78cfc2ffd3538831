"""What can go wrong below the protocols, in one tree.

    CryptoError
    ├── InsecureParametersError     a key or ring below the floor; nothing was encrypted
    ├── EncodingOverflowError       a value does not fit the fixed-point range
    ├── KeyMismatchError            ciphertexts or keys that do not belong together
    ├── ReleaseError                a decrypted value may not leave its holder
    │   └── ReleaseBudgetError      the key has opened as many values as it may; rotate it
    ├── UnsafeDepartureError        a ciphertext would leave without fresh randomness
    ├── WireError                   bytes that are not a well-formed frame
    └── AlignmentError              points or ids that private set intersection must refuse

A message says what, where and what to do; it never holds a secret value.
"""


class CryptoError(Exception):
    """Root of everything `vfl_crypto` raises on purpose."""


class InsecureParametersError(CryptoError):
    """Parameters below 128-bit security (or the stated floor of a scheme)."""


class EncodingOverflowError(CryptoError):
    """A value that the fixed-point encoding cannot hold."""


class KeyMismatchError(CryptoError):
    """A ciphertext of another key, another scale or another shape than the operation needs."""


class ReleaseError(CryptoError):
    """A decrypted value was about to leave by another door than `release`."""


class ReleaseBudgetError(ReleaseError):
    """The key's budget of openings is used up; rotate the key."""


class UnsafeDepartureError(CryptoError):
    """A ciphertext without fresh randomness was about to cross a party border."""


class WireError(CryptoError):
    """Bytes that are not a well-formed frame of this version."""


class AlignmentError(CryptoError):
    """An input that private set intersection must refuse (low-order point, repeated id, ...)."""
