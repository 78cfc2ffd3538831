"""What crosses the borders while a model is trained on shares (`vfl.protocols.shared`).

Counted for the most rounds: every one an advance, as all are unless a Poisson's step was too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.planner.traffic import Traffic, array, encrypted, lengths, plain
from vfl.protocols import masked_sum
from vfl.protocols import shared_messages as messages
from vfl.protocols.blocks import HANDED_BITS, SCORE_BITS
from vfl.protocols.iterate import WEIGHT_BITS
from vfl.protocols.shared import SCOPE
from vfl_crypto.sharing import masked_layout, words_layout
from vfl_crypto.words import limbs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfl.planner.shape import Shape
    from vfl.planner.share_costs import Product, ShareCosts


class RoundTraffic:
    """The messages of a job on shares. `forward`, `backward`: of each passive party's columns."""

    def __init__(
        self, traffic: Traffic, shape: Shape, cipher: ShareCosts,
        forward: Mapping[str, Product], backward: Mapping[str, Product],
    ) -> None:  # fmt: skip
        self._traffic = traffic
        self._shape = shape
        self._cipher = cipher
        self._forward = forward
        self._backward = backward
        self._active, self._passives = shape.roster.active, shape.roster.passives

    def send_once(self, key_bytes: int) -> int:
        """What is sent before the first round and after the last; bytes of the keys' messages."""
        send, shape, active = self._traffic.send, self._shape, self._active
        ranks, sizes, keys = shape.ranks, limbs_of(HANDED_BITS), 0
        for name in self._passives:
            offer = (
                plain("rows", shape.train), plain("outputs", shape.outputs),
                plain("curvature", 0.25, "disclosed", messages.CURVATURE),
            )  # fmt: skip
            send(messages.Offer, active, name, SCOPE, *offer)
            hello = plain("steps", []), plain("rank", ranks[name])
            send(messages.Hello, name, active, SCOPE, *hello)
            start = (
                plain("after", 0), plain("rounds", shape.epochs), plain("fits", shape.fits),
                plain("warm", shape.warm), plain("ranks", list(ranks.values())),
            )  # fmt: skip
            send(messages.Start, active, name, SCOPE, *start)
            public = array("key", "public", key_bytes)
            keys += send(messages.PublicKey, active, name, SCOPE, public, content=key_bytes)
            send(messages.Ready, name, active, SCOPE, plain("keys", 1))
            for peer in self._passives:
                if peer != name:
                    key = plain("key", bytes(32))
                    send(masked_sum.MaskKey, name, peer, SCOPE, key)
            count = ranks[name] * shape.outputs
            own = array("values", "disclosed", count, messages.OWN)
            end = f"{SCOPE}/end"
            send(messages.Coefficients, active, name, end, own, content=4 * sizes * count)
        return keys

    def send_rounds(self) -> int:
        """All rounds of all fits; the bytes of one in which scores are opened."""
        last = self._shape.fits - 1
        rounds = self._shape.epochs
        for fit, fits in lengths(self._shape.fits):
            for name in self._passives:
                for round_, times in lengths(rounds):
                    self._send_move(name, f"{SCOPE}/{fit}/{round_}", fits * times)
                    self._send_gradient(name, f"{SCOPE}/{fit}/{round_}", fits * times)
                for round_, times in lengths(rounds + 1, start=1):
                    self._send_scores(name, f"{SCOPE}/{fit}/{round_}", fits * times)
                stop = plain("what", "stop"), plain("sizes", [], "disclosed", messages.MOVES)
                at = f"{SCOPE}/{fit}/{rounds}"
                self._traffic.send(messages.Move, self._active, name, at, *stop, times=fits)
        one, at = 0, f"{SCOPE}/{last}/1"
        for name in self._passives:
            if self._shape.warm:
                self._send_scores(name, f"{SCOPE}/{last}/0", 1)
            one += self._send_scores(name, at, 0)
            one += self._send_move(name, at, 0)
            one += self._send_gradient(name, at, 0)
        return one

    def _send_move(self, name: str, at: str, times: int) -> int:
        advance = (
            plain("what", "advance"),
            plain("sizes", [1.0, 0.5], "disclosed", messages.MOVES),
        )
        return self._traffic.send(messages.Move, self._active, name, at, *advance, times=times)

    def _send_scores(self, name: str, at: str, times: int) -> int:
        rows, product, size = self._shape.train, self._forward[name], 0
        weights = encrypted(self._cipher, self._shape.ranks[name], words_layout(SCORE_BITS))
        everybody = plain("contributors", list(self._passives))
        products = encrypted(self._cipher, rows, masked_layout(SCORE_BITS))
        kind: type[messages.SoleScores | messages.MaskedScores] = messages.MaskedScores
        share = array("values", "masked", rows, "pairwise")
        if len(self._passives) == 1:
            kind = messages.SoleScores
            share = array("values", "disclosed", rows, messages.SOLE)
        for scope, more in self._outputs(at):
            for message, sender, receiver, fields, content in (
                (messages.Weights, self._active, name, (weights, everybody), product.vector),
                (messages.Products, name, self._active, (products,), product.masked),
                (kind, name, self._active, (share,), 4 * rows),
            ):
                size += more * self._traffic.send(
                    message, sender, receiver, scope, *fields, content=content, times=times * more
                )
        return size

    def _send_gradient(self, name: str, at: str, times: int) -> int:
        rank, product, size = self._shape.ranks[name], self._backward[name], 0
        both = encrypted(self._cipher, self._shape.train + rank, words_layout(WEIGHT_BITS))
        gradient = encrypted(self._cipher, rank, masked_layout(WEIGHT_BITS))
        for scope, more in self._outputs(at):
            for message, sender, receiver, field, content in (
                (messages.Residual, self._active, name, both, product.vector),
                (messages.Gradient, name, self._active, gradient, product.masked),
            ):
                size += more * self._traffic.send(
                    message, sender, receiver, scope, field, content=content, times=times * more
                )
        return size

    def _outputs(self, at: str) -> Iterator[tuple[str, int]]:
        return ((f"{at}/{o}", more) for o, more in lengths(self._shape.outputs))
