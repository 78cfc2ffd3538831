"""The cipher a job asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfl.spec import CryptoSpec
    from vfl_crypto.linear import LinearScheme
    from vfl_crypto.sharing import SharingScheme


def make_scheme(crypto: CryptoSpec) -> LinearScheme:
    """The scheme of a resolved crypto section.

    Raises `InsecureParametersError` (of `vfl_crypto`) for a key below the floor.
    """
    if crypto.scheme == "mock":
        from vfl_crypto.oracles.mock import MockScheme

        return MockScheme()
    if crypto.scheme == "lattice":
        from vfl_crypto.lattice import LatticeScheme

        return LatticeScheme()
    if crypto.scheme == "ckks":
        from vfl_crypto.ckks import CkksScheme

        return CkksScheme()
    from vfl_crypto.paillier import PaillierScheme

    return PaillierScheme(key_bits=crypto.key_bits)


def make_sharing_scheme(
    crypto: CryptoSpec, shapes: Sequence[tuple[int, int]] = ()
) -> SharingScheme:
    """The scheme for products of these shapes; whoever makes no key need not name them.

    CKKS is refused when the job is read.
    """
    if crypto.scheme == "mock":
        from vfl_crypto.oracles.mock import MockScheme

        return MockScheme()
    if crypto.scheme == "lattice":
        from vfl_crypto.lattice import LatticeScheme, levels_for

        return LatticeScheme(levels=levels_for(shapes), tile_budget=_memory() // 4)
    from vfl_crypto.paillier import PaillierScheme

    return PaillierScheme(key_bits=crypto.key_bits)


def _memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def matrix_bits(crypto: CryptoSpec) -> int:
    """Fraction bits that a cipher keeps of an entry of a plain matrix; 16 where it keeps more."""
    if crypto.scheme == "lattice":
        from vfl_crypto.lattice.scheme import PLAIN

        return PLAIN.fraction_bits
    from vfl_crypto.paillier.scheme import PLAIN as PAILLIER_PLAIN

    return PAILLIER_PLAIN.fraction_bits
