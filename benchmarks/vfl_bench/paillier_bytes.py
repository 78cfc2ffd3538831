"""What a run on shares would have sent under Paillier, counted message by message from its ledger.

The protocol is the same under every cipher: so are its messages, and how many values each carries.
Under Paillier what is encrypted has one ciphertext a value, 2 |n| bits long. A masked product may
be packed, many values to a ciphertext, before it departs: ours is. "Unpacked" is without that, the
way most engines send it. The rest of a frame is counted to the byte.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from vfl.planner.traffic import array, frame_bytes, plain
from vfl.protocols.blocks import SCORE_BITS
from vfl.protocols.iterate import WEIGHT_BITS
from vfl.protocols.shared_messages import Gradient, Products, PublicKey, Residual, Weights
from vfl_crypto.paillier.shares import slots_for
from vfl_crypto.sharing import masked_layout, words_layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vfl.ledger import Entry
    from vfl.messages import Message

PROTOCOL: Final = "shared."
_KEY_ID: Final = "0" * 16
_BITS: Final[Mapping[type[Message], int]] = {
    Weights: SCORE_BITS, Products: SCORE_BITS, Residual: WEIGHT_BITS, Gradient: WEIGHT_BITS
}  # fmt: skip
_KINDS: Final = {message.kind: message for message in _BITS}


def training(entries: Iterable[Entry]) -> list[Entry]:
    """What was sent to train: not for alignment or scoring, which no cipher changes."""
    return [e for e in entries if e.direction == "sent" and e.kind.startswith(PROTOCOL)]


def sent(entries: Iterable[Entry]) -> Counter[tuple[str, str]]:
    """Bytes by (sender, receiver)."""
    found: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        found[entry.sender, entry.receiver] += entry.bytes
    return found


def under_paillier(
    entries: Iterable[Entry], key_bits: int, key_bytes: int = 0, *, packed: bool
) -> Counter[tuple[str, str]]:
    """The same, had all been sent under Paillier.

    Its key is published in `key_bytes`: 1.2 KB at 3072 bits, which comparisons leave out.
    """
    entries = list(entries)
    passives = sorted({e.receiver for e in entries if e.kind == Weights.kind})
    found: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        size = entry.bytes
        if entry.kind in _KINDS:
            size = _encrypted(entry, key_bits, passives, packed=packed)
        elif entry.kind == PublicKey.kind:
            (key,) = (field for field in entry.fields if field.name == "key")
            size += key_bytes - key.count
        found[entry.sender, entry.receiver] += size
    return found


def _encrypted(entry: Entry, key_bits: int, passives: list[str], *, packed: bool) -> int:
    message = _KINDS[entry.kind]
    bits, count = _BITS[message], entry.fields[0].count
    uploaded = message in (Weights, Residual)
    layout = words_layout(bits) if uploaded else masked_layout(bits)
    rows = count
    if packed and not uploaded:
        rows = slots_for(bits, key_bits).rows(count)
    fields = [array("values", "encrypted", count, "paillier", key_id=_KEY_ID, layout=layout)]
    if message is Weights:
        fields.append(plain("contributors", passives))
    content = rows * 2 * key_bits // 8
    return frame_bytes(entry.kind, entry.sender, entry.receiver, entry.scope, fields, content)
