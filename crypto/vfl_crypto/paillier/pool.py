"""Randomness made ahead, while processors have nothing better to do.

A thread of the lowest priority keeps up to `size` elements of each kind that has been asked for.
Each element leaves once: it is taken out under a lock, never copied, dropped in the child of a fork
and at `close`, and a pool is never pickled. Who asks for more than is there gets the rest made at
once, so a pool changes when work is done and nothing else.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from vfl_crypto.errors import CryptoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfl_crypto.paillier.blinding import Blinding

_CHUNK = 16  # elements made between two looks at `close`: some milliseconds
_LOWEST_PRIORITY = 19


class RandomnessPool:
    """A `Blinding` in front of another one. Thread-safe; `close` ends its threads."""

    def __init__(self, source: Blinding, size: int) -> None:
        """size: elements of each kind, limbs * 8 bytes each. Raises `CryptoError` below one."""
        if size < 1:
            raise CryptoError(f"a pool holds at least one element, not {size}")
        self._short = _Shelf(source.short, size)
        self._full = _Shelf(source.full, size)
        self._finalizer = weakref.finalize(self, _close, self._short, self._full)

    def short(self, count: int, threads: int) -> NDArray[np.uint64]:
        return self._short.take(count, threads)

    def full(self, count: int, threads: int) -> NDArray[np.uint64]:
        return self._full.take(count, threads)

    @property
    def ready(self) -> tuple[int, int]:
        """How many elements wait, short and full."""
        return len(self._short), len(self._full)

    def close(self) -> None:
        """Ends the threads and forgets the elements; later calls make theirs at once."""
        self._finalizer()

    def __repr__(self) -> str:
        return "<pool of Paillier randomness>"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("a pool is never pickled or copied: its elements would be used twice")


class _Shelf:
    """Elements of one kind, and the thread that makes them, begun at the first call."""

    def __init__(self, make: Callable[[int, int], NDArray[np.uint64]], size: int) -> None:
        self._make = make
        self._size = size
        self._closed = False
        self.forget()
        _shelves.add(self)

    def forget(self) -> None:
        """As new: for the child of a fork, which has the elements of its parent but no thread."""
        self._changed = threading.Condition()
        self._ready: deque[NDArray[np.uint64]] = deque()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._ready)

    def take(self, count: int, threads: int) -> NDArray[np.uint64]:
        with self._changed:
            rows = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
            self._changed.notify()
        if len(rows) < count or not rows:
            rows.append(self._make(count - len(rows), threads))
        self._start()
        return np.concatenate(rows)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._fill, name="paillier-pool", daemon=True
                )
                self._thread.start()

    def _fill(self) -> None:
        if sys.platform == "linux":  # where a priority is a thread's own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or len(self._ready) < self._size)
                if self._closed:
                    return
                missing = min(_CHUNK, self._size - len(self._ready))
            rows = self._make(missing, 1)
            with self._changed:
                if not self._closed:
                    self._ready.extend(rows[i : i + 1] for i in range(missing))


_shelves: weakref.WeakSet[_Shelf] = weakref.WeakSet()


def _close(*shelves: _Shelf) -> None:
    for shelf in shelves:
        shelf.close()


def _forget_all() -> None:
    for shelf in list(_shelves):
        shelf.forget()


os.register_at_fork(after_in_child=_forget_all)
