"""Tile, split point and modulus of one encrypted product, chosen by cost and checked for noise.

Results of the row blocks would each fill a ciphertext with few useful coefficients. Packing joins
g = 2^l of them: `sum_j X^j Tr(p_j c)`, where the trace Tr is a composition of (1 + sigma_{k_i}),
k_i = 2^i N/g + 1. The first h levels are done on the encrypted factor, once for all results, the
others on the results: the split point of Rhombus (He et al., CCS 2024), with the trace factor 1/g
divided between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from vfl_crypto.errors import InsecureParametersError
from vfl_crypto.lattice import noise
from vfl_crypto.lattice.tiles import Tile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vfl_crypto.lattice.parameters import ParameterSet

MAX_MODULUS_BITS: Final = 96
FLOOD_BITS: Final = 40
"""A flooded value hides the noise under it up to a statistical distance of 2^-40; so all that a key
may open hide it up to 2^-21."""

MAX_SPLIT: Final = 6
PACK_LEVELS: Final = 9
"""Levels for which a key holder publishes switching keys: up to 512 results in one ciphertext."""

BUTTERFLY_NS: Final = 0.4
MULTIPLY_NS: Final = 0.5
BYTE_NS: Final = 8.0
"""What the choice weighs: a butterfly, a product of residues, a byte on a link of 1 Gbit/s."""


@dataclass(frozen=True)
class Plan:
    """P (rows, inner) times encrypted C (inner, columns), modulo 2^modulus_bits.

    Both sides build it from public sizes. Raises `InsecureParametersError` if the noise of the
    worst plain matrix would not stay below half of Delta.
    """

    parameters: ParameterSet
    rows: int
    inner: int
    columns: int
    tile: Tile
    split: int  # h
    plain_bits: int  # signed: |P| <= 2^(plain_bits - 1)
    modulus_bits: int  # log2 t
    fresh_std: float  # of the encrypted factor
    upload_bits: int | None = None  # of a coefficient of its b, where that is rounded

    def __post_init__(self) -> None:
        tile, n = self.tile, self.parameters.n
        sides = (tile.rows, tile.inner, tile.columns)
        powers = all(side > 0 and side & (side - 1) == 0 for side in sides)
        if not powers or tile.n != n or math.prod(sides) > n or (1 << self.split) > tile.inner:
            raise InsecureParametersError(
                f"no plan has a tile of {sides} and a split of {self.split} at N = {n}: sides are "
                "powers of two, their product is at most N, and 2^split at most the inner one"
            )
        if self.room < 0.0:
            raise InsecureParametersError(
                f"a product of shape ({self.rows}, {self.inner}) x ({self.inner}, {self.columns}) "
                f"with entries of {self.plain_bits} bits modulo 2^{self.modulus_bits} leaves no "
                f"room for noise at {self.parameters}; use the wide set, fewer bits or fewer rows"
            )

    @property
    def inner_blocks(self) -> int:
        return -(-self.inner // self.tile.inner)

    @property
    def row_blocks(self) -> int:
        return -(-self.rows // self.tile.rows)

    @property
    def column_blocks(self) -> int:
        return -(-self.columns // self.tile.columns)

    @property
    def images(self) -> int:
        """Automorphic images of each encrypted polynomial, itself among them: 2^h."""
        return 1 << self.split

    @property
    def row_subtrees(self) -> int:
        """Sums over images for one column block: each joins 2^h row blocks."""
        return -(-self.row_blocks // self.images)

    @property
    def subtrees(self) -> int:
        return self.row_subtrees * self.column_blocks

    @cached_property
    def levels(self) -> int:
        """l: a returned ciphertext joins g = 2^l results; at most K_t have room."""
        most = min(PACK_LEVELS, self.tile.inner.bit_length() - 1)
        return min(most, self.split + (self.subtrees - 1).bit_length())

    @property
    def joined(self) -> int:
        """Subtrees in one returned ciphertext: 2^(l - h)."""
        return 1 << (self.levels - self.split)

    @property
    def results(self) -> int:
        """Returned ciphertexts."""
        return -(-self.subtrees // self.joined)

    def exponent(self, level: int) -> int:
        """k_i of level i, 1 <= i <= l."""
        return (self.parameters.n >> (self.levels - level)) + 1

    def image_exponents(self) -> list[int]:
        """kappa of each image: products of k_1 ... k_h over subsets, in binary order."""
        kappas = [1]
        for level in range(1, self.split + 1):
            k = self.exponent(level)
            kappas += [kappa * k % (2 * self.parameters.n) for kappa in kappas]
        return kappas

    def tree(self) -> Iterator[tuple[int, int]]:
        """(level, shift) of the packing after the products, leaves first."""
        for level in range(self.split + 1, self.levels + 1):
            yield level, 1 << (self.levels - level)

    @cached_property
    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where result (m, l) is: (ciphertext, coefficient), both (rows, columns)."""
        m, l = np.ogrid[: self.rows, : self.columns]
        block, i = divmod(m, self.tile.rows)
        column_block, c = divmod(l, self.tile.columns)
        subtree = column_block * self.row_subtrees + (block >> self.split)
        ciphertext, position = divmod(subtree, self.joined)
        slot = _bit_reversed(self.levels - self.split)[position]
        slot = slot + self.joined * (block & (self.images - 1))
        coefficient = slot + (i * self.tile.columns + c) * self.tile.inner
        return np.broadcast_arrays(ciphertext, coefficient)[0], coefficient

    @property
    def entries(self) -> int:
        """Plain entries that meet one encrypted column: M_t K_t in each inner block."""
        return min(self.rows, self.tile.rows) * self.tile.inner * self.inner_blocks

    def noise_std(self, magnitude: float | None = None) -> float:
        """Of the packed product: for any matrix, or for random entries of that root mean square.

        The departure is not in it (`noise.returned`).
        """
        return noise.product(
            self.parameters,
            self.fresh_std,
            2.0 ** (self.plain_bits - 1) if magnitude is None else magnitude,
            self.entries,
            self.split,
            self.levels,
            worst=magnitude is None,
        )

    @property
    def delta(self) -> float:
        return float(self.parameters.q / 2**self.modulus_bits)

    @property
    def room(self) -> float:
        """Room left under Delta / 2, as a part of Delta, for whatever a departure adds on top."""
        whole = math.hypot(self.noise_std(), noise.returned(self.parameters, self.modulus_bits))
        most = noise.SIGMAS * whole + noise.c0_step(self.parameters, self.modulus_bits) / 2
        return 0.5 - most / self.delta

    @property
    def flood_bits(self) -> int:
        """b of a flood uniform in +-2^b. Raises `InsecureParametersError` without room for it."""
        zero = noise.encrypted(self.parameters, public=True)
        bits = math.ceil(math.log2(noise.SIGMAS * math.hypot(self.noise_std(), zero))) + FLOOD_BITS
        if 2.0**bits > self.room * self.delta:
            raise InsecureParametersError(
                f"no room to flood a product modulo 2^{self.modulus_bits} at {self.parameters}; "
                "use fewer rows in a batch"
            )
        return bits

    @property
    def key_switches(self) -> int:
        before = self.inner_blocks * self.column_blocks * (self.images - 1)
        nodes, after = [self.subtrees], 0
        for _ in range(self.levels - self.split):
            nodes.append(-(-nodes[-1] // 2))
            after += nodes[-1]
        return before + after

    @property
    def products(self) -> int:
        """Products of a plain polynomial and a ciphertext."""
        return self.inner_blocks * self.images * self.subtrees

    @property
    def upload_bytes(self) -> int:
        """The encrypted factor: seeded under the secret key, whole under the public one."""
        if self.upload_bits is not None:
            each = self.parameters.n * self.upload_bits // 8
            return self.inner_blocks * self.column_blocks * each + 32
        polys = 2 if self.fresh_std > noise.encrypted(self.parameters, public=False) else 1
        residues = sum(p.bit_length() for p in self.parameters.primes) * self.parameters.n
        return self.inner_blocks * self.column_blocks * polys * (residues // 8) + 32

    @property
    def download_bytes(self) -> int:
        """The packed results: c1 whole, c0 where there is a result, both rounded."""
        c1 = self.results * self.parameters.n * (self.modulus_bits + noise.C1_BITS)
        c0 = self.rows * self.columns * (self.modulus_bits + noise.C0_BITS)
        return (c1 + c0 + 14) // 8

    @property
    def seconds(self) -> float:
        """Estimated time of one thread and a link of 1 Gbit/s: to compare plans with."""
        n, k = self.parameters.n, len(self.parameters.primes)
        transform = n / 2 * math.log2(n) * BUTTERFLY_NS
        switch = (k * (k + 1) + 2 * (k + 1)) * transform
        inputs = self.inner_blocks * self.column_blocks * self.images
        transforms = 2 * k * (inputs + self.subtrees) * transform * (self.tile.columns < n)
        multiply = 2 * k * n * self.products * MULTIPLY_NS
        link = (self.upload_bytes + self.download_bytes) * BYTE_NS
        return (self.key_switches * switch + transforms + multiply + link) * 1e-9


def choose(
    parameters: ParameterSet,
    shape: tuple[int, int, int],
    *,
    plain_bits: int,
    modulus_bits: int,
    fresh_std: float | None = None,
    tile: Tile | None = None,
    flooded: bool = False,
    rounded: bool = False,
) -> Plan:
    """The plan of least estimated time for P (M, K) times C (K, L), shape = (M, K, L).

    `fresh_std` is the noise of C, by default that of a secret-key encryption; `tile` is given when
    C is already encoded; `flooded` leaves room for a flood, `rounded` for what `exchange.upload`
    cuts off, whose noise `fresh_std` then is. Raises `InsecureParametersError` when no plan has
    room for its noise.
    """
    rows, inner, columns = shape
    if min(shape) < 1 or not 1 <= modulus_bits <= MAX_MODULUS_BITS:
        raise InsecureParametersError(
            f"no product of shape {shape} modulo 2^{modulus_bits}; all sides are at least 1 and "
            f"the modulus at most 2^{MAX_MODULUS_BITS}"
        )
    fresh = noise.encrypted(parameters, public=False) if fresh_std is None else fresh_std
    bits: int | None = None
    best: Plan | None = None
    refused: InsecureParametersError | None = None
    for sides in [tile] if tile else _tiles(parameters.n, inner, columns):
        if rounded:
            bits = noise.upload_bits(parameters, modulus_bits, -(-inner // sides.inner))
            fresh = noise.uploaded(parameters, bits)
        blocks = -(-rows // sides.rows)
        most = min(MAX_SPLIT, sides.inner.bit_length() - 1, (blocks - 1).bit_length())
        for split in range(most + 1):
            try:
                plan = Plan(
                    parameters, rows, inner, columns, sides, split, plain_bits, modulus_bits,
                    fresh, bits,
                )  # fmt: skip
                if flooded:
                    _ = plan.flood_bits
            except InsecureParametersError as error:
                refused = error
                continue
            if best is None or plan.seconds < best.seconds:
                best = plan
    if best is None:
        assert refused is not None
        raise refused
    return best


def modulus_bits(inner: int, plain_bits: int, data_bits: int) -> int:
    """log2 t that holds every sum of `inner` products of signed entries, with one bit to spare."""
    return (inner - 1).bit_length() + plain_bits + data_bits


def _tiles(n: int, inner: int, columns: int) -> Iterator[Tile]:
    for i in range(min(n, 1 << (inner - 1).bit_length()).bit_length()):
        for j in range(min(n >> i, 1 << (columns - 1).bit_length()).bit_length()):
            yield Tile(n, n >> i + j, 1 << i, 1 << j)


def _bit_reversed(bits: int) -> NDArray[np.intp]:
    """bitrev(u) for u < 2^bits."""
    order = np.zeros(1, dtype=np.intp)
    for _ in range(bits):
        order = np.concatenate((2 * order, 2 * order + 1))
    return order
