"""Fixed point, tile and plan of a lattice product: what all sides derive from public sizes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from vfl_crypto.errors import EncodingOverflowError, InsecureParametersError
from vfl_crypto.lattice import noise
from vfl_crypto.lattice.plan import Plan, choose, modulus_bits
from vfl_crypto.lattice.tiles import Tile

if TYPE_CHECKING:
    from vfl_crypto.fixedpoint import FixedPoint
    from vfl_crypto.lattice.parameters import ParameterSet


def vector_tile(n: int, count: int) -> Tile:
    """Of an encrypted vector (count,): as long as it fits, the rest for plain rows."""
    inner = min(n, 1 << (count - 1).bit_length())
    return Tile(n, n // inner, inner, 1)


class Formats:
    """Fixed point and plans: what both faces derive from public sizes alone.

    `terms` encryptions under the public key may add up in a factor; none where the key holder alone
    encrypts.
    """

    def __init__(
        self, parameters: ParameterSet, data: FixedPoint, plain: FixedPoint, terms: int
    ) -> None:
        self.parameters = parameters
        self.data = data
        self.plain = plain
        self.terms = terms
        self.plan = functools.lru_cache(maxsize=64)(self._plan)

    @property
    def sums_scale(self) -> int:
        """Fraction bits of a product."""
        return self.data.fraction_bits + self.plain.fraction_bits

    def tile(self, rows: int) -> Tile:
        """Of an encrypted vector (rows,)."""
        return vector_tile(self.parameters.n, rows)

    def modulus_bits(self, rows: int) -> int:
        """log2 t for sums over `rows`. Raises `EncodingOverflowError` for too many rows."""
        data_bits = self.data.integer_bits + self.data.fraction_bits + 1
        plain_bits = self.plain.integer_bits + self.plain.fraction_bits + 1
        more = (max(1, self.terms) - 1).bit_length()
        bits = modulus_bits(rows, plain_bits, data_bits + more)
        if bits > 64:
            raise EncodingOverflowError(
                f"sums over {rows} rows of {plain_bits} by {data_bits} bits do not fit 64 bits; "
                "use a smaller batch"
            )
        return bits

    def _plan(self, rows: int, count: int) -> Plan:
        """X^T d for X (rows, count); where others encrypt, with room to flood if possible."""
        public = noise.encrypted(self.parameters, public=True) * self.terms**0.5
        chosen = functools.partial(
            choose,
            self.parameters,
            (count, rows, 1),
            plain_bits=self.plain.integer_bits + self.plain.fraction_bits + 1,
            modulus_bits=self.modulus_bits(rows),
            fresh_std=max(public, noise.encrypted(self.parameters, public=False)),
            tile=self.tile(rows),
        )
        try:
            return chosen(flooded=self.terms > 0)
        except InsecureParametersError:
            return chosen()
