"""The public-key face of the lattice scheme: encrypt, add, multiply, depart; see `scheme`."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING

import numpy as np

from vfl_crypto.errors import EncodingOverflowError, KeyMismatchError, WireError
from vfl_crypto.fixedpoint import require_below
from vfl_crypto.lattice import bodies, masking
from vfl_crypto.lattice.bodies import Kind
from vfl_crypto.lattice.encryption import encrypt_public, encrypt_seeded, expand_seeded
from vfl_crypto.lattice.product import TileBudget, Tiles, evaluate
from vfl_crypto.linear import Ciphertext, Matrix, SchemeInfo
from vfl_crypto.security import SECURITY_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.lattice.formats import Formats
    from vfl_crypto.lattice.keys import PublicKey, SecretKey
    from vfl_crypto.lattice.plan import Plan

Kept = weakref.WeakKeyDictionary[Matrix, Tiles]


class LatticeEncryptor:
    """See `linear.Encryptor`. Made by the key holder it also has the secret key and sends seeds."""

    def __init__(
        self,
        formats: Formats,
        public: PublicKey,
        kept: Kept,
        budget: TileBudget,
        secret: SecretKey | None = None,
    ) -> None:
        self.formats = formats
        self._public = public
        self._arithmetic = public.arithmetic
        self._kept = kept
        self._budget = budget
        self._secret = secret

    @property
    def info(self) -> SchemeInfo:
        p = self.formats.parameters
        return SchemeInfo("lattice", str(p), SECURITY_BITS, self._public.key_id)

    def encrypt(self, values: NDArray[np.float64], onto: Ciphertext | None = None) -> Ciphertext:
        """See `linear.Encryptor`. Onto a product: flooded, see `masking`."""
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 1 or values.size < 1:
            raise KeyMismatchError(f"values are one vector (n,), not an array of {values.shape}")
        if onto is not None and onto.count != len(values):
            raise KeyMismatchError(f"{len(values)} values onto a ciphertext of {onto.count}")
        if onto is None or onto.layout == "rows":
            return self._encrypt_rows(values, onto)
        return self._flood(values, onto)

    def add(self, left: Ciphertext, right: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor`. Up to `terms` encryptions add up; products do not."""
        if left.layout != "rows" or right.layout != "rows" or left.count != right.count:
            raise KeyMismatchError(
                f"cannot add {left.count} {left.layout} and {right.count} {right.layout}: "
                "a lattice sum takes vectors of equal length, before they are multiplied"
            )
        arithmetic = self._arithmetic
        polys = arithmetic.ring.add(self.rows(left), self.rows(right), arithmetic.threads)
        return self._wrap_rows(polys, left.count, left.terms + right.terms, fresh=False)

    def rmatmul(self, plain: NDArray[np.float64] | Matrix, ciphertext: Ciphertext) -> Ciphertext:
        """See `linear.Encryptor`; exact for the quantised matrix. Keeps the tiles of a `Matrix`.

        Raises `InsecureParametersError` where the shape leaves no room for noise or flood.
        """
        if ciphertext.layout != "rows" or plain.ndim != 2 or len(plain) != ciphertext.count:
            raise KeyMismatchError(
                f"a matrix of shape {plain.shape} does not fit {ciphertext.count} values"
            )
        if plain.shape[1] < 1:
            raise KeyMismatchError("a matrix without columns")
        polys = self.rows(ciphertext)[:, None]
        packed = evaluate(self._public, self._tiles(plain), polys)
        body = packed.reshape(-1).view(np.uint8)
        return self._wrap_sums(Kind.PRODUCT, ciphertext.count, plain.shape[1], body)

    def forget(self) -> None:
        """Drop the secret key, if it has it: encrypts under the public key from now on."""
        self._secret = None

    def rows(self, ciphertext: Ciphertext) -> NDArray[np.uint64]:
        """Ciphertexts (blocks, 2, primes, N) of an encrypted vector.

        Raises `KeyMismatchError` for another key, scale or number of terms, `WireError` for bytes
        that are not residues.
        """
        kind, _, _, payload = self.check(ciphertext)
        if kind not in bodies.ROWS:
            raise KeyMismatchError("a product is not an encrypted vector")
        arithmetic = self._arithmetic
        n, size = self.formats.parameters.n, arithmetic.rns.packed_bytes(self.formats.parameters.n)
        blocks = -(-ciphertext.count // self.formats.tile(ciphertext.count).inner)
        self.formats.modulus_bits(ciphertext.count)
        if kind is Kind.PUBLIC and self.formats.terms == 0:
            raise KeyMismatchError("with terms = 0 the key holder alone encrypts")
        if kind is Kind.SEEDED:
            seed = payload[: bodies.SEED_BYTES].tobytes()
            b = self._unpacked(payload[bodies.SEED_BYTES :], (blocks, size), n)
            return expand_seeded(arithmetic, seed, b)
        polys = self._unpacked(payload, (blocks, 2, size), n)
        if not polys[:, 1].any(axis=(1, 2)).all():
            raise WireError("a ciphertext without randomness: damaged or forged")
        return polys

    def check(self, ciphertext: Ciphertext) -> bodies.Body:
        """The body of a ciphertext of this key; its payload is not looked at."""
        if ciphertext.scheme != "lattice" or ciphertext.key_id != self._public.key_id:
            raise KeyMismatchError(
                f"a {ciphertext.scheme} ciphertext under key {ciphertext.key_id[:8]} does not "
                f"belong to lattice key {self._public.key_id[:8]}; use the current public key"
            )
        self._require_terms(ciphertext.terms)
        body = bodies.split(ciphertext.body)
        rows_kind = body.kind in bodies.ROWS
        scale = self.formats.data.fraction_bits if rows_kind else self.formats.sums_scale
        if body.kind in bodies.SHARED:
            raise KeyMismatchError(
                "a ciphertext of shared integers belongs to the faces of sharing"
            )
        if ciphertext.layout != ("rows" if rows_kind else "sums") or ciphertext.scale_bits != scale:
            raise KeyMismatchError(
                f"no lattice ciphertext has {ciphertext.layout} at scale 2^{ciphertext.scale_bits}"
            )
        if ciphertext.count < 1:
            raise WireError("a ciphertext of no values")
        return body

    def product_polys(self, payload: NDArray[np.uint8], plan: Plan) -> NDArray[np.uint64]:
        """Ciphertexts (results, 2, primes, N) of a product. Raises `WireError`."""
        p = plan.parameters
        shape = (plan.results, 2, len(p.primes), p.n)
        _require_size(payload, 8 * math.prod(shape))
        polys = payload.view(np.uint64).reshape(shape)
        if (polys >= np.array(p.primes, dtype=np.uint64)[:, None]).any():
            raise WireError("damaged lattice bytes: a residue is not below its prime")
        return polys

    def _product(self, ciphertext: Ciphertext) -> tuple[int, Plan, NDArray[np.uint64]]:
        kind, rows, _, payload = self.check(ciphertext)
        if kind is not Kind.PRODUCT:
            raise KeyMismatchError("only a product made here can be added to")
        plan = self.formats.plan(rows, ciphertext.count)
        return rows, plan, self.product_polys(payload, plan)

    def _encrypt_rows(self, values: NDArray[np.float64], onto: Ciphertext | None) -> Ciphertext:
        formats, count = self.formats, len(values)
        bits = formats.modulus_bits(count)
        integers = formats.data.encode(values).view(np.uint64)
        if bits < 64:
            integers = integers & np.uint64((1 << bits) - 1)
        messages = formats.tile(count).encode_data(integers[:, None])[:, 0]
        if onto is None and self._secret is not None:
            seed, b = encrypt_seeded(self._secret, messages, bits)
            packed = self._arithmetic.rns.pack(b, self._arithmetic.threads)
            body = bodies.make(Kind.SEEDED, 0, np.frombuffer(seed, dtype=np.uint8), packed)
            return self._wrap(body, "rows", formats.data.fraction_bits, count, fresh=True)
        if formats.terms == 0:
            raise KeyMismatchError("with terms = 0 the key holder alone encrypts")
        polys = encrypt_public(self._public, messages, bits)
        if onto is None:
            return self._wrap_rows(polys, count, 1, fresh=True)
        arithmetic = self._arithmetic
        polys = arithmetic.ring.add(polys, self.rows(onto), arithmetic.threads)
        return self._wrap_rows(polys, count, onto.terms + 1, fresh=True)

    def _flood(self, values: NDArray[np.float64], onto: Ciphertext) -> Ciphertext:
        rows, plan, polys = self._product(onto)
        scale = onto.scale_bits
        rounded = np.rint(np.ldexp(values, scale))
        bits = plan.modulus_bits - 2  # a product reaches as far, so the sum stays below t / 2
        integers = require_below(rounded, bits, "a value in units").astype(np.int64).view(np.uint64)
        if plan.modulus_bits < 64:
            integers = integers & np.uint64((1 << plan.modulus_bits) - 1)
        sent = masking.flood(plan, self._public, polys, integers[:, None])
        return self._wrap_sums(Kind.FLOODED, rows, plan.rows, sent, fresh=True)

    def _tiles(self, plain: NDArray[np.float64] | Matrix) -> Tiles:
        kept = self._kept.get(plain) if isinstance(plain, Matrix) else None
        if kept is not None:
            return kept
        rows, count = plain.shape
        integers = self.formats.plain.encode(np.asarray(plain), "an entry of the matrix")
        keep = isinstance(plain, Matrix)
        tiles = Tiles(
            self.formats.plan(rows, count),
            self._arithmetic,
            np.ascontiguousarray(integers.T),
            self._budget if keep else None,
        )
        return self._kept.setdefault(plain, tiles) if isinstance(plain, Matrix) else tiles

    def _unpacked(
        self, payload: NDArray[np.uint8], shape: tuple[int, ...], n: int
    ) -> NDArray[np.uint64]:
        _require_size(payload, math.prod(shape))
        arithmetic = self._arithmetic
        try:
            return arithmetic.rns.unpack(payload.reshape(shape), n, arithmetic.threads)
        except ValueError as error:
            raise WireError(f"damaged lattice bytes: {error}") from error

    def _require_terms(self, terms: int) -> None:
        if not 1 <= terms <= max(1, self.formats.terms):
            raise EncodingOverflowError(
                f"{terms} encryptions in one sum may leave the range of the lattice scheme, which "
                f"holds {self.formats.terms}; use crypto: paillier"
            )

    def _wrap_rows(
        self, polys: NDArray[np.uint64], count: int, terms: int, *, fresh: bool
    ) -> Ciphertext:
        self._require_terms(terms)
        packed = self._arithmetic.rns.pack(polys, self._arithmetic.threads)
        body = bodies.make(Kind.PUBLIC, 0, packed)
        scale = self.formats.data.fraction_bits
        return self._wrap(body, "rows", scale, count, fresh=fresh, terms=terms)

    def _wrap_sums(
        self, kind: Kind, rows: int, count: int, payload: NDArray[np.uint8], *, fresh: bool = False
    ) -> Ciphertext:
        body = bodies.make(kind, rows, payload)
        return self._wrap(body, "sums", self.formats.sums_scale, count, fresh=fresh)

    def _wrap(
        self, body: NDArray[np.uint8], layout: str, scale: int, count: int, *,
        fresh: bool, terms: int = 1,
    ) -> Ciphertext:  # fmt: skip
        key_id = self._public.key_id
        return Ciphertext("lattice", key_id, scale, count, body, layout, fresh, terms)


def _require_size(payload: NDArray[np.uint8], size: int) -> None:
    if payload.size != size:
        raise WireError(
            f"a lattice ciphertext of this length has {size} bytes of residues, not {payload.size}"
        )
