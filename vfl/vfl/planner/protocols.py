"""What each protocol of a job takes: a function a security level, from sizes to a `Forecast`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from vfl.planner import arbiter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.planner.ciphers import Cipher
    from vfl.planner.counting import Size
    from vfl.planner.forecast import Forecast
    from vfl.planner.shape import Shape
    from vfl.planner.units import Link, Units


class Forecaster(Protocol):
    """Raises `CryptoError` where the cipher's range is too small for the sizes."""

    def __call__(
        self,
        shape: Shape,
        cipher: Cipher,
        units: Units,
        link: Link,
        *,
        ray: bool,
        tables: Mapping[str, Size] | None = None,
    ) -> Forecast: ...


PROTOCOLS: Final[Mapping[str, Forecaster]] = {"arbiter": arbiter.forecast}
