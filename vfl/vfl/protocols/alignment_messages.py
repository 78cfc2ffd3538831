"""What alignment sends and reveals; `alignment.py` and `alignment_ring.py` say when."""

from __future__ import annotations

from vfl.declaration import Declaration, Disclosure, Flow, Role
from vfl.messages import Array, Disclosed, Masked, Message, Public

CURVE = "x25519"
NOT_MINE = "places of joint rows in a list that its owner and others shuffled"
MINE = "which of the receiver's own ids all parties have"
COUNT = "how many rows are joint"


class Salt(Message, kind="align.salt"):
    salt: Public[bytes]


class MaskedIds(Message, kind="align.ids"):
    points: Masked


class MaskedTwice(Message, kind="align.ids_twice"):
    points: Masked


class JointCount(Message, kind="align.joint_count"):
    rows: Disclosed[int]


class Trace(Message, kind="align.trace"):
    """Places of the joint rows in a list as the receiver last sent it, in the order of rows."""

    places: Disclosed[Array]


_DATA_ROLES: tuple[Role, ...] = ("active", "passive")
_RING: tuple[tuple[Role, Role], ...] = (
    ("active", "passive"), ("passive", "passive"), ("passive", "active"),
)  # fmt: skip
DECLARATION = Declaration(
    protocol="alignment",
    flows=(
        Flow(Salt, "active", "passive"),
        *(Flow(MaskedIds, *pair) for pair in _RING),
        Flow(MaskedTwice, "passive", "active"),
        Flow(JointCount, "active", "passive"),
        *(Flow(Trace, *pair) for pair in _RING),
    ),
    disclosures=(
        *(Disclosure(r, "how many ids the other parties' tables have") for r in _DATA_ROLES),
        *(Disclosure(r, MINE, "align.trace") for r in _DATA_ROLES),
        *(Disclosure(r, NOT_MINE, "align.trace") for r in _DATA_ROLES),
        Disclosure("active", COUNT),
        Disclosure("passive", COUNT, "align.joint_count"),
        Disclosure("active", "how many ids each group of tables shares (three or more parties)"),
    ),
)
