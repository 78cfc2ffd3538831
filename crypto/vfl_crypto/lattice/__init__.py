"""Coefficient-packed RLWE: exact encrypted matrix products."""

from vfl_crypto.lattice.scheme import LatticeKeyHolder, LatticeScheme

__all__ = ["LatticeKeyHolder", "LatticeScheme"]
