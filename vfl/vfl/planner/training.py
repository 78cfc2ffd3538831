"""What crosses the borders while the coordinated protocol trains (`vfl.protocols.arbiter`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.planner.traffic import Traffic, array, encrypted, epoch_scopes, plain, scopes
from vfl.protocols import arbiter_messages as messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.planner.ciphers import Batch, Cipher
    from vfl.planner.shape import Shape

STEP = "the optimiser's step on the receiver's own columns"


def send_training(
    traffic: Traffic,
    shape: Shape,
    cipher: Cipher,
    work: Mapping[str, Mapping[int, Batch]],
    keys: int,
) -> None:
    """Count all messages. `work`: costs by party and rows of a batch; `keys`: how many pairs."""
    active, arbiter = shape.roster.active, shape.roster.arbiter
    assert arbiter is not None
    for name in (*shape.roster.passives, arbiter):
        traffic.send(messages.Checkpointed, name, active, "train", plain("epochs", []))
        start = plain("epoch", 0), plain("batch_rows", list(shape.batches))
        traffic.send(messages.Start, active, name, "train", *start)
    for name in shape.roster.data_parties:
        size = cipher.key.size
        for scope, times in (("train", 1), ("train/0", keys - 1)):
            key = array("key", "public", size)
            traffic.send(messages.PublicKey, arbiter, name, scope, key, content=size, times=times)
        for scope, times in epoch_scopes(shape.epochs):
            end = (
                plain("converged", False),
                plain("new_key", False),
                plain("change", 0.1, "disclosed", messages.MOVED),
            )
            traffic.send(messages.EpochEnd, arbiter, name, scope, *end, times=times)
        _send_rounds(traffic, shape, cipher, name, work[name])


def _send_rounds(
    traffic: Traffic, shape: Shape, cipher: Cipher, name: str, work: Mapping[int, Batch]
) -> None:
    active, arbiter, columns = shape.roster.active, shape.roster.arbiter, shape.columns[name]
    assert arbiter is not None
    sums = encrypted(cipher, columns, "sums")
    step = array("values", "disclosed", columns, STEP)
    for scope, rows, times in scopes(shape.epochs, shape.batches):
        batch = work[rows]
        if name != active:
            vector, size = encrypted(cipher, rows, "rows"), batch.vector
            traffic.send(messages.Scores, name, active, scope, vector, content=size, times=times)
            residual = vector, plain("steps", 1)
            traffic.send(
                messages.Residual, active, name, scope, *residual, content=size, times=times
            )
        gradient = sums, plain("left", 0)
        traffic.send(
            messages.Gradient, name, arbiter, scope, *gradient, content=batch.sums, times=times
        )
        traffic.send(messages.Step, arbiter, name, scope, step, content=8 * columns, times=times)
