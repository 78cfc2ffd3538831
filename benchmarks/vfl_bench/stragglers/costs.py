"""What a round costs each party under a cipher: bytes to the byte, seconds from unit costs.

Bytes are those of the frames that a job of the shape would send (`vfl.planner.traffic`), of its
largest batch: batches differ by a row at most. Seconds add up what `vfl plan` measures on this
machine. Keys, and what is made of a party's columns once, are not part of a round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from vfl.planner import probe
from vfl.planner.ciphers import cipher_costs
from vfl.planner.traffic import Traffic, array, encrypted, plain
from vfl.planner.training import STEP
from vfl.planner.units import STATED, Units
from vfl.protocols import arbiter_messages as messages
from vfl_bench.end_to_end import parsed
from vfl_bench.stragglers.stand_ins import HOSTS, PARTIES
from vfl_scheduler.simulate import ARBITER, GUEST, Load, Schedule, Seconds, Sizes

if TYPE_CHECKING:
    from vfl.planner.ciphers import Batch, Cipher
    from vfl_bench.stragglers.stand_ins import Shape

PLAIN: Final = "mock"

Work = Literal["all", "products", "none"]
"""Everything; all but encrypting, adding, blinding and decrypting; nothing."""


@dataclass(frozen=True)
class Costs:
    """Of one cipher, named like "paillier-3072", on one machine."""

    name: str
    cipher: Cipher
    units: Units

    def schedule(self, shape: Shape, passes: int, work: Work = "all") -> Schedule:
        """What the parties of a shape do in so many passes; what is not `work` takes no time."""
        loads = {name: self._load(shape, passes, name, work) for name in PARTIES}
        hosts = {name: loads[name] for name in HOSTS}
        return Schedule(passes, len(shape.batches), loads[GUEST], hosts)

    def _load(self, shape: Shape, passes: int, party: str, work: Work) -> Load:
        rows, columns = _matrix(shape, party)
        batch = self.cipher.batch(rows, columns)
        sizes = self._sizes(shape, passes, party, batch)
        if work == "none":
            return Load(sizes)
        if work == "products":
            batch = replace(batch, encrypt=0.0, onto=0.0, add=0.0, depart=0.0, open=0.0)
        forward = rows * columns * self.units.entry
        if party == GUEST:
            adding = batch.onto + (len(HOSTS) - 1) * batch.add
            scores, residual = forward, adding
        else:
            scores, residual = forward + batch.encrypt, 0.0
        first, local = batch.product + batch.depart, 2 * forward + batch.depart
        return Load(sizes, Seconds(scores, residual, first, batch.open, local))

    def _sizes(self, shape: Shape, passes: int, party: str, batch: Batch) -> Sizes:
        rows, columns = _matrix(shape, party)
        scope = f"train/{passes - 1}/{len(shape.batches) - 1}"
        vector = encrypted(self.cipher, rows, "rows")
        gradient = encrypted(self.cipher, columns, "sums"), plain("left", 0)
        step = array("values", "disclosed", columns, STEP)
        send = Traffic().send
        up = send(messages.Scores, party, GUEST, scope, vector, content=batch.vector)
        residual = vector, plain("steps", 1)
        down = send(messages.Residual, GUEST, party, scope, *residual, content=batch.vector)
        return Sizes(
            0 if party == GUEST else up, 0 if party == GUEST else down,
            send(messages.Gradient, party, ARBITER, scope, *gradient, content=batch.sums),
            send(messages.Step, ARBITER, party, scope, step, content=8 * columns),
        )  # fmt: skip


def _matrix(shape: Shape, party: str) -> tuple[int, int]:
    """Rows and columns of a batch; the guest has one of ones, for the intercept."""
    return max(shape.batches), shape.widths[PARTIES.index(party)] + (party == GUEST)


def costs(names: list[str], shape: Shape, threads: int) -> dict[str, Costs]:
    """Of the plain protocol and of each of these ciphers, measured now for a shape like this."""
    units = STATED.measured(threads=threads, **probe.clear())
    rows, columns = max(shape.batches), max(shape.widths)
    schemes = {parsed(name).scheme for name in names}
    if "lattice" in schemes:
        units = units.measured(lattice=probe.lattice(rows, min(columns, 64), threads))
    if "paillier" in schemes:
        units = units.measured(paillier=probe.paillier(threads))
    if "ckks" in schemes:
        units = units.measured(ckks=probe.ckks(rows, threads))
    return {name: Costs(name, cipher_costs(parsed(name), units), units) for name in [PLAIN, *names]}
