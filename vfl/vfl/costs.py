"""What a job would cost under each cipher: how `crypto: auto` chooses.

Only what the job file says goes in, and constants where it is silent, so that all parties choose
alike whatever their machines and tables are. Seconds of the coordinated protocol, parties side by
side, one thread each:

    keys      made, sent to each data party, read
    a round   a passive party encrypts, the active party encrypts onto the sum, each party
              multiplies and departs, the arbiter opens one gradient after the other

and every byte over a link of `LINK_BITS` a second, those to and from one party one by one. The unit
costs were measured on one machine (CHANGELOG.md); the choice needs their ratios alone.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from vfl.spec import JobSpec

Chosen = Literal["lattice", "paillier"]

ROWS: Final = 10_000
"""Training rows, and the rows of a batch where the job does not say."""

SUMMED: Final = 1 << 17
"""Rows that the lattice can sum over. A batch has fewer than twice the rows asked for, if the table
has as many (`linear.batches`): a job that asks for no more than this is not turned down for what it
might turn out to need."""

COLUMNS: Final = 20
"""Columns of a party that does not name its own."""

LINK_BITS: Final = 1e8

# Paillier: seconds at 3072 bits, and the power of the key's length with which they grow.
_KEY: Final = 1.5, 4.0  # generation, and the table of powers on the other side
_ENCRYPT: Final = 1.85e-3, 2.8
_PRODUCT: Final = 105e-6, 2.1
_DECRYPT: Final = 8.4e-3, 2.5
_LONGER: Final = 2.6  # encryptions in the departure of a product: its exponent is as long as n

# The lattice: what its plans do not count.
_KEYS_S: Final = 0.07  # made, and read on the other side
_BLOCK_S: Final = 1.7e-3  # an encryption under the public key
_DEPART_S: Final = 1.7e-3  # a result flooded
_OPEN_S: Final = 0.5e-3  # and opened


@dataclass(frozen=True)
class Sizes:
    """What the costs depend on: of the job file, or assumed."""

    parties: int  # with data
    rows: int  # of a batch
    most_rows: int  # that a batch may turn out to have
    rounds: int  # batches, over all epochs
    columns: int  # of the party with most, intercept included
    all_columns: int
    key_bits: int  # of Paillier's n


def cheapest(job: JobSpec) -> Chosen:
    """The cipher that `auto` stands for in a checked job."""
    seconds = predicted(job)
    return min(seconds, key=seconds.__getitem__)


def predicted(job: JobSpec) -> dict[Chosen, float]:
    """Seconds by cipher, for a checked job; infinite where a cipher's range is too small."""
    found = sizes(job)
    return {"lattice": _lattice(found), "paillier": _paillier(found)}


def sizes(job: JobSpec) -> Sizes:
    """The public sizes of a checked job."""
    model = job.model
    data = [job.party(name) for name in job.roster.data_parties]
    widths = [COLUMNS if p.columns is None else len(p.columns) for p in data]
    widths[0] += model.intercept  # the active party is first
    rows = model.batch_size or ROWS
    return Sizes(
        parties=len(data),
        rows=rows,
        most_rows=min(2 * rows - 1, max(rows, SUMMED)) if model.batch_size else rows,
        rounds=model.epochs * max(1, ROWS // rows),
        columns=max(widths),
        all_columns=sum(widths),
        key_bits=job.asked.key_bits,
    )


def _paillier(s: Sizes) -> float:
    key, encrypt, multiply, decrypt = (
        seconds * math.pow(s.key_bits / 3072, power)
        for seconds, power in (_KEY, _ENCRYPT, _PRODUCT, _DECRYPT)
    )
    work = (
        (2 * s.rows + _LONGER * s.columns) * encrypt
        + s.rows * s.columns * multiply
        + s.all_columns * decrypt
    )
    ciphertexts = 2 * (s.parties - 1) * s.rows + s.all_columns
    return key + s.rounds * (work + _link(ciphertexts * s.key_bits / 4))


@functools.lru_cache
def _lattice(s: Sizes) -> float:
    """Seconds; infinite where its fixed point or its noise has no room."""
    from vfl_crypto.errors import EncodingOverflowError, InsecureParametersError
    from vfl_crypto.lattice.plan import BYTE_NS
    from vfl_crypto.lattice.scheme import TERMS, LatticeScheme

    if s.parties > TERMS:
        return math.inf
    scheme = LatticeScheme()
    try:
        _ = scheme.plan(s.most_rows, s.columns).flood_bits
        plan = scheme.plan(s.rows, s.columns)
    except (EncodingOverflowError, InsecureParametersError):
        return math.inf
    vector, gradient = plan.upload_bytes, plan.download_bytes
    work = (
        2 * plan.inner_blocks * _BLOCK_S
        + plan.seconds - (vector + gradient) * BYTE_NS * 1e-9  # whose link is another
        + plan.results * (_DEPART_S + s.parties * _OPEN_S)
    )  # fmt: skip
    link = _link(2 * (s.parties - 1) * vector + s.parties * gradient)
    return _KEYS_S + _link(s.parties * lattice_key_bytes()) + s.rounds * (work + link)


def lattice_key_bytes() -> int:
    """A public key of the lattice without its frame: an encryption of zero, switching keys."""
    from vfl_crypto.lattice.parameters import WIDE
    from vfl_crypto.lattice.plan import PACK_LEVELS

    digits = len(WIDE.primes)
    row = sum(q.bit_length() for q in WIDE.primes) * WIDE.n // 8
    switching_row = sum(q.bit_length() for q in WIDE.moduli) * WIDE.n // 8
    return row + PACK_LEVELS * digits * switching_row


def _link(size: float) -> float:
    return size * 8 / LINK_BITS
