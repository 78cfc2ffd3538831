"""Paillier's cipher in the variant of Damgard, Jurik and Nielsen, on the project's own kernels."""

from vfl_crypto.paillier.scheme import PaillierScheme

__all__ = ["PaillierScheme"]
