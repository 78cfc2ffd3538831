"""What each cipher takes for a batch: bytes from its formats, seconds from unit costs, memory.

Bytes are those of `Ciphertext.body`, exactly. A cipher whose range is too small for a batch raises
`CryptoError`, as it would in the job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vfl.planner.units import CkksUnits, LatticeUnits, PaillierUnits, Units

if TYPE_CHECKING:
    from vfl.spec import CryptoSpec


@dataclass(frozen=True)
class Key:
    """A key pair: bytes of its public part, seconds at its holder and at each reader."""

    size: int
    make: float
    read: float
    first: float  # what a reader makes when it first encrypts
    openings: int  # values it may open
    memory: int  # at a reader


@dataclass(frozen=True)
class Batch:
    """X^T d for X (rows, columns) under one cipher: bytes and seconds."""

    vector: int  # an encrypted d, as sent
    sums: int  # its product with X, as sent to the key holder
    encrypt: float
    onto: float  # d onto what others encrypted
    add: float
    prepare: float  # of X, once
    product: float
    depart: float
    open: float
    kept: int  # bytes that stay in memory for this batch: X as the cipher has it
    working: int  # and those of ciphertexts while it is worked on


class Cipher(Protocol):
    """The costs of one cipher."""

    name: str
    parameters: str
    security_bits: int
    key: Key
    id_length: int  # characters of a key's id
    terms: float  # parties whose encryptions it can add up

    def batch(self, rows: int, columns: int) -> Batch:
        """Raises `CryptoError` where the cipher's range is too small."""


def cipher_costs(crypto: CryptoSpec, units: Units) -> Cipher:
    """The costs of a resolved crypto section."""
    if crypto.scheme == "lattice":
        return Lattice(units.lattice)
    if crypto.scheme == "paillier":
        return Paillier(units.paillier.at(crypto.key_bits))
    return Ckks(units.ckks) if crypto.scheme == "ckks" else Mock(units)


class Lattice:
    """The product path; its plan is the one the job will use."""

    name = "lattice"
    id_length = 64

    def __init__(self, units: LatticeUnits) -> None:
        from vfl_crypto.lattice.masking import DROPPED_BITS, OPENINGS_PER_BIT
        from vfl_crypto.lattice.parameters import WIDE
        from vfl_crypto.lattice.plan import PACK_LEVELS
        from vfl_crypto.lattice.scheme import TERMS, LatticeScheme
        from vfl_crypto.security import SECURITY_BITS

        self._units, self.terms = units, float(TERMS)
        self._scheme = LatticeScheme()
        self._poly = len(WIDE.primes) * WIDE.n * 8  # bytes of a polynomial modulo Q
        self.n = WIDE.n
        self.parameters, self.security_bits = str(WIDE), SECURITY_BITS
        digits = len(WIDE.primes)
        self._packed = sum(q.bit_length() for q in WIDE.primes) * WIDE.n // 8
        switching = digits * sum(q.bit_length() for q in WIDE.moduli) * WIDE.n // 8
        size = self._packed + PACK_LEVELS * switching + 150
        whole = PACK_LEVELS * digits * 2 * len(WIDE.moduli) * WIDE.n * 8
        self.key = Key(
            size, units.make_key, units.read_key, 0.0, OPENINGS_PER_BIT << DROPPED_BITS,
            size + 2 * self._poly + whole,
        )  # fmt: skip

    def batch(self, rows: int, columns: int) -> Batch:
        from vfl_crypto.lattice.masking import returned_bytes
        from vfl_crypto.lattice.plan import BYTE_NS

        units, plan = self._units, self._scheme.plan(rows, columns)
        _ = plan.flood_bits  # raises without room for it
        link = (plan.upload_bytes + plan.download_bytes) * BYTE_NS * 1e-9
        blocks, images = plan.inner_blocks, plan.images
        factors = plan.row_subtrees * blocks * images
        kept = factors * self._poly
        return Batch(
            vector=8 + 2 * blocks * self._packed, sums=8 + returned_bytes(plan),
            encrypt=blocks * units.block, onto=blocks * (units.block + units.add / 2),
            add=blocks * units.add, prepare=factors * units.tile,
            product=units.kernel * (plan.seconds - link), depart=plan.results * units.depart,
            open=plan.results * units.open,
            kept=kept, working=2 * blocks * ((1 + images) * self._poly + 2 * self._packed),
        )  # fmt: skip


