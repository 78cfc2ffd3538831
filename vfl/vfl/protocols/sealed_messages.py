"""What sealed linear regression sends and reveals; `sealed.py` says when."""

from __future__ import annotations

from typing import Final

from vfl.declaration import Declaration, Disclosure, Flow, Role
from vfl.messages import Array, Disclosed, Masked, Message, Public
from vfl_crypto.linear import Ciphertext


class Offer(Message, kind="sealed.offer"):
    """How many rows there are to train on."""

    rows: Public[int]


class Hello(Message, kind="sealed.hello"):
    """The steps that a party can continue after, and the rank of its columns."""

    steps: Public[list[int]]
    rank: Public[int]


class Start(Message, kind="sealed.start"):
    """The step to continue after, 0 being the beginning, and the ranks of all data parties."""

    after: Public[int]
    ranks: Public[list[int]]


class Key(Message, kind="sealed.key"):
    """The sender's public key, for the products that it asks of the receiver."""

    key: Public[Array]


class Ready(Message, kind="sealed.ready"):
    """The sender has read this many keys: what is encrypted under them may come."""

    keys: Public[int]


class Column(Message, kind="sealed.column"):
    """One whitened column of the sender, over the number of rows; or the label."""

    values: Ciphertext


class Moments(Message, kind="sealed.moments"):
    """The sender's columns times it, masked."""

    values: Ciphertext


class MomentShares(Message, kind="sealed.moment_shares"):
    """The sender's share of such products, for one of the two parties that train."""

    values: Masked


class Weights(Message, kind="sealed.weights"):
    """The sender's share of all weights."""

    values: Ciphertext


class Gradient(Message, kind="sealed.gradient"):
    """The sender's share of the moments times them, masked."""

    values: Ciphertext


class Round(Message, kind="sealed.round"):
    """A round is over: for those who wait for the end."""

    number: Public[int]


class Coefficients(Message, kind="sealed.coefficients"):
    """The sender's share of the receiver's weights, at the end."""

    values: Disclosed[Array]


OWN = "a share of the receiver's own coefficients"
_OWN = "its own coefficients, at the end, from two shares"
_SIZES = "training rows, rounds; how many columns of each party are independent"
_AMONG_ALL: Final[tuple[tuple[Role, Role], ...]] = (
    ("active", "passive"), ("passive", "active"), ("passive", "passive"),
)  # fmt: skip

DECLARATION = Declaration(
    protocol="sealed",
    flows=(
        Flow(Offer, "active", "passive"),
        Flow(Hello, "passive", "active"),
        Flow(Start, "active", "passive"),
        Flow(Round, "active", "passive"),
        *(
            Flow(message, sender, receiver)
            for message in (Key, Ready, Column, Moments)
            for sender, receiver in _AMONG_ALL
        ),
        *(Flow(MomentShares, sender, receiver) for sender, receiver in _AMONG_ALL[1:]),
        *(Flow(Coefficients, sender, receiver) for sender, receiver in _AMONG_ALL),
        *(
            Flow(message, sender, receiver)
            for message in (Weights, Gradient)
            for sender, receiver in _AMONG_ALL[:2]
        ),
    ),
    disclosures=(
        Disclosure("active", _SIZES),
        Disclosure("passive", _SIZES),
        Disclosure("active", _OWN, "sealed.coefficients"),
        Disclosure("passive", _OWN, "sealed.coefficients"),
    ),
)
