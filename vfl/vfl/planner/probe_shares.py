"""Unit costs of the protocol on shares, measured on made-up data by the functions that a job calls.

Products are tried in both directions, at most 24,576 rows by 32 columns. Paillier is measured under
a key of 2048 bits and scaled, as in `probe`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from vfl.checkpoint import Checkpoints
from vfl.models.families import LOGISTIC
from vfl.models.iterate import PlainIterate
from vfl.models.whitening import OwnBlock, Whitening
from vfl.planner.timed import best
from vfl.planner.units import LatticeShareUnits, PaillierShareUnits, SharedUnits
from vfl.protocols.blocks import MATRIX_BITS, MATRIX_FRACTION, OPENED_FRACTION, SCORE_BITS
from vfl.protocols.descent import Descent, Task
from vfl.protocols.guards import ScoreBudget
from vfl.protocols.iterate import WEIGHT_BITS
from vfl.protocols.joint import Point
from vfl.protocols.shared import SharedTraining
from vfl_crypto.oracles.mock import MockScheme
from vfl_crypto.words import IntegerMatrix, Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfl_crypto.sharing import ShareEvaluator, ShareHolder

_NARROW: Final = 8
_MANY: Final = 64
_BROAD: Final = 256
_FEW: Final = 2048


def lattice(rows: int, columns: int, threads: int) -> dict[str, LatticeShareUnits]:
    """Both products of a round on a random matrix."""
    from vfl_crypto.lattice import LatticeScheme, levels_for
    from vfl_crypto.lattice.parameters import WIDE
    from vfl_crypto.lattice.plan import BYTE_NS
    from vfl_crypto.lattice.shares import share_plan

    forward, backward = (rows, columns), (columns, rows + columns)
    levels = levels_for([forward, backward])
    scheme = LatticeScheme(threads=threads, levels=levels)
    bare = LatticeScheme(threads=threads, levels=0)
    make, _ = best(bare.share_holder, 2)
    made, holder = best(scheme.share_holder, 2)
    read, _ = best(lambda: bare.evaluator(bare.share_holder().public_key), 1)
    read_all, evaluator = best(lambda: scheme.evaluator(holder.public_key), 2)
    taken, kernels, tiles = [], [], []
    for shape, bits in ((backward, WEIGHT_BITS), (forward, SCORE_BITS)):
        plan = share_plan(WIDE, *shape, MATRIX_BITS, bits)
        link = (plan.upload_bytes + plan.download_bytes) * BYTE_NS * 1e-9
        taken.append(_product(shape, bits, holder, evaluator))
        kernels.append(plan.seconds - link)
        tiles.append(plan.row_subtrees * plan.inner_blocks * plan.images)
    holder.close()
    back, there = taken
    blocks = share_plan(WIDE, *backward, MATRIX_BITS, WEIGHT_BITS).inner_blocks
    kernel = back.again / kernels[0]
    first = sum(max(0.0, one.first - one.again) for one in taken)
    units = LatticeShareUnits(
        make, max(0.0, made - make) / max(1, levels), read,
        max(0.0, read_all - read) / max(1, levels), back.encrypt / blocks, kernel,
        first / sum(tiles), max(0.0, there.again - kernel * kernels[1]) / rows,
        there.share / rows,
    )  # fmt: skip
    return {"lattice_shares": units}


def paillier(threads: int) -> dict[str, PaillierShareUnits]:
    """Under a key of 2048 bits: three products, whose shapes tell the parts of one from another."""
    from vfl_crypto.paillier import PaillierScheme
    from vfl_crypto.paillier.shares import slots_for

    scheme = PaillierScheme(2048, threads=threads)
    make, holder = best(scheme.share_holder, 1)
    evaluator = scheme.evaluator(holder.public_key)
    tiny = _product((1, 1), SCORE_BITS, holder, evaluator)
    long = _product((1, 256), SCORE_BITS, holder, evaluator)
    wide = _product((8, 256), SCORE_BITS, holder, evaluator)
    count = 4 * threads
    packed = _product(
        (count * slots_for(SCORE_BITS, 2048).per_row, 1), SCORE_BITS, holder, evaluator
    )
    holder.close()
    entry = max(0.0, wide.again - long.again) / (7 * 256)
    base = max(0.0, (long.again - tiny.again) / 255 - entry)
    units = PaillierShareUnits(
        2048, make, max(0.0, tiny.first - tiny.again), long.encrypt / 256, base, entry,
        packed.again / count, packed.share / count,
    )  # fmt: skip
    return {"paillier_shares": units}


def clear(rows: int) -> dict[str, SharedUnits]:
    """What both sides do without a cipher."""
    narrow, broad = _whitened(8 * _FEW, _NARROW), _whitened(_FEW, _BROAD)  # seconds an entry
    pair = max(0.0, broad - narrow) / (_BROAD - _NARROW)
    entry = max(0.0, narrow - _NARROW * pair)
    one, many = (best(_own_share(rows, k), 3)[0] for k in (1, _MANY))
    multiply = max(0.0, many - one) / (rows * (_MANY - 1))
    score = max(0.0, one / rows - multiply)
    with tempfile.TemporaryDirectory(prefix="vfl-plan-") as folder:
        decide, _ = best(_decision(rows, Path(folder)), 3)
    return {"shared": SharedUnits(entry, pair, multiply, score, decide / rows)}


class _Taken(NamedTuple):
    """Seconds of one product: encrypted, multiplied for the first time and again, shared."""

    encrypt: float
    first: float
    again: float
    share: float


def _product(
    shape: tuple[int, int], bits: int, holder: ShareHolder, evaluator: ShareEvaluator
) -> _Taken:
    most = 1 << (MATRIX_BITS - 8)
    plain = np.random.default_rng(0).integers(-most, most, shape).astype(np.float64)
    matrix, words = IntegerMatrix(plain, MATRIX_BITS), Words.uniform(shape[1], bits)
    encrypt, sent = best(lambda: holder.encrypt_words(words), 3)
    first, _ = best(lambda: evaluator.multiply(matrix, sent), 1)
    again, (masked, _) = best(lambda: evaluator.multiply(matrix, sent), 2)
    share, _ = best(lambda: holder.share(masked), 2)
    return _Taken(encrypt, first, again, share)


def _whitened(rows: int, columns: int) -> float:
    """A passive party's columns, made independent and integers in both directions."""
    X = np.random.default_rng(0).standard_normal((rows, columns))

    def work() -> None:
        whitening = Whitening.fit(X, 0.25, 2, 1e-3)
        forward = np.rint(np.ldexp(whitening.columns, MATRIX_FRACTION))
        ridge = np.diag(whitening.ridge)
        IntegerMatrix(forward, MATRIX_BITS)
        IntegerMatrix(np.rint(np.hstack([forward.T, ridge])), MATRIX_BITS)

    return best(work, 2)[0] / X.size


