"""HEU (sf-heu) in a process and an interpreter of its own, because it wants its own environment.

The process stays alive, and times itself when asked, so its calls alternate with ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vfl.errors import MissingExtraError, VflError
from vfl_bench.harness import Contender, Seconds
from vfl_bench.suites.common import UNMASKED, relative_error

WORKER = ("-I", str(Path(__file__).with_name("heu_worker.py")))  # this file must not be its heu


def version(python: str) -> str:
    """Of sf-heu under that interpreter. Raises `MissingExtraError` where it cannot be imported."""
    try:
        done = subprocess.run(  # noqa: S603  the interpreter the user named
            [python, *WORKER, "--version"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise MissingExtraError(f"cannot start {python}: {error.strerror}") from error
    if done.returncode:
        raise MissingExtraError(f"{python}: {_last_line(done.stderr)}")
    return done.stdout.split()[-1]


class HeuPeer:
    """HEU's ZPaillier under a new key of `bits`, on these values (n,), X (m, f) and d (m,)."""

    def __init__(
        self,
        python: str,
        bits: int,
        values: NDArray[np.float64],
        X: NDArray[np.float64],
        d: NDArray[np.float64],
    ) -> None:
        self._python = python
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed below
        self._process = subprocess.Popen(  # noqa: S603  the interpreter the user named
            [python, *WORKER], text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        self._about = self._ask(
            {"bits": bits, "values": values.tolist(), "X": X.tolist(), "d": d.tolist()}
        )
        self._items = {"encrypt": values.size, "decrypt": values.size, "add": values.size,
                       "XTd": X.size}  # fmt: skip
        self._wanted = {"encrypt": values, "decrypt": values, "add": 2 * values, "XTd": X.T @ d}

    def contender(self, operation: str, threads: int) -> Contender:
        """One of encrypt, decrypt, add and XTd, on as many processors as `threads` says."""

        def run() -> Seconds:
            answer = self._ask({"time": operation, "threads": threads})
            return Seconds(answer["real"], answer["cpu"])

        def error() -> float:
            return relative_error(
                self._ask({"result": operation})["values"], self._wanted[operation]
            )

        facts: dict[str, Any] = {
            "threads": threads if self._about["pinned"] else os.cpu_count(),
            "version": self._about["version"],
        }
        if operation == "XTd":
            facts["note"] = UNMASKED
        return Contender("heu", run, self._items[operation], facts, error)

    def close(self) -> None:
        self._process.communicate()  # closes its input, which ends it
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            answer: dict[str, Any] = json.loads(stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            self._process.kill()
            self._process.wait()
            self._log.seek(0)
            raise VflError(
                f"the peer heu under {self._python} ended: {_last_line(self._log.read())}; "
                "leave heu out of --peers, or mend that environment"
            ) from error
        return answer


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "it says nothing")
