"""The ring kernels in use: native ones, or their Numba twins with VFL_KERNELS=numba.

Read once, at import. Any value but native and numba raises `CryptoError`.
"""

import os
from typing import TYPE_CHECKING

from vfl_crypto.errors import CryptoError

_choice = os.environ.get("VFL_KERNELS", "native")
if TYPE_CHECKING or _choice == "native":
    from vfl_crypto._native import CkksRing, KeySwitch, Ring
elif _choice == "numba":
    from vfl_crypto.portable import CkksRing, KeySwitch, Ring
else:
    raise CryptoError(f"VFL_KERNELS is {_choice!r}; set it to native (the default) or to numba")

__all__ = ["CkksRing", "KeySwitch", "Ring"]
