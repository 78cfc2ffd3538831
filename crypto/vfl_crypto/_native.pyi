# The kernels, as native/bind declares them. Arrays are C-contiguous; the GIL is released.

import numpy as np
from numpy.typing import NDArray

def cpu_levels() -> list[str]: ...
def cpu_level() -> str: ...
def set_cpu_level(name: str) -> None: ...
def x25519_batch(
    scalar: bytes, points: NDArray[np.uint8], threads: int = 1
) -> NDArray[np.uint8]: ...
def curve25519_on_curve(points: NDArray[np.uint8], threads: int = 1) -> NDArray[np.bool_]: ...

class Modulus:
    def __init__(self, value: NDArray[np.uint64], square: bool = False) -> None: ...
    @property
    def limbs(self) -> int: ...

def modmul(
    a: NDArray[np.uint64], b: NDArray[np.uint64], modulus: Modulus, threads: int = 1
) -> NDArray[np.uint64]: ...
def modexp(
    bases: NDArray[np.uint64], exponents: NDArray[np.uint64], modulus: Modulus, threads: int = 1
) -> NDArray[np.uint64]: ...

class FixedBase:
    def __init__(
        self,
        base: NDArray[np.uint64],
        modulus: Modulus,
        exponent_bits: int,
        window: int = 8,
        threads: int = 1,
    ) -> None: ...
    def pow(
        self,
        exponents: NDArray[np.uint64],
        times: NDArray[np.uint64] | None = None,
        threads: int = 1,
    ) -> NDArray[np.uint64]: ...
    @property
    def table_bytes(self) -> int: ...

def multiexp(
    bases: NDArray[np.uint64],
    exponents: NDArray[np.int64],
    modulus: Modulus,
    threads: int = 1,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
