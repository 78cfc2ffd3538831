"""The lattice behind `sharing`: products of a plain matrix that nobody sees whole.

An encrypted vector modulo t = 2^B is seeded, under the secret key, and rounded (`exchange`): in the
wide set 135 to 137 bits a value for B = 96, 91 to 93 for B = 52, as its length goes. Its
tile follows from its length alone, so it is encrypted before the matrix is known; the plan follows
from the shape and the bits of the matrix, which a masked product carries, and from B, which is in
its layout. In the wide set B may be 96.

Every product departs as `masking` says: the two shares add up to P w modulo t exactly or off by one
unit, and an opening drops bits and is counted as in `scheme`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from vfl_crypto.errors import CryptoError, KeyMismatchError
from vfl_crypto.lattice import bodies, exchange, masking
from vfl_crypto.lattice.bodies import Kind
from vfl_crypto.lattice.formats import vector_tile
from vfl_crypto.lattice.masking import DROPPED_BITS, OPENINGS_PER_BIT
from vfl_crypto.lattice.parameters import WIDE, ParameterSet
from vfl_crypto.lattice.plan import Plan, choose
from vfl_crypto.lattice.product import TileBudget, Tiles
from vfl_crypto.linear import Ciphertext, SchemeInfo
from vfl_crypto.release import Door, Releasing
from vfl_crypto.security import SECURITY_BITS
from vfl_crypto.sharing import masked_layout, modulus_bits, rounded_at_random, words_layout
from vfl_crypto.words import IntegerMatrix

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from vfl_crypto.lattice.keys import PublicKey, SecretKey
    from vfl_crypto.words import Words

Kept = WeakKeyDictionary[IntegerMatrix, dict[Plan, Tiles]]


@functools.lru_cache(maxsize=64)
def share_plan(parameters: ParameterSet, rows: int, inner: int, plain_bits: int, bits: int) -> Plan:
    """P (rows, inner) of `plain_bits` times [[w]] modulo 2^bits.

    Raises `InsecureParametersError` where the shape leaves no room for noise.
    """
    return choose(
        parameters,
        (rows, inner, 1),
        plain_bits=plain_bits,
        modulus_bits=bits,
        tile=vector_tile(parameters.n, inner),
        rounded=True,
    )


def levels_for(shapes: Iterable[tuple[int, int]], parameters: ParameterSet = WIDE) -> int:
    """Packing levels that products of matrices of these shapes need, whatever their entries.

    For `LatticeScheme(levels=...)`: each level publishes a switching key.
    """
    plans = (share_plan(parameters, *shape, plain_bits=2, bits=2) for shape in shapes)
    return max((plan.levels for plan in plans), default=0)


class LatticeShareEvaluator:
    """See `sharing.ShareEvaluator`."""

    def __init__(self, public: PublicKey, kept: Kept, budget: TileBudget) -> None:
        self._public = public
        self._kept = kept
        self._budget = budget

    @property
    def info(self) -> SchemeInfo:
        p = self._public.arithmetic.parameters
        return SchemeInfo("lattice", str(p), SECURITY_BITS, self._public.key_id)

    def multiply(self, plain: IntegerMatrix, ciphertext: Ciphertext) -> tuple[Ciphertext, Words]:
        """See `sharing.ShareEvaluator`. Raises `WireError` for bytes that are not residues.

        Raises `CryptoError` where the key was made with fewer packing levels than the shape needs.
        """
        bits, body = self.parts(ciphertext, Kind.WORDS)
        rows, inner = plain.shape
        if ciphertext.count != inner:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} times a ciphertext of {ciphertext.count}"
            )
        plan = share_plan(self._public.arithmetic.parameters, rows, inner, plain.bits, bits)
        sent, share = exchange.answer(self._tiles(plan, plain), self._public, body.payload)
        masked = bodies.make(Kind.MASKED, inner, sent, bits=plain.bits)
        return self.wrap(masked, masked_layout(bits), rows), share

    def parts(self, ciphertext: Ciphertext, kind: Kind) -> tuple[int, bodies.Body]:
        """B and the body of a ciphertext of this key and kind, its payload not looked at."""
        name = "words" if kind is Kind.WORDS else "masked"
        bits = modulus_bits(ciphertext, name)
        key_id = self._public.key_id
        if ciphertext.scheme != "lattice" or ciphertext.key_id != key_id:
            raise KeyMismatchError(
                f"a {ciphertext.scheme} ciphertext under key {ciphertext.key_id[:8]} does not "
                f"belong to lattice key {key_id[:8]}: of another key; use the current one"
            )
        body = bodies.split(ciphertext.body)
        if body.kind is not kind:
            raise KeyMismatchError(f"a lattice body of {body.kind.name} is none of {name}")
        return bits, body

    def wrap(self, body: NDArray[np.uint8], layout: str, count: int) -> Ciphertext:
        return Ciphertext("lattice", self._public.key_id, 0, count, body, layout, fresh=True)

    def _tiles(self, plan: Plan, plain: IntegerMatrix) -> Tiles:
        kept = self._kept.setdefault(plain, {})
        if plan not in kept:
            tiles = Tiles(plan, self._public.arithmetic, plain.values, self._budget)
            kept.setdefault(plan, tiles)
        return kept[plan]


class LatticeShareHolder(Releasing):
    """See `sharing.ShareHolder`. Never pickled, never printed."""

    def __init__(self, secret: SecretKey, levels: int, kept: Kept, budget: TileBudget) -> None:
        self._secret: SecretKey | None = secret
        self._parameters = secret.arithmetic.parameters
        self._public = secret.publish(levels)
        self._evaluator = LatticeShareEvaluator(self._public, kept, budget)
        self._door = Door(OPENINGS_PER_BIT << DROPPED_BITS)

    def __repr__(self) -> str:
        return f"<lattice share holder {self._public.key_id[:8]}, {self.openings_left} left>"

    @property
    def evaluator(self) -> LatticeShareEvaluator:
        return self._evaluator

    @property
    def public_key(self) -> bytes:
        return self._public.packed

    def encrypt_words(self, words: Words) -> Ciphertext:
        """See `sharing.ShareHolder`.

        Raises `InsecureParametersError` where not even the smallest matrix would have room.
        """
        secret, count = self._require_secret(), len(words)
        tile = share_plan(self._parameters, 1, count, plain_bits=2, bits=words.bits).tile
        sent = exchange.upload(tile, secret, words, (count, 1))
        body = bodies.make(Kind.WORDS, 0, sent)
        return self._evaluator.wrap(body, words_layout(words.bits), count)

    def share(self, masked: Ciphertext) -> Words:
        """See `sharing.ShareHolder`."""
        secret = self._require_secret()
        bits, body = self._evaluator.parts(masked, Kind.MASKED)
        plan = share_plan(self._parameters, masked.count, body.rows, body.bits, bits)
        return masking.open_share(plan, secret, body.payload)

    def open_share(self, share: Words, dropped_bits: int) -> Words:
        """See `sharing.ShareHolder`. A value with fewer than 16 dropped bits counts as several."""
        opened = rounded_at_random(share, dropped_bits)
        self._door.count(len(share) << max(0, DROPPED_BITS - dropped_bits))
        return opened

    def close(self) -> None:
        self._secret = None

    def _require_secret(self) -> SecretKey:
        if self._secret is None:
            raise CryptoError("this secret key was closed; generate a new one")
        return self._secret
