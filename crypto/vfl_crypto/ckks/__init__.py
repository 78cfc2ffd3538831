"""CKKS slots: encrypted vectors in TenSEAL's byte format, and gradients behind `LinearScheme`.

    secret = SecretKey(Arithmetic(Parameters.of_bits(8192, [50, 40, 40, 50])))
    holder = Holder(secret)                         # encrypts, decrypts, releases
    evaluator = Evaluator(holder.evaluator.public)  # what others hold

`ckks.tenseal` reads and writes contexts and vectors; `CkksScheme` is what jobs use.
"""

from vfl_crypto.ckks.arithmetic import Arithmetic
from vfl_crypto.ckks.evaluator import Evaluator
from vfl_crypto.ckks.holder import Holder
from vfl_crypto.ckks.keys import SecretKey
from vfl_crypto.ckks.parameters import Parameters
from vfl_crypto.ckks.scheme import CkksKeyHolder, CkksScheme
from vfl_crypto.ckks.vectors import Vectors

__all__ = [
    "Arithmetic",
    "CkksKeyHolder",
    "CkksScheme",
    "Evaluator",
    "Holder",
    "Parameters",
    "SecretKey",
    "Vectors",
]
