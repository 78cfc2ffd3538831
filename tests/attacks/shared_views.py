"""The level `shared` on tables in memory, and what its parties have in their hands afterwards.

With the mock cipher a frame shows what its receiver finds after decryption, so the frames are the
views: the key holder's has the bodies of `Products` and `Gradient`, a passive party's leaves the
bodies of `Weights` and `Residual` alone. What a passive party keeps of a product never travels; it
is noted where the cipher hands it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from vfl.checkpoint import Checkpoints
from vfl.context import Roster
from vfl.messages import unpack
from vfl.models.families import LOGISTIC
from vfl.protocols import shared
from vfl.protocols.blocks import SCORE_BITS, PassiveBlock
from vfl.protocols.descent import Task
from vfl.protocols.guards import ScoreBudget
from vfl.protocols.shared import SharedTraining, Trained
from vfl_crypto.oracles.mock import MockEncryptor, MockScheme
from vfl_crypto.sharing import modulus_bits
from vfl_crypto.words import Words

ACTIVE = "bank"
OPENED_BITS = 28  # of a share of scores, at 16 fraction bits


@dataclass
class Views:
    """One run: frames as (envelope, message), what passive parties kept, and the outcome."""

    passives: tuple[str, ...]
    messages: list[tuple[Any, Any]] = field(default_factory=list)
    kept: list[tuple[tuple[int, int], Words]] = field(default_factory=list)  # matrix shape, share
    end: dict[str, Words] = field(default_factory=dict)  # passive parties' shares of weights (r k,)
    trained: dict[str, Trained] = field(default_factory=dict)

    def of(self, kind: str, *, sender: str | None = None) -> list[Any]:
        """Messages of one kind, in the order in which they were sent."""
        return [
            message
            for envelope, message in self.messages
            if envelope.kind == f"shared.{kind}" and sender in (None, envelope.sender)
        ]

    def scores(self, *parties: str) -> np.ndarray:
        """(n, rounds): what the active party gets by adding up these parties' shares and its own.

        Of all passive parties it is the sum of their scores.
        """
        kind = "sole_scores" if len(self.passives) == 1 else "masked_scores"
        total: Any = 0
        for party in parties or self.passives:
            own = [_shortened(m.values) for m in self.of("products", sender=party)]
            sent = [m.values.value for m in self.of(kind, sender=party)]
            total = total + np.column_stack(own) + np.column_stack(sent)
        limbs = total.astype(np.uint32) % np.uint32(1 << OPENED_BITS)
        return np.column_stack(
            [Words(column[:, None], OPENED_BITS).signed(16) for column in limbs.T]
        )


def decrypted(ciphertext: Any) -> Words:
    """What the mock's key holder reads."""
    kind = ciphertext.layout.partition("-")[0]
    return Words(np.asarray(ciphertext.body), modulus_bits(ciphertext, kind))


UNIFORM = 255 + 8 * np.sqrt(2 * 255)  # of `chi_square`: once in 10^10


def chi_square(shares: list[Words]) -> float:
    """Of the bytes of all shares against uniform ones: 255 expected, deviation 22.6."""
    counts = sum(np.bincount(share.packed(), minlength=256) for share in shares)
    expected = counts.sum() / 256
    return float(((counts - expected) ** 2 / expected).sum())


def _shortened(masked: Any) -> np.ndarray:
    share = decrypted(masked)
    return share.shifted(SCORE_BITS - OPENED_BITS).modulo(OPENED_BITS).limbs[:, 0]


def run(
    play: Any, tap: Any, folder: Any, blocks: dict[str, np.ndarray], own: np.ndarray,
    y: np.ndarray, *, rounds: int | None = None, accepted: bool = False, l2: float = 0.0,
    leverage: bool = False,
) -> Views:  # fmt: skip
    """Logistic regression on passive columns {name: (n, f)}, own ones (n, f) and labels y (n,).

    `accepted` switches the score budget off, `leverage` the guard on coefficients on.
    """
    task = Task(np.ones(len(y)), lambda _: {})
    views, first = Views(tuple(blocks)), len(tap.frames)
    multiply, receive_weights = MockEncryptor.multiply, PassiveBlock.receive_weights

    def noted(self: Any, plain: Any, ciphertext: Any) -> Any:
        masked, share = multiply(self, plain, ciphertext)
        views.kept.append((plain.shape, share))
        return masked, share

    async def ended(self: Any, v: Words, at: str) -> Any:
        views.end[self._ctx.name] = v
        return await receive_weights(self, v, at)

    def training(name: str) -> SharedTraining:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        checkpoints = Checkpoints(place, name, "attack")
        checkpoints.rewind(0)
        return SharedTraining(
            LOGISTIC, lambda _: MockScheme(), checkpoints, ScoreBudget(accepted),
            not leverage, l2, tolerance=0.0, rounds=rounds,
        )  # fmt: skip

    def passive(name: str, X: np.ndarray) -> Any:
        return lambda ctx: shared.passive(ctx, training(name), X)

    programs = {name: passive(name, X) for name, X in blocks.items()}
    programs[ACTIVE] = lambda ctx: shared.active(ctx, training(ACTIVE), own, y[:, None], [task])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MockEncryptor, "multiply", noted)
        patch.setattr(PassiveBlock, "receive_weights", ended)
        views.trained = play(Roster(ACTIVE, views.passives), programs).results
    for *_, frame in tap.frames[first:]:
        message, envelope, _ = unpack(np.frombuffer(frame, np.uint8))
        views.messages.append((envelope, message))
    return views
