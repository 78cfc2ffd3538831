"""Coefficient-packed RLWE: exact encrypted matrix products."""

from vfl_crypto.lattice.scheme import LatticeKeyHolder, LatticeScheme
from vfl_crypto.lattice.shares import levels_for

__all__ = ["LatticeKeyHolder", "LatticeScheme", "levels_for"]
