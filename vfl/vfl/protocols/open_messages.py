"""What the level `open` sends and reveals; `open.py` says when."""

from __future__ import annotations

from vfl.declaration import Declaration, Disclosure, Flow
from vfl.messages import Array, Disclosed, Masked, Message, Public
from vfl.protocols.masked_sum import MaskKey
from vfl_crypto.linear import Ciphertext


class Offer(Message, kind="open.offer"):
    """The batches that all parties must have."""

    batch_rows: Public[list[int]]
    outputs: Public[int]  # scores a row


class Hello(Message, kind="open.hello"):
    """The epochs that a party can continue after, its columns, and how many are independent."""

    epochs: Public[list[int]]
    columns: Public[int]
    rank: Public[int]


class Start(Message, kind="open.start"):
    """What everybody must agree on before the first epoch."""

    after: Public[int]  # the epoch to continue after; 0 is the beginning
    epochs: Public[int]  # at most
    ranks: Public[list[int]]  # of the passive parties


class Epoch(Message, kind="open.epoch"):
    """Another pass over the batches, perhaps under a new key, or the end."""

    stop: Disclosed[bool]
    new_key: Public[bool]


class PublicKey(Message, kind="open.key"):
    key: Public[Array]


class Ready(Message, kind="open.ready"):
    """The sender has read the key: only now may anything come under it."""

    keys: Public[int]


class MaskedScores(Message, kind="open.masked_scores"):
    """The sender's scores of a batch, under masks that cancel in the sum of all."""

    values: Masked


class SoleScores(Message, kind="open.sole_scores"):
    """The scores of the only passive party: there is no other to hide them among."""

    values: Disclosed[Array]


class Residual(Message, kind="open.residual"):
    """The residuals of a batch over 2^exponent."""

    values: Ciphertext
    exponent: Disclosed[int]


class Product(Message, kind="open.product"):
    """The sender's columns times the residuals, masked."""

    values: Ciphertext


class Gradient(Message, kind="open.gradient"):
    """The active party's share of the receiver's gradient, its low bits gone."""

    values: Disclosed[Array]


STOP = "whether an epoch moved the scores by less than the tolerance"
EXPONENT = "the power of two above the largest root mean square of the batch's residuals so far"
SOLE = "scores of the only passive party, in steps of 2^-16"
OWN = "the receiver's own gradient, of at most 16 significant bits"

DECLARATION = Declaration(
    protocol="open",
    flows=(
        Flow(Offer, "active", "passive"),
        Flow(Hello, "passive", "active"),
        Flow(Start, "active", "passive"),
        Flow(MaskKey, "passive", "passive"),
        Flow(Epoch, "active", "passive"),
        Flow(PublicKey, "active", "passive"),
        Flow(Ready, "passive", "active"),
        Flow(MaskedScores, "passive", "active"),
        Flow(SoleScores, "passive", "active"),
        Flow(Residual, "active", "passive"),
        Flow(Product, "passive", "active"),
        Flow(Gradient, "active", "passive"),
    ),
    disclosures=(
        Disclosure(
            "active",
            "per training row and epoch the sum of the passive parties' scores, in steps of 2^-16",
        ),
        Disclosure(
            "active",
            "per training row and epoch the score of the only passive party, in steps of 2^-16",
            "open.sole_scores",
        ),
        Disclosure(
            "active", "how many columns each passive party has, and how many are independent"
        ),
        Disclosure(
            "passive",
            "batches, epochs; how many columns of each passive party are independent",
        ),
        Disclosure("passive", STOP, "open.epoch"),
        Disclosure("passive", EXPONENT, "open.residual"),
        Disclosure(
            "passive",
            "per batch its own gradient, of at most 16 significant bits; hence its own weights",
            "open.gradient",
        ),
    ),
)
