"""First-order optimisers on a flat vector, with a state that can be stored exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Name = Literal["sgd", "momentum", "rmsprop", "adam"]
_MOMENTUM = 0.9
_RMS_DECAY = 0.99
_RMS_FLOOR = 1e-6
# Far above the usual 1e-8: a gradient that is all noise must not become a step of full length.
_ADAM = (0.9, 0.999, 1e-3)


@dataclass
class Optimizer:
    """Turns a gradient (f,) into the step to subtract (f,).

    lr is learning_rate / sqrt(1 + decay * epoch); epochs count from 0.

    RMSProp: M <- 0.99 M + 0.01 g^2, step = lr g / sqrt(M + 1e-6). Adam with bias correction
    (Kingma and Ba, 2015, algorithm 1) and epsilon 1e-3. Momentum: v <- 0.9 v + g, step = lr v.
    """

    name: Name
    learning_rate: float
    decay: float = 0.0
    count: int = 0
    moments: list[NDArray[np.float64]] = field(default_factory=list)

    def step(self, gradient: NDArray[np.float64], epoch: int = 0) -> NDArray[np.float64]:
        rate = self.learning_rate / math.sqrt(1 + self.decay * epoch)
        if not self.moments:
            self.moments = [np.zeros_like(gradient) for _ in range(2)]
        self.count += 1
        first, second = self.moments
        if self.name == "momentum":
            first[:] = _MOMENTUM * first + gradient
            return rate * first
        if self.name == "rmsprop":
            second[:] = _RMS_DECAY * second + (1 - _RMS_DECAY) * gradient**2
            return rate * gradient / np.sqrt(second + _RMS_FLOOR)
        if self.name == "adam":
            beta1, beta2, floor = _ADAM
            first[:] = beta1 * first + (1 - beta1) * gradient
            second[:] = beta2 * second + (1 - beta2) * gradient**2
            mean = first / (1 - beta1**self.count)
            variance = second / (1 - beta2**self.count)
            return rate * mean / (np.sqrt(variance) + floor)
        return rate * gradient

    def to_dict(self) -> dict[str, Any]:
        return {"count": self.count, "moments": [m.tolist() for m in self.moments]}

    def restore(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self.moments = [np.array(m) for m in state["moments"]]
