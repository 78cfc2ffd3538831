"""The ring kernels a second time: `_native.Ring`, `KeySwitch` and `CkksRing`, bit for bit.

Own derivations, in integers of Python and Numba throughout. Same names, arguments and errors.
"""

from vfl_crypto.portable.ckks import CkksRing
from vfl_crypto.portable.keyswitch import KeySwitch
from vfl_crypto.portable.ring import Ring

__all__ = ["CkksRing", "KeySwitch", "Ring"]
