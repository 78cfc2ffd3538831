"""What a piece of work takes on a machine: stated once for everybody, or probed on this one.

`crypto: auto` must come out alike at all parties, so it adds up `STATED`; `vfl plan` adds up what
`probe` measured. All figures are seconds unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True)
class LatticeUnits:
    """The wide set, N = 8192."""

    make_key: float
    read_key: float
    block: float  # an encryption of N values under the public key
    add: float  # two encrypted blocks
    kernel: float  # seconds of a product by `Plan.seconds` without its link; a ratio
    tile: float  # a factor of the matrix, transformed once
    depart: float  # a result flooded
    open: float  # and opened


@dataclass(frozen=True)
class PaillierUnits:
    """At `key_bits`; `at` knows how the others grow."""

    key_bits: int
    make_key: float
    tables: float  # powers of h_s, at each party that encrypts
    encrypt: float
    depart: float  # a product, hidden by an exponent as long as n
    add: float
    base: float  # the multiples of a ciphertext of a row, shared by all columns
    entry: float  # an entry of the matrix
    decrypt: float

    def at(self, key_bits: int) -> PaillierUnits:
        """For another length of n: each operation grows with a power of it, as measured."""
        longer = key_bits / self.key_bits
        powers = {
            "make_key": 4.0, "tables": 2.8, "encrypt": 2.8, "depart": 2.8, "add": 1.7,
            "base": 2.1, "entry": 2.1, "decrypt": 2.5,
        }  # fmt: skip
        grown = {name: getattr(self, name) * longer**power for name, power in powers.items()}
        return PaillierUnits(key_bits, **grown)


@dataclass(frozen=True)
class CkksUnits:
    """N = 8192."""

    make_key: float
    read_key: float
    block: float  # an encryption of a block of rows
    add: float  # two encrypted blocks
    multiply: float  # a block by columns of the matrix that share a ciphertext
    depart: float  # a result
    open: float


@dataclass(frozen=True)
class LatticeShareUnits:
    """The wide set, N = 8192."""

    make_key: float  # without switching keys
    make_level: float  # a switching key
    read_key: float
    read_level: float
    block: float  # an encryption of N words under the secret key
    kernel: float  # seconds of a product by `Plan.seconds` without its link; a ratio
    tile: float  # a factor of the matrix, transformed once
    mask: float  # a value of a product, on its way out
    share: float  # and read by the key holder


@dataclass(frozen=True)
class PaillierShareUnits:
    """At `key_bits`; `at` knows how the others grow."""

    key_bits: int
    make_key: float
    tables: float  # powers of h_s, at each party that multiplies
    encrypt: float  # a word, by the key's owner
    base: float  # the multiples of a ciphertext, shared by all rows of the matrix
    entry: float  # an entry of the matrix
    depart: float  # a packed ciphertext: packed, hidden by an exponent as long as n
    decrypt: float

    def at(self, key_bits: int) -> PaillierShareUnits:
        """For another length of n, as `PaillierUnits.at`."""
        longer = key_bits / self.key_bits
        powers = {
            "make_key": 4.0, "tables": 2.8, "encrypt": 2.5, "base": 2.1, "entry": 2.1,
            "depart": 2.8, "decrypt": 2.5,
        }  # fmt: skip
        grown = {name: getattr(self, name) * longer**power for name, power in powers.items()}
        return PaillierShareUnits(key_bits, **grown)


@dataclass(frozen=True)
class SharedUnits:
    """What the protocol on shares does in the clear."""

    whiten_entry: float  # of a passive party's columns, made independent and integers
    whiten_pair: float  # an entry times the columns of its matrix, for the same
    multiply: float  # an entry of the columns, with the own share of a weight
    score: float  # a row, with its share of the score made ready
    decide: float  # a row at the active party: its loss, the next move, the checkpoint


@dataclass(frozen=True)
class Units:
    """One machine; `threads` is how many of its processors a kernel used."""

    threads: int
    read_cell: float  # of a table: parsed, checked, scaled
    own_point: float  # an id hashed to Curve25519 and raised
    foreign_point: float  # a point checked and raised
    entry: float  # of a matrix, copied and multiplied in the clear
    leverage: float  # an entry times the columns of its matrix, for the guard
    byte: float  # of a message: framed, hashed, read again
    message: float  # one of them, in one process
    checkpoint: float  # written at the end of an epoch
    lattice: LatticeUnits
    paillier: PaillierUnits
    ckks: CkksUnits
    shared: SharedUnits
    lattice_shares: LatticeShareUnits
    paillier_shares: PaillierShareUnits
    tile_budget: int  # bytes of transformed matrices that a party on shares keeps
    probed: frozenset[str] = frozenset()  # names of the fields above that were measured here

    def measured(self, **found: object) -> Units:
        """With these fields replaced by what was measured."""
        return replace(self, probed=self.probed | set(found), **found)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Link:
    """Between two parties. `bits` a second, one message after the other; `latency` in seconds."""

    bits: float
    latency: float
    local: bool = False  # all parties on one machine, sharing its processors

    def seconds(self, size: float) -> float:
        """For so many bytes to be there."""
        return size * 8 / self.bits


STATED: Final = Units(
    threads=1, read_cell=0.8e-6, own_point=28e-6, foreign_point=25e-6, entry=1e-9,
    leverage=2.5e-9, byte=0.9e-9, message=1.5e-3, checkpoint=2e-3,
    lattice=LatticeUnits(
        make_key=0.047, read_key=0.012, block=1.0e-3, add=0.4e-3, kernel=2.0, tile=0.6e-3,
        depart=1.0e-3, open=0.45e-3,
    ),
    paillier=PaillierUnits(
        key_bits=3072, make_key=1.5, tables=0.7, encrypt=0.65e-3, depart=1.7e-3, add=17e-6,
        base=54e-6, entry=20e-6, decrypt=3.5e-3,
    ),
    ckks=CkksUnits(
        make_key=1.4e-3, read_key=0.8e-3, block=0.87e-3, add=0.35e-3, multiply=0.4e-3,
        depart=0.97e-3, open=0.38e-3,
    ),
    shared=SharedUnits(
        whiten_entry=40e-9, whiten_pair=0.3e-9, multiply=10e-9, score=0.3e-6, decide=0.4e-6
    ),
    lattice_shares=LatticeShareUnits(
        make_key=10e-3, make_level=6e-3, read_key=5e-3, read_level=1.5e-3, block=1.1e-3, kernel=2.0,
        tile=0.7e-3, mask=0.15e-6, share=0.15e-6,
    ),
    paillier_shares=PaillierShareUnits(
        key_bits=3072, make_key=1.5, tables=0.7, encrypt=0.45e-3, base=21e-6, entry=17e-6,
        depart=20e-3, decrypt=4.5e-3,
    ),
    tile_budget=4 << 30,
)  # fmt: skip
"""One thread of one machine (CHANGELOG.md). The choice of a cipher needs their ratios alone."""

FAR: Final = Link(bits=1e8, latency=10e-3)
"""What is taken for a link that nobody described: 100 Mbit/s, 10 ms."""
