"""How long frames travel and work takes, on a model: rates that fluctuate, losses, outages.

    link = Link(LinkModel(10e6, 0.02, Fluctuation(0.5, 10, "round")), seed=1, name="p0->bank")
    (arrives_s,) = link.carry(now_s=3.0, nbytes=300_000, round_=7)

Every draw is a pure function of (seed, name, index): policies that are compared on one seed meet
the same slow rounds, whatever they asked for before.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Granularity = Literal["message", "round"] | tuple[Literal["slice"], float]

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def draw(key: int, index: int) -> int:
    """The `index`-th word of the stream `key`: uniform in [0, 2^64).

    splitmix64 (Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014):
    a counter behind a mixer, so any word can be had at once.
    """
    z = (key + (index + 1) * _GOLDEN) & _WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _WORD
    return z ^ (z >> 31)


def stream(seed: int, *names: str) -> int:
    """The key of a stream of draws: the same in every process, unlike `hash`."""
    text = repr((seed, *names)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _below(probability: float) -> int:
    """Draws below this one have that probability."""
    return int(probability * (_WORD + 1))


@dataclass(frozen=True)
class Fluctuation:
    """With `probability` a host's bandwidth is 1/`factor` of the usual one.

    `granularity`: drawn for each message, for each round, or, as ("slice", seconds), for each slice
    of time; a transfer that spans slices moves at each one's own rate.
    """

    probability: float
    factor: float = 10.0
    granularity: Granularity = "round"

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must be in [0, 1], not {self.probability}")
        if not 1.0 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1 and finite, not {self.factor}")
        if self.granularity in ("message", "round"):
            return
        match self.granularity:
            case ("slice", float() | int() as seconds) if 0.0 < seconds < math.inf:
                return
        raise ValueError(
            f"granularity must be 'message', 'round' or ('slice', seconds), not {self.granularity}"
        )

    @property
    def slice_s(self) -> float | None:
        """Seconds of a slice of time; None where messages or rounds are drawn."""
        return None if isinstance(self.granularity, str) else self.granularity[1]


@dataclass(frozen=True)
class LinkModel:
    """One direction of a connection.

    `loss`: the probability that a copy does not arrive; `duplication`: that a message goes twice.
    `outages`: stretches (from_s, to_s) in which nothing leaves, in order.
    """

    bandwidth: float  # bits/s
    latency_s: float = 0.0
    fluctuation: Fluctuation | None = None
    loss: float = 0.0
    duplication: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.bandwidth < math.inf:
            raise ValueError(f"bandwidth must be positive and finite, not {self.bandwidth} bits/s")
        if not 0.0 <= self.latency_s < math.inf:
            raise ValueError(f"latency_s must be at least 0 and finite, not {self.latency_s}")
        if not 0.0 <= self.loss < 1.0:
            raise ValueError(f"loss must be in [0, 1), not {self.loss}")
        if not 0.0 <= self.duplication <= 1.0:
            raise ValueError(f"duplication must be in [0, 1], not {self.duplication}")
        over = 0.0
        for begin, end in self.outages:
            if not over <= begin < end < math.inf:
                raise ValueError(
                    f"outages must be finite, in order and apart; ({begin}, {end}) is not"
                )
            over = end

    @property
    def retransmit_s(self) -> float:
        """After this time a lost copy is sent again: two round trips, 0.2 s at least."""
        return max(4.0 * self.latency_s, 0.2)


class Link:
    """One direction between two parties, first in, first out: a message starts when the one before
    has left.

    A lost message holds the next ones up until it is through, so messages arrive in order.
    Links of one `host` are slow in the same rounds and slices; without it, and wherever messages
    are drawn, each link has draws of its own.
    """

    __slots__ = (
        "_by_message", "_count", "_even", "_free_s", "_latency_s", "_loss_key", "_lost_below",
        "_outage", "_outages", "_rate", "_retransmit_s", "_slice_s", "_slow_below", "_slow_key",
        "_slow_rate", "_smooth", "_twice_below", "_twice_key",
    )  # fmt: skip

    def __init__(self, model: LinkModel, *, seed: int, name: str, host: str = "") -> None:
        changes = model.fluctuation or Fluctuation(0.0, 1.0)
        self._latency_s = model.latency_s
        self._retransmit_s = model.retransmit_s
        self._rate = float(model.bandwidth)
        self._slow_rate = model.bandwidth / changes.factor
        self._slice_s = changes.slice_s
        self._by_message = changes.granularity == "message"
        self._slow_below = _below(changes.probability)
        self._slow_key = stream(seed, "slow", name if self._by_message else host or name)
        self._lost_below = _below(model.loss)
        self._loss_key = stream(seed, "loss", name)
        self._twice_below = _below(model.duplication)
        self._twice_key = stream(seed, "duplication", name)
        self._outages = model.outages
        self._smooth = not self._lost_below and not self._twice_below
        self._even = self._slice_s is None and not model.outages
        self._free_s = 0.0
        self._count = 0
        self._outage = 0

    def slow(self, index: int) -> bool:
        """Whether the message, round or slice of this index is slow."""
        return draw(self._slow_key, index) < self._slow_below

    def carry(self, now_s: float, nbytes: int, round_: int = 0) -> list[float]:
        """Send a message: when each copy of it arrives, in seconds. At least one does."""
        index = self._count
        self._count = index + 1
        rate = self._rate
        if (
            self._slow_below
            and self._slice_s is None
            and draw(self._slow_key, index if self._by_message else round_) < self._slow_below
        ):
            rate = self._slow_rate
        bits = 8.0 * nbytes
        start = max(now_s, self._free_s)
        left = start + bits / rate if self._even else self._leave(start, bits, rate)
        if self._smooth:
            self._free_s = left
            return [left + self._latency_s]
        luck, attempt = draw(self._loss_key, index), 0
        while draw(luck, attempt) < self._lost_below:
            left = self._leave(left + self._retransmit_s, bits, rate)
            attempt += 1
        arrivals = [left + self._latency_s]
        if draw(self._twice_key, index) < self._twice_below:
            left = self._leave(left, bits, rate)
            arrivals.append(left + self._latency_s)
        self._free_s = left
        return arrivals

    def _leave(self, at: float, bits: float, rate: float) -> float:
        """When the last of `bits` leaves, the first one leaving at `at`: stretch by stretch.

        Starts never go back, so outages that are over are not looked at again.
        """
        width, place = self._slice_s, 0
        while True:
            end = math.inf
            if self._outage < len(self._outages):
                begin, over = self._outages[self._outage]
                if at >= begin:
                    at = max(at, over)
                    self._outage += 1
                    continue
                end = begin
            if width is not None:
                place = max(place, int(at / width))
                place += at >= (place + 1) * width  # a quotient rounded down
                rate = self._slow_rate if self.slow(place) else self._rate
                end = min(end, (place + 1) * width)
            left = at + bits / rate
            if left <= end:
                return left
            bits = max(bits - (end - at) * rate, 0.0)
            at = end


def connector(model: LinkModel, *, seed: int, hub: str = "") -> Callable[[str, str], Link]:
    """A function (sender, receiver) -> new link, all of one model.

    With a `hub`, the party at the centre of a star, both directions between it and a host are slow
    when the host is, and so is what the host sends to others.
    """

    def connect(sender: str, receiver: str) -> Link:
        host = (receiver if sender == hub else sender) if hub else ""
        return Link(model, seed=seed, name=f"{sender}->{receiver}", host=host)

    return connect


@dataclass(frozen=True)
class UnitCosts:
    """A compute model of stated seconds: those of a piece of work, else of its stage, else none.

    `slowdown`: how many times as long a party takes.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    slowdown: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (*self.seconds.items(), *self.slowdown.items()):
            if not 0.0 <= value < math.inf:
                raise ValueError(f"the cost of {name} must be at least 0 and finite, not {value}")

    def __call__(self, party: str, stage: str, work: str, measured_s: float) -> float:  # noqa: ARG002
        """Seconds that `work` takes `party`, whatever it took here."""
        cost = self.seconds.get(work, self.seconds.get(stage, 0.0))
        return cost * self.slowdown.get(party, 1.0)


def measured(party: str, stage: str, work: str, measured_s: float) -> float:  # noqa: ARG001
    """The compute model of machines like this one: work takes what it took here."""
    return measured_s
