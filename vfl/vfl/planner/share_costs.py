"""What each cipher takes for products that become shares: bytes, seconds, memory.

Bytes are those of `Ciphertext.body`, exactly: a lattice's follow from the plan that the job will
use, Paillier's from how masked products are packed. A shape without room raises `CryptoError`, as
it would in the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from vfl.planner.ciphers import Key
from vfl.protocols.blocks import HANDED_BITS
from vfl.protocols.iterate import WEIGHT_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfl.planner.units import LatticeShareUnits, PaillierShareUnits, Units
    from vfl.spec import CryptoSpec

HANDED: Final = WEIGHT_BITS - HANDED_BITS
"""Low bits that shares of weights are handed over without."""


@dataclass(frozen=True)
class Product:
    """P (rows, inner) times [[w]] modulo 2^bits: bytes and seconds of one."""

    vector: int  # an encrypted w, as sent
    masked: int  # the product, as sent back
    encrypt: float
    prepare: float  # of P
    multiply: float
    share: float
    kept: int  # bytes of P as the cipher has it, where it keeps it
    working: int  # and those of ciphertexts while it is worked on


class ShareCosts(Protocol):
    """The costs of one cipher."""

    name: str
    parameters: str
    security_bits: int
    id_length: int  # characters of a key's id

    def key(self, shapes: Sequence[tuple[int, int]], dropped_bits: int = HANDED) -> Key:
        """For products of matrices of these shapes, and shares opened without so many low bits."""

    def product(self, rows: int, inner: int, plain_bits: int, bits: int) -> Product:
        """Raises `CryptoError` where the cipher's range is too small."""


def share_costs(crypto: CryptoSpec, units: Units) -> ShareCosts:
    """The costs of a resolved crypto section. CKKS has no shares: such a job is refused."""
    if crypto.scheme == "lattice":
        return Lattice(units.lattice_shares)
    if crypto.scheme == "paillier":
        return Paillier(units.paillier_shares.at(crypto.key_bits))
    return Mock(units)


class Lattice:
    """The product path."""

    name = "lattice"
    id_length = 64

    def __init__(self, units: LatticeShareUnits) -> None:
        from vfl_crypto.lattice.parameters import WIDE
        from vfl_crypto.security import SECURITY_BITS

        self._units, self._set = units, WIDE
        self.parameters, self.security_bits = str(WIDE), SECURITY_BITS
        self._poly = len(WIDE.primes) * WIDE.n * 8  # bytes of a polynomial modulo Q
        self._packed = sum(q.bit_length() for q in WIDE.primes) * WIDE.n // 8

    def key(self, shapes: Sequence[tuple[int, int]], dropped_bits: int = HANDED) -> Key:
        from vfl_crypto.lattice.masking import DROPPED_BITS, OPENINGS_PER_BIT
        from vfl_crypto.lattice.shares import levels_for

        units, p, levels = self._units, self._set, levels_for(shapes)
        digits = len(p.primes)
        switching = digits * sum(q.bit_length() for q in p.moduli) * p.n // 8
        size = self._packed + levels * (switching + 5) + 105
        return Key(
            size, units.make_key + levels * units.make_level,
            units.read_key + levels * units.read_level, 0.0,
            OPENINGS_PER_BIT << min(DROPPED_BITS, dropped_bits),
            size + 2 * self._poly + levels * digits * 2 * len(p.moduli) * p.n * 8,
        )  # fmt: skip

    def product(self, rows: int, inner: int, plain_bits: int, bits: int) -> Product:
        from vfl_crypto.lattice.masking import returned_bytes
        from vfl_crypto.lattice.plan import BYTE_NS
        from vfl_crypto.lattice.shares import share_plan

        units = self._units
        plan = share_plan(self._set, rows, inner, plain_bits, bits)
        link = (plan.upload_bytes + plan.download_bytes) * BYTE_NS * 1e-9
        blocks = plan.inner_blocks
        factors = plan.row_subtrees * blocks * plan.images
        images, nodes = blocks * (1 + plan.images), 2 * plan.row_subtrees
        return Product(
            vector=8 + plan.upload_bytes, masked=8 + returned_bytes(plan),
            encrypt=blocks * units.block, prepare=factors * units.tile,
            multiply=units.kernel * (plan.seconds - link) + rows * units.mask,
            share=rows * units.share, kept=factors * self._poly,
            working=2 * (images + nodes) * self._poly + 2 * blocks * self._packed,
        )  # fmt: skip


class Paillier:
    """A ciphertext a word, and masked products packed."""

    name = "paillier"
    id_length = 16

    def __init__(self, units: PaillierShareUnits) -> None:
        from vfl_crypto.paillier.keys import PublicKey

        self._units = units
        self._size = units.key_bits // 4
        self.parameters = f"n: {units.key_bits} bit"
        self.security_bits = PublicKey((1 << units.key_bits) - 1, None).security_bits

    def key(self, shapes: Sequence[tuple[int, int]], dropped_bits: int = HANDED) -> Key:  # noqa: ARG002 - one key fits all
        from vfl_crypto.paillier.scheme import OPENINGS_PER_KEY

        bits = self._units.key_bits
        powers = (bits + 64) // 8 * 2**8
        return Key(
            bits * 3 // 8 + 36, self._units.make_key, 0.0, self._units.tables, OPENINGS_PER_KEY,
            powers * self._size * 64 // 52,
        )  # fmt: skip

    def product(self, rows: int, inner: int, plain_bits: int, bits: int) -> Product:
        from vfl_crypto.errors import EncodingOverflowError
        from vfl_crypto.paillier.shares import GROWTH_BITS, slots_for

        if plain_bits + (inner - 1).bit_length() > GROWTH_BITS + 2:
            raise EncodingOverflowError(
                f"sums over {inner} products with entries of {plain_bits} bits are too large"
            )
        units, size = self._units, self._size
        slots = slots_for(bits, units.key_bits)
        packed = slots.rows(rows)
        return Product(
            vector=inner * size, masked=packed * size, encrypt=inner * units.encrypt, prepare=0.0,
            multiply=inner * (units.base + rows * units.entry)
            + packed * units.depart,
            share=packed * units.decrypt, kept=0,
            working=4 * inner * size + 16 * rows * inner + 4 * rows * size,
        )  # fmt: skip


class Mock:
    """No cipher: what is left is everything else."""

    name = "mock"
    parameters = "plaintext: protects nothing"
    security_bits = 0
    id_length = 64

    def __init__(self, units: Units) -> None:
        self._units = units.shared

    def key(self, shapes: Sequence[tuple[int, int]], dropped_bits: int = HANDED) -> Key:  # noqa: ARG002 - one key fits all
        return Key(78, 0.0, 0.0, 0.0, 1 << 16, 0)

    def product(self, rows: int, inner: int, plain_bits: int, bits: int) -> Product:  # noqa: ARG002
        from vfl_crypto.words import limbs_of

        word = 4 * limbs_of(bits)
        return Product(
            vector=word * inner, masked=word * rows, encrypt=0.0, prepare=0.0,
            multiply=rows * (inner * self._units.multiply + self._units.score), share=0.0, kept=0,
            working=4 * word * (rows + inner),
        )  # fmt: skip
