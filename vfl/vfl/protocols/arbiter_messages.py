"""What the coordinated protocol sends and reveals; `arbiter.py` says when."""

from __future__ import annotations

from vfl.declaration import Declaration, Disclosure, Flow
from vfl.messages import Array, Disclosed, Message, Public
from vfl_crypto.linear import Ciphertext


class PublicKey(Message, kind="train.key"):
    """A public key, its bytes as uint8: the first one, or the next after an epoch."""

    key: Public[Array]


class Checkpointed(Message, kind="train.checkpointed"):
    """The epochs a party can continue after."""

    epochs: Public[list[int]]


class Start(Message, kind="train.start"):
    """The epoch everybody continues after, and the rows of each batch."""

    epoch: Public[int]
    batch_rows: Public[list[int]]


class Scores(Message, kind="train.scores"):
    values: Ciphertext


class Residual(Message, kind="train.residual"):
    """A round's residual, and how many steps to take on it."""

    values: Ciphertext
    steps: Public[int]


class Gradient(Message, kind="train.gradient"):
    """A gradient, and how many more on the same residual follow it."""

    values: Ciphertext
    left: Public[int]


class Step(Message, kind="train.step"):
    values: Disclosed[Array]


class Finished(Message, kind="train.finished"):
    """Training is over, and these passive parties are still there; where some may not be."""

    passives: Public[list[str]]


class Done(Message, kind="train.done"):
    """The sender has taken its last step."""

    epochs: Public[int]


class EpochEnd(Message, kind="train.epoch_end"):
    """Whether to stop, how far the weights moved, and whether a new key follows."""

    converged: Public[bool]
    new_key: Public[bool]
    change: Disclosed[float]


MOVED = "how far all weights together moved in an epoch, to three digits"
_GRADIENTS = (
    "each party's gradient per batch in full, for it holds the key; hence all weights, and from as "
    "many rounds as there are columns the second moments of all columns and the label (X'X, X'y); "
    "local steps count as rounds"
)
_STEP = "per batch each step on its own columns, from a gradient of 16 significant bits"
DECLARATION = Declaration(
    protocol="arbiter",
    flows=(
        Flow(PublicKey, "arbiter", "active"),
        Flow(PublicKey, "arbiter", "passive"),
        Flow(Checkpointed, "arbiter", "active"),
        Flow(Checkpointed, "passive", "active"),
        Flow(Start, "active", "passive"),
        Flow(Start, "active", "arbiter"),
        Flow(Scores, "passive", "active"),
        Flow(Residual, "active", "passive"),
        Flow(Gradient, "active", "arbiter"),
        Flow(Gradient, "passive", "arbiter"),
        Flow(Step, "arbiter", "active"),
        Flow(Step, "arbiter", "passive"),
        Flow(Finished, "active", "passive"),
        Flow(Finished, "active", "arbiter"),
        Flow(Done, "passive", "arbiter"),
        Flow(EpochEnd, "arbiter", "active"),
        Flow(EpochEnd, "arbiter", "passive"),
    ),
    disclosures=(
        Disclosure("arbiter", _GRADIENTS),
        Disclosure("arbiter", "numbers of columns, batches and rows"),
        Disclosure("active", _STEP, "train.step"),
        Disclosure("passive", _STEP, "train.step"),
        Disclosure("active", MOVED, "train.epoch_end"),
        Disclosure("passive", MOVED, "train.epoch_end"),
    ),
)  # fmt: skip
