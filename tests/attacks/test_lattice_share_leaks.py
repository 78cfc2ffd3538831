"""What a key holder takes from a product of shared integers: the matrix, from c0 and from c1.

It made the encrypted vector, w = (1), and knows a. The product with P (1, 1) has c1 = P a, so every
P is tried on a few coefficients; and its message is P itself. A fresh zero covers the one, a pad
the other.
"""

import numpy as np
import pytest

from lattice_products import returned_c1
from vfl_crypto.lattice import LatticeScheme, bodies, masking
from vfl_crypto.lattice.arithmetic import Arithmetic
from vfl_crypto.lattice.bodies import SEED_BYTES
from vfl_crypto.lattice.shares import share_plan
from vfl_crypto.words import IntegerMatrix, Words

PLAIN_BITS, BITS = 12, 96
HOLDER = LatticeScheme(levels=0).share_holder()
RNS = HOLDER._secret.arithmetic.rns
SECRET_ENTRY = -1234


def product():
    """The upload, the answer, and the plan of both."""
    sent = HOLDER.encrypt_words(Words.of_list([1], BITS))
    matrix = IntegerMatrix(np.full((1, 1), float(SECRET_ENTRY)), PLAIN_BITS)
    masked, _ = HOLDER.evaluator.multiply(matrix, sent)
    return sent, masked, share_plan(HOLDER._parameters, 1, 1, PLAIN_BITS, BITS)


def entries_that_explain_c1(sent, masked, plan) -> list[int]:
    seed = bodies.split(sent.body).payload[:SEED_BYTES].tobytes()
    a = HOLDER._secret.arithmetic.uniform(seed, 1)[0]
    parts = RNS.scale_down(a, 52)[:8] * 2.0**-52  # of Q
    seen = RNS.scale_down(returned_c1(plan, bodies.split(masked.body).payload), 52)[0, :8]
    tried = np.arange(-(1 << PLAIN_BITS - 1), 1 << PLAIN_BITS - 1)
    away = seen * 2.0**-52 - tried[:, None] * parts
    return tried[(np.abs(away - np.rint(away)) < 2.0**-30).all(axis=1)].tolist()


@pytest.mark.parametrize("protected", [False, True])
def test_c1_gives_the_matrix_without_a_fresh_zero(protected, monkeypatch):
    if not protected:
        real = masking.encrypt_zero
        monkeypatch.setattr(masking, "encrypt_zero", lambda *given: 0 * real(*given))
    assert entries_that_explain_c1(*product()) == ([] if protected else [SECRET_ENTRY])


@pytest.mark.parametrize("protected", [False, True])
def test_the_message_is_the_product_without_a_pad(protected, monkeypatch):
    drawn = Arithmetic.uniform

    def nothing_for_a_pad(self, seed, count, *, length=0, special=False):
        values = drawn(self, seed, count, length=length, special=special)
        return values * np.uint64(length == 0)

    if not protected:
        monkeypatch.setattr(Arithmetic, "uniform", nothing_for_a_pad)
    _, masked, _ = product()
    found = HOLDER.share(masked).signed()[0]
    assert (abs(found - SECRET_ENTRY) <= 1) == (not protected)
    assert not protected or abs(found) > 2.0**40  # less in 2^-55 of all cases
