"""Several signed integers in one plaintext: slots with room for the additions to come.

Slot i of a plaintext holds v_i as v_i 2^(i S), negative ones too, so that plaintexts add slot by
slot. With |v_i| < 2^(S - 1) the slots are the balanced digits of the sum to the base 2^S: unique,
and read from the low end. A plaintext of k slots is below 2^(k S), and k S <= |n| - 2 keeps it from
wrapping round modulo n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfl_crypto.errors import CryptoError, EncodingOverflowError, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Slots:
    """Slots of `bits` in plaintexts under a key of `key_bits`."""

    bits: int
    key_bits: int

    @staticmethod
    def for_sums(unit_bits: int, terms: int, key_bits: int) -> Slots:
        """Wide enough for sums of `terms` integers of at most 2^unit_bits in magnitude.

        Raises `EncodingOverflowError` if not even one slot fits.
        """
        slots = Slots(unit_bits + (terms - 1).bit_length() + 2, key_bits)
        if slots.per_row < 1:
            raise EncodingOverflowError(
                f"{terms} terms of {unit_bits} bits need a slot of {slots.bits} bits: more than a "
                f"key of {key_bits} bits has; add up fewer of them or use fewer bits"
            )
        return slots

    def holds(self, unit_bits: int, terms: int) -> bool:
        """Whether a sum of so many terms stays within a slot."""
        return unit_bits + (terms - 1).bit_length() + 2 <= self.bits

    @property
    def layout(self) -> str:
        """How a ciphertext says so."""
        return f"packed-{self.bits}"

    @staticmethod
    def of_layout(layout: str, key_bits: int) -> Slots | None:
        """The slots of a packed ciphertext, None for another. Raises `WireError` for nonsense."""
        kind, dash, digits = layout.partition("-")
        if kind != "packed" or not dash:
            return None
        bits = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
        if str(bits) != digits or not 2 <= bits <= key_bits - 2:
            raise WireError(f"{layout[:32]!r} is no layout under a key of {key_bits} bits")
        return Slots(bits, key_bits)

    @property
    def per_row(self) -> int:
        return (self.key_bits - 2) // self.bits

    def rows(self, count: int) -> int:
        """How many plaintexts hold `count` integers."""
        return -(-count // self.per_row)

    def join(self, integers: Sequence[int]) -> list[int]:
        """Plaintexts, the first slots lowest. Every integer is below 2^(bits - 1) in magnitude."""
        rows = []
        for begin in range(0, len(integers), self.per_row):
            total = 0
            for value in reversed(integers[begin : begin + self.per_row]):
                total = (total << self.bits) + value
            rows.append(total)
        return rows

    def split(self, plaintexts: Sequence[int], count: int) -> list[int]:
        """The integers of `rows(count)` plaintexts in (-n/2, n/2).

        Raises `CryptoError` where something is left above the last slot.
        """
        half, mask = 1 << (self.bits - 1), (1 << self.bits) - 1
        integers = []
        for row, total in enumerate(plaintexts):
            rest = total
            for _ in range(min(self.per_row, count - row * self.per_row)):
                value = ((rest + half) & mask) - half
                integers.append(value)
                rest = (rest - value) >> self.bits
            if rest:
                raise CryptoError(
                    "a packed decryption exceeds its slots: wrong key, damaged bytes, or overflow"
                )
        return integers
