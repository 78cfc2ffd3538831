"""HEU's ZPaillier on data it is given, timing itself on request; `heu` is the other end.

Runs under an interpreter that has sf-heu: imports heu, numpy and the standard library alone. With
`--version` it prints the version and ends. Otherwise one JSON object a line, in and out:

    {"bits": 2048, "values": [...], "X": [[...]], "d": [...]}     -> {"pinned": true, "version": ""}
    {"time": "encrypt", "threads": 2}                             -> {"real": s, "cpu": s}
    {"result": "encrypt"}                                         -> {"values": [...]}

The operations are encrypt, decrypt, add (`values` with itself) and XTd. HEU spreads every call over
a pool of its own that has no size to set, so `threads` is how many processors it may use.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from heu import numpy as hnp
from heu import phe

DATA, PLAIN = 2**30, 2**16  # fixed-point scales, as ours


def operations(job: dict[str, Any]) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """operation -> (the call that is timed, its result as numbers)."""
    kit = hnp.setup(phe.SchemaType.ZPaillier, job["bits"])
    encryptor, decryptor, evaluator = kit.encryptor(), kit.decryptor(), kit.evaluator()
    data, plain, both = (kit.float_encoder(s) for s in (DATA, PLAIN, DATA * PLAIN))
    values, X, d = (np.array(job[name]) for name in ("values", "X", "d"))
    batch = encryptor.encrypt(kit.array(values, data))
    rows = encryptor.encrypt(kit.array(d, data))
    transposed = np.ascontiguousarray(X.T)

    def encrypt() -> Any:
        return encryptor.encrypt(kit.array(values, data))

    def decrypt() -> Any:
        return decryptor.decrypt(batch).to_numpy(data)

    def add() -> Any:
        return evaluator.add(batch, batch)

    def product() -> Any:
        return evaluator.matmul(kit.array(transposed, plain), rows)

    def opened(ciphertexts: Any, encoder: Any) -> Any:
        return decryptor.decrypt(ciphertexts).to_numpy(encoder)

    return {
        "encrypt": (encrypt, lambda: opened(encrypt(), data)),
        "decrypt": (decrypt, decrypt),
        "add": (add, lambda: opened(add(), data)),
        "XTd": (product, lambda: opened(product(), both)),
    }


def pin(cpus: list[int]) -> None:
    """Every thread of this process, those of HEU's pool as well, to these processors."""
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), cpus)


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print(metadata.version("sf-heu"))
        return
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # HEU logs to standard output
    pinned = hasattr(os, "sched_setaffinity")
    cpus = sorted(os.sched_getaffinity(0)) if pinned else []
    known: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "bits" in request:
            known = operations(request)
            answer: dict[str, Any] = {"pinned": pinned, "version": metadata.version("sf-heu")}
        elif "time" in request:
            run = known[request["time"]][0]
            if pinned:
                pin(cpus[: request["threads"]])
            real, cpu = time.perf_counter(), time.process_time()
            run()
            answer = {"real": time.perf_counter() - real, "cpu": time.process_time() - cpu}
        else:
            answer = {"values": known[request["result"]][1]().tolist()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
