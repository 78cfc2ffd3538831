"""The secret key out of opened shares: the carry of the last bit compares noise with a border.

Let y = t (change of c0 by rounding - r) / Q, which the evaluator knows. The share it gets back is
m1 = m + round(y + eta), eta = t <change of c1 by rounding, s> / Q: near a border of y the carry
says on which side eta is. Thousands of these are a linear regression for s. A key holder that
drops b low bits leaves a carry to see in one of 2^b values.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from lattice_products import (
    ARITHMETIC,
    PUBLIC,
    SECRET,
    coefficients,
    correlation,
    product,
    residues_of,
    returned_c1,
    signed,
    spectrum,
    upload,
    words_of,
)
from vfl_crypto.errors import ReleaseBudgetError
from vfl_crypto.lattice import LatticeScheme, masking, noise
from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.masking import OPENINGS_PER_BIT
from vfl_crypto.lattice.parameters import COMPACT, SETS, WIDE, ParameterSet
from vfl_crypto.lattice.plan import Plan
from vfl_crypto.lattice.tiles import Tile
from vfl_crypto.words import Words

BITS, POINT = 40, 20  # of t, and behind the binary point of what the evaluator works with
SCHEME = LatticeScheme(COMPACT, levels=0)
P = np.array([[700, -333]])


def plan_of(p: ParameterSet) -> Plan:
    """N results a ciphertext."""
    fresh = noise.encrypted(p, public=False)
    return Plan(p, 1, 2, p.n, Tile(p.n, 1, 1, p.n), 0, 12, BITS, fresh)


def below(integers: np.ndarray, dropped: int) -> np.ndarray:
    return integers & np.uint64((1 << BITS) - (1 << dropped))


def opened_by(holder, share: np.ndarray, dropped: int) -> np.ndarray:
    return residues_of(holder.open_share(words_of(share, BITS), dropped))


@dataclass
class Maskings:
    """One product masked many times. Arrays are (maskings, N); `shares` the key holder has."""

    shares: np.ndarray  # m1
    y: np.ndarray  # in units of 2^-POINT, modulo 2^(BITS + POINT)
    change: np.ndarray  # of c1, in units of Delta

    @property
    def nearest(self) -> np.ndarray:
        """round(y)"""
        return (self.y + np.uint64(1 << POINT - 1)) >> np.uint64(POINT)

    @property
    def rest(self) -> np.ndarray:
        """y - round(y)"""
        return (self.y - (self.nearest << np.uint64(POINT))).view(np.int64) * 2.0**-POINT

    def results(self) -> np.ndarray:
        """m (N,), found from fully opened shares: most carries are zero."""
        m = self.shares - self.nearest
        return m[0] + np.median(signed(m - m[0], BITS), axis=0).astype(np.int64).view(np.uint64)


@pytest.fixture
def zeros(monkeypatch):
    """The encryptions of zero that the evaluator makes and remembers."""
    encrypt_zero, made = masking.encrypt_zero, []

    def recorded(*arguments):
        made.append(encrypt_zero(*arguments))
        return made[-1]

    monkeypatch.setattr(masking, "encrypt_zero", recorded)
    return made


def difference(p: ParameterSet, sent: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """sent - whole, both (primes, N), in units of 2^-POINT of Delta, modulo 2^(BITS + POINT)."""
    q = np.array(p.primes, dtype=np.uint64)[:, None]
    return ARITHMETIC[p.name].rns.scale_down((sent + q - whole % q) % q, BITS + POINT)


def masked(p: ParameterSet, count: int, zeros: list[np.ndarray]) -> Maskings:
    plan, rns = plan_of(p), ARITHMETIC[p.name].rns
    data = np.random.default_rng(0).integers(0, 2**BITS, (2, p.n), dtype=np.uint64)
    bare = product(plan, P, upload(plan, data))
    made = []
    for _ in range(count):
        sent, _ = masking.mask(plan, PUBLIC[p.name], bare)
        c0, c1 = bare[0] + zeros[-1][0]
        edge = len(sent) - p.n * (BITS + noise.C0_BITS) // 8
        sent_c0 = rns.decompress(sent[edge:], BITS + noise.C0_BITS, p.n)
        y, change = difference(p, sent_c0, c0), difference(p, returned_c1(plan, sent)[0], c1)
        share = masking.open_returned(plan, SECRET[p.name], sent)[0]
        made.append((share, y, signed(change, BITS + POINT) * 2.0**-POINT))
    return Maskings(*map(np.array, zip(*made, strict=True)))


def recovered(p: ParameterSet, known: Maskings, m: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """s (N,) up to a factor: E[eta | its carry] against the changes of c1."""
    bits = int(np.bitwise_or.reduce(opened, axis=None))
    dropped = (bits & -bits).bit_length() - 1
    sigma = noise.returned(p, BITS) / plan_of(p).delta
    side = np.where(known.rest >= 0, 1, -1)
    tau = (0.5 - np.abs(known.rest)) / sigma  # from there to the border, in deviations of eta
    density = np.exp(-(tau**2) / 2) / math.sqrt(2 * math.pi)
    beyond = np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in tau.ravel()]).reshape(tau.shape)
    here = m + known.nearest
    there = here + side.view(np.uint64)
    visible = (below(here, dropped) != below(there, dropped)) & (tau < 6)
    carried = opened == below(there, dropped)
    eta = np.where(carried, density / np.maximum(beyond, 1e-12), -density / (1 - beyond))
    changes, etas = spectrum(known.change), spectrum(eta * side * visible)
    return coefficients((changes.conj() * etas).sum(axis=0))


def success(p: ParameterSet, estimate: np.ndarray) -> tuple[float, float]:
    """Correlation with s, and the part of s guessed right: chance is 0 and a third."""
    if not estimate.any():
        return 0.0, 1 / 3
    s = SECRET[p.name]._ternary
    thirds = np.argsort(np.argsort(estimate)) * 3 // p.n - 1
    return correlation(estimate, s), float((thirds == s).mean())


@pytest.mark.parametrize(
    ("p", "maskings", "least", "right"),
    [(COMPACT, 5, 0.36, 0.43), (COMPACT, 20, 0.6, 0.55), (WIDE, 10, 0.55, 0.53)],
    ids=["20 thousand", "80 thousand", "80 thousand, wide set"],
)
def test_fully_opened_shares_give_the_secret_key(p, maskings, least, right, zeros):
    known = masked(p, maskings, zeros)
    found, guessed = success(p, recovered(p, known, known.results(), known.shares))
    assert found > least
    assert guessed > right


def test_shares_opened_by_the_key_holder_give_nothing(zeros):
    """All that one key opens with 12 bits dropped, to an evaluator that is told every result."""
    known, holder = masked(COMPACT, OPENINGS_PER_BIT, zeros), SCHEME.share_holder()
    m = known.results()
    opened = [opened_by(holder, share, 12) for share in known.shares]
    found, guessed = success(COMPACT, recovered(COMPACT, known, m, np.array(opened)))
    assert abs(found) < 0.12  # chance has a deviation of 0.016
    assert 0.28 < guessed < 0.39  # and of 0.007 around a third
    assert success(COMPACT, recovered(COMPACT, known, m, known.shares))[0] > 0.4
    with pytest.raises(ReleaseBudgetError):
        opened_by(holder, known.shares[0][:1], 12)


def test_a_flooded_result_has_no_carry():
    """Everything in it stays below Delta / 2, so what the key holder reads is the result alone."""
    plan = plan_of(WIDE)
    data = np.random.default_rng(1).integers(0, 2**BITS, (2, WIDE.n), dtype=np.uint64)
    values = np.random.default_rng(2).integers(0, 2**BITS, (1, WIDE.n), dtype=np.uint64)
    bare = product(plan, P, upload(plan, data))
    for _ in range(5):
        sent = masking.flood(plan, PUBLIC["wide"], bare, values)
        opened = masking.open_returned(plan, SECRET["wide"], sent)
        assert np.array_equal(opened, below(P.astype(np.uint64) @ data + values, 0))


@pytest.mark.parametrize("dropped", [12, 14, 16])
def test_a_key_opens_no_more_values_than_the_dropped_bits_allow(dropped):
    holder = SCHEME.share_holder()
    values = Words.zeros(OPENINGS_PER_BIT << dropped, BITS)
    holder.open_share(values[1:], dropped)
    with pytest.raises(ReleaseBudgetError, match="rotate"):
        holder.open_share(values[:2], dropped)
    holder.open_share(values[:1], dropped)
    assert holder.openings_left == 0


CARRY_BITS = 2.606
"""Integral over x of the entropy of [Gaussian > x], in bits: what a carry says, times sigma."""


@pytest.mark.parametrize("p", SETS.values(), ids=str)
def test_the_budget_is_one_bit_of_carries(p):
    sigma = noise.returned(p, 40) / plan_of(p).delta  # or the most that a plan allows: 0.0586
    assert OPENINGS_PER_BIT * CARRY_BITS * sigma <= 1.05


@pytest.mark.parametrize("dithered", [False, True])
def test_an_evaluator_that_chooses_its_pad(dithered, zeros, monkeypatch):
    """Zero matrix, m = 0, and a pad that puts every share half a unit below a multiple of 2^12."""
    p, plan, low, holder = COMPACT, plan_of(COMPACT), 1 << 12, SCHEME.share_holder()
    rng, rns = np.random.default_rng(0), ARITHMETIC["compact"].rns
    multiples = rng.integers(0, 2 ** (BITS - 12), p.n, dtype=np.uint64) * np.uint64(low)
    halves = ((multiples << np.uint64(1)) - np.uint64(1)) & np.uint64((2 << BITS) - 1)
    pad = rns.scale_up(halves, BITS + 1)[None]
    bare, gathered = np.zeros((1, 2, 2, p.n), dtype=np.uint64), 0
    monkeypatch.setattr(Arithmetic, "uniform", lambda *_, **__: pad)
    for _ in range(OPENINGS_PER_BIT):
        sent, _ = masking.mask(plan, PUBLIC["compact"], bare)
        share = masking.open_returned(plan, SECRET["compact"], sent)[0]
        opened = opened_by(holder, share, 12) if dithered else below(share, 12)
        change = difference(p, returned_c1(plan, sent)[0], zeros[-1][0, 1])
        up = (opened == multiples).astype(float)
        gathered = gathered + spectrum(signed(change, BITS + POINT) * 1.0).conj() * spectrum(
            up - up.mean()
        )
    found, guessed = success(p, coefficients(gathered))
    if dithered:
        assert abs(found) < 0.15 and guessed < 0.4  # 0.017 +- 0.013 and 0.339 +- 0.007
    else:
        assert found > 0.7 and guessed > 0.65