class Paillier:
    """One ciphertext a row."""

    name = "paillier"
    id_length = 16
    terms = math.inf

    def __init__(self, units: PaillierUnits) -> None:
        from vfl_crypto.paillier.keys import PublicKey
        from vfl_crypto.paillier.scheme import DEFAULT_WINDOW, OPENINGS_PER_KEY

        self._units = units
        self._size = units.key_bits // 4
        self.parameters = f"n: {units.key_bits} bit"
        self.security_bits = PublicKey((1 << units.key_bits) - 1, None).security_bits
        half = units.key_bits // 2
        powers = half // DEFAULT_WINDOW * 2**DEFAULT_WINDOW + (half + 64) // 8 * 2**8
        self.key = Key(
            units.key_bits * 3 // 8 + 36, units.make_key, 0.0, units.tables, OPENINGS_PER_KEY,
            powers * self._size * 64 // 52,
        )  # fmt: skip

    def batch(self, rows: int, columns: int) -> Batch:
        units, size = self._units, self._size
        return Batch(
            vector=rows * size, sums=columns * size,
            encrypt=rows * units.encrypt, onto=rows * (units.encrypt + units.add),
            add=rows * units.add, prepare=0.0,
            product=rows * (units.base + columns * units.entry), depart=columns * units.depart,
            open=columns * units.decrypt,
            kept=0, working=rows * (4 * size + 8 * columns),
        )  # fmt: skip


class Ckks:
    """A block of at most N / 4 rows a ciphertext."""

    name = "ckks"
    id_length = 64

    def __init__(self, units: CkksUnits) -> None:
        from vfl_crypto.ckks.formats import ENCRYPTIONS_ADDED, Formats
        from vfl_crypto.security import SECURITY_BITS

        self._units, self.terms = units, float(ENCRYPTIONS_ADDED)
        self._formats = formats = Formats()
        self.parameters = f"N = {formats.n}, log2 QP = {sum(formats.prime_bits)}"
        self.security_bits = SECURITY_BITS
        size = self._packed(4) + 236
        words = 2 * len(formats.prime_bits) * formats.n * 8
        self.key = Key(
            size, units.make_key, units.read_key, 0.0, formats.openings, size + words
        )  # fmt: skip

    def _packed(self, primes: int, words: int | None = None) -> int:
        """Bytes of a polynomial modulo the first primes, or of some of its words."""
        bits = sum(self._formats.prime_bits[:primes])
        return bits * (self._formats.n if words is None else words) // 8

    def batch(self, rows: int, columns: int) -> Batch:
        from vfl_crypto.ckks.layout import Layout

        units, formats = self._units, self._formats
        layout = Layout(rows, formats.slots)
        held = 2 * layout.classes
        results = -(-columns // held)
        polys = layout.blocks * 6 * formats.n * 8  # two modulo three primes, as words
        return Batch(
            vector=8 + layout.blocks * 2 * self._packed(3),
            sums=8 + results * (self._packed(2) + self._packed(2, held)),
            encrypt=layout.blocks * units.block, onto=layout.blocks * (units.block + units.add),
            add=layout.blocks * units.add,
            prepare=0.0, product=layout.blocks * results * units.multiply,
            depart=results * units.depart, open=results * units.open,
            kept=0, working=2 * polys + 16 * results * layout.blocks * formats.slots,
        )  # fmt: skip


class Mock:
    """No cipher: what is left is everything else."""

    name = "mock"
    parameters = "plaintext: protects nothing"
    security_bits = 0
    id_length = 64
    terms = math.inf

    def __init__(self, units: Units) -> None:
        self._entry = units.entry
        self.key = Key(78, 0.0, 0.0, 0.0, 1 << 16, 0)

    def batch(self, rows: int, columns: int) -> Batch:
        return Batch(
            vector=8 * rows, sums=8 * columns, encrypt=0.0, onto=0.0, add=0.0, prepare=0.0,
            product=rows * columns * self._entry, depart=0.0, open=0.0, kept=0,
            working=16 * rows,
        )  # fmt: skip
