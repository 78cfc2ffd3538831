"""What the protocol on shares sends and reveals; `shared.py` says when."""

from __future__ import annotations

from vfl.declaration import Declaration, Disclosure, Flow
from vfl.messages import Array, Disclosed, Masked, Message, Public
from vfl.protocols.masked_sum import MaskKey
from vfl_crypto.linear import Ciphertext


class Offer(Message, kind="shared.offer"):
    """What a passive party needs to prepare its columns."""

    rows: Public[int]
    outputs: Public[int]  # scores a row
    curvature: Disclosed[float]


class Hello(Message, kind="shared.hello"):
    """The steps that a party can continue after, and the rank of its columns."""

    steps: Public[list[int]]
    rank: Public[int]


class Start(Message, kind="shared.start"):
    """What everybody must agree on before the first ciphertext."""

    after: Public[int]  # the step to continue after; 0 is the beginning
    rounds: Public[int]  # at most, in one fit
    fits: Public[int]  # one, and one for each fold of a cross-validation
    warm: Public[bool]  # the last fit starts from weights that the parties hold
    ranks: Public[list[int]]  # of the passive parties


class PublicKey(Message, kind="shared.key"):
    key: Public[Array]


class Ready(Message, kind="shared.ready"):
    """The sender has read the key: only now may anything come under it."""

    keys: Public[int]


class Weights(Message, kind="shared.weights"):
    """The active party's share of the receiver's weights, and whose scores will be summed."""

    values: Ciphertext
    contributors: Public[list[str]]


class Products(Message, kind="shared.products"):
    """The share times the sender's columns, masked."""

    values: Ciphertext


class MaskedScores(Message, kind="shared.masked_scores"):
    """The sender's share of its scores, under masks that cancel in the sum of all."""

    values: Masked


class SoleScores(Message, kind="shared.sole_scores"):
    """The share of the only passive party: there is no other to hide it among."""

    values: Disclosed[Array]


class Move(Message, kind="shared.move"):
    """Where the next point is: an advance, a retreat or the end; step size and momentum."""

    what: Public[str]
    sizes: Disclosed[list[float]]


class Residual(Message, kind="shared.residual"):
    """The residuals, and once more the share of the receiver's weights, for the ridge."""

    values: Ciphertext


class Gradient(Message, kind="shared.gradient"):
    """The sender's columns and ridge times them, masked."""

    values: Ciphertext


class Coefficients(Message, kind="shared.coefficients"):
    """The active party's share of the receiver's weights, at the end."""

    values: Disclosed[Array]


CURVATURE = "a bound of the loss's curvature: of counts their mean, of weighted rows the largest"
MOVES = "step size and momentum of the round, which follow the joint likelihood"
SOLE = "share of the scores of the only passive party, in steps of 2^-16"
OWN = "the receiver's own coefficients"

DECLARATION = Declaration(
    protocol="shared",
    flows=(
        Flow(Offer, "active", "passive"),
        Flow(Hello, "passive", "active"),
        Flow(Start, "active", "passive"),
        Flow(PublicKey, "active", "passive"),
        Flow(MaskKey, "passive", "passive"),
        Flow(Ready, "passive", "active"),
        Flow(Weights, "active", "passive"),
        Flow(Products, "passive", "active"),
        Flow(MaskedScores, "passive", "active"),
        Flow(SoleScores, "passive", "active"),
        Flow(Move, "active", "passive"),
        Flow(Residual, "active", "passive"),
        Flow(Gradient, "passive", "active"),
        Flow(Coefficients, "active", "passive"),
    ),
    disclosures=(
        Disclosure(
            "active",
            "per training row and round the sum of the passive parties' scores, in steps of 2^-16",
        ),
        Disclosure(
            "active",
            "per training row and round the score of the only passive party, in steps of 2^-16",
            "shared.sole_scores",
        ),
        Disclosure("active", "how many columns of each passive party are independent"),
        Disclosure(
            "passive",
            "training rows, rounds, folds; how many columns of each passive party are independent",
        ),
        Disclosure("passive", CURVATURE, "shared.offer"),
        Disclosure("passive", MOVES, "shared.move"),
        Disclosure("passive", "its own coefficients, at the end", "shared.coefficients"),
    ),
)
