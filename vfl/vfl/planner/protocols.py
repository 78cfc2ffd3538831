"""What each protocol of a job takes: a function a security level, from sizes to a `Forecast`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from vfl.planner import arbiter, leaks, sealed, shared
from vfl.planner import open as opened
from vfl.protocols import arbiter_messages, open_messages, sealed_messages, shared_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vfl.declaration import Declaration
    from vfl.planner.counting import Size
    from vfl.planner.finding import Advice
    from vfl.planner.forecast import Forecast
    from vfl.planner.shape import Shape
    from vfl.planner.units import Link, Units
    from vfl.spec import Cipher, CryptoSpec, JobSpec


class Forecaster(Protocol):
    """Raises `CryptoError` where the cipher's range is too small for the sizes."""

    def __call__(
        self,
        shape: Shape,
        crypto: CryptoSpec,
        units: Units,
        link: Link,
        *,
        ray: bool,
        tables: Mapping[str, Size] | None = None,
    ) -> Forecast: ...


@dataclass(frozen=True)
class Level:
    """What one security level takes.

    `ciphers` can carry it; their unit costs are the fields of `Units` of the same name, or for
    products that become shares `NAME_shares`. `leaks` are warnings of what it opens.
    """

    forecast: Forecaster
    ciphers: tuple[Cipher, ...]
    shares: bool
    declaration: Declaration
    leaks: Callable[[JobSpec, Shape], Iterable[Advice]]

    def units(self, cipher: str) -> str:
        """The field of `Units` that holds what a cipher takes here."""
        return f"{cipher}_shares" if self.shares else cipher


PROTOCOLS: Final[Mapping[str, Level]] = {
    "arbiter": Level(
        arbiter.forecast, ("lattice", "paillier", "ckks"), False, arbiter_messages.DECLARATION,
        leaks.opened_gradients,
    ),
    "shared": Level(
        shared.forecast, ("lattice", "paillier"), True, shared_messages.DECLARATION,
        leaks.opened_scores,
    ),
    "sealed": Level(
        sealed.forecast, ("lattice", "paillier"), True, sealed_messages.DECLARATION,
        leaks.handed_coefficients,
    ),
    "open": Level(
        opened.forecast, ("lattice", "paillier"), True, open_messages.DECLARATION, leaks.opened_both
    ),
}  # fmt: skip