def _own_share(rows: int, columns: int) -> Callable[[], object]:
    """Its share of scores, from its own shares of weights."""
    plain = np.random.default_rng(0).integers(-(1 << 18), 1 << 18, (rows, columns))
    matrix = IntegerMatrix(plain.astype(np.float64), MATRIX_BITS)
    words, other = Words.uniform(columns, SCORE_BITS), Words.uniform(rows, SCORE_BITS)
    return lambda: (other + matrix @ words).shifted(OPENED_FRACTION).modulo(OPENED_FRACTION)


def _decision(rows: int, folder: Path) -> Callable[[], object]:
    """The active party's move after the first, from scores at hand, and its checkpoint."""
    rng = np.random.default_rng(0)
    X, target = rng.standard_normal((rows, 1)), rng.integers(0, 2, (rows, 1)).astype(np.float64)
    checkpoints = Checkpoints(folder, "probe", "probe")
    training = SharedTraining(
        LOGISTIC, lambda _: MockScheme(), checkpoints, ScoreBudget(True), True, 1e-3, 0.0
    )
    own = OwnBlock.fit(X, 0.25, 2, 1e-3, intercept=True)
    point = Point(PlainIterate.at(np.zeros((2, 1))), {})
    path = Descent(training, own, target, Task(np.ones(rows), lambda _: {}), 100, point)

    def decide() -> None:
        path.decide(rng.standard_normal((rows, 1)))
        path.round += 1
        checkpoints.save(path.round, path.to_dict())

    decide()
    return decide
