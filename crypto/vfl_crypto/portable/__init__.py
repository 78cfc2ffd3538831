"""The ring kernels a second time: what `_native.Ring` and `_native.KeySwitch` do, bit for bit.

Own derivations, in integers of Python and Numba throughout. Same names, arguments and errors.
"""

from vfl_crypto.portable.keyswitch import KeySwitch
from vfl_crypto.portable.ring import Ring

__all__ = ["KeySwitch", "Ring"]
