"""What crosses the borders while a linear model is trained sealed (`vfl.protocols.sealed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.planner.traffic import Traffic, array, encrypted, lengths, plain
from vfl.protocols import moments, quadratic
from vfl.protocols import sealed_messages as messages
from vfl.protocols.blocks import HANDED_BITS
from vfl.protocols.iterate import WEIGHT_BITS
from vfl.protocols.moments import MOMENT_BITS, PRODUCT_BITS
from vfl.protocols.sealed import SCOPE
from vfl_crypto.sharing import masked_layout, words_layout
from vfl_crypto.words import limbs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.planner.ciphers import Key
    from vfl.planner.share_costs import Product, ShareCosts
    from vfl.protocols.moments import Layout


class SealedTraffic:
    """The messages of a sealed job on so many rows."""

    def __init__(self, traffic: Traffic, cipher: ShareCosts, layout: Layout, rows: int) -> None:
        self._send = traffic.send
        self._cipher = cipher
        self._layout = layout
        self._rows = rows
        self._active, self._passives = layout.roster.active, layout.roster.passives

    def send_once(self, keys: Mapping[str, Key]) -> int:
        """What is sent before the moments and after the last round; bytes of the keys' messages."""
        layout, parties, sent = self._layout, self._layout.roster.data_parties, 0
        for name in self._passives:
            self._send(messages.Offer, self._active, name, SCOPE, plain("rows", self._rows))
            hello = plain("steps", []), plain("rank", layout.ranks[name])
            self._send(messages.Hello, name, self._active, SCOPE, *hello)
            start = plain("after", 0), plain("ranks", [layout.ranks[one] for one in parties])
            self._send(messages.Start, self._active, name, SCOPE, *start)
        for sender in parties:
            size = keys[sender].size
            key, ready = array("key", "public", size), plain("keys", len(parties) - 1)
            for name in parties:
                if name != sender:
                    sent += self._send(messages.Key, sender, name, SCOPE, key, content=size)
                    self._send(messages.Ready, sender, name, SCOPE, ready)
        for sender in layout.trainers:
            for name in parties:
                if name != sender and (count := layout.ranks[name]):
                    own = array("values", "disclosed", count, messages.OWN)
                    size, end = 4 * limbs_of(HANDED_BITS) * count, f"{SCOPE}/end"
                    self._send(messages.Coefficients, sender, name, end, own, content=size)
        return sent

    def send_moments(self, products: Mapping[str, Product]) -> None:
        """The products of all pairs. `products`: of each party's table with one column."""
        layout, send = self._layout, self._send
        column = encrypted(self._cipher, self._rows, words_layout(PRODUCT_BITS))
        for i, j in layout.pairs:
            count, product = layout.width(j), products[j]
            masked = encrypted(self._cipher, count, masked_layout(PRODUCT_BITS))
            share = array("values", "masked", count, "additive")
            size = 4 * limbs_of(MOMENT_BITS) * count
            for place, times in lengths(layout.width(i)):
                at = f"{moments.SCOPE}/{place}"
                send(messages.Column, i, j, at, column, content=product.vector, times=times)
                send(messages.Moments, j, i, at, masked, content=product.masked, times=times)
                at = f"{moments.SCOPE}/{i}/{j}/{place}"
                for source, keeper in zip((i, j), layout.holders(i, j), strict=True):
                    if source != keeper:
                        send(
                            messages.MomentShares, source, keeper, at, share,
                            content=size, times=times,
                        )  # fmt: skip

    def send_rounds(self, rounds: int, product: Product) -> int:
        """All of them; the bytes of one. `product`: of the moments with the weights."""
        count, inner = quadratic.shape(self._layout.weights)
        weights = encrypted(self._cipher, inner, words_layout(WEIGHT_BITS))
        gradient = encrypted(self._cipher, count, masked_layout(WEIGHT_BITS))
        trainers, one = self._layout.trainers, 0
        for number, times in lengths(rounds):
            at, one = f"{SCOPE}/{number}", 0
            for sender, receiver in (trainers, trainers[::-1]):
                for message, field, size in (
                    (messages.Weights, weights, product.vector),
                    (messages.Gradient, gradient, product.masked),
                ):
                    one += self._send(
                        message, sender, receiver, at, field, content=size, times=times
                    )
            for name in self._passives[1:]:
                over = plain("number", number)
                one += self._send(messages.Round, self._active, name, at, over, times=times)
        return one
