"""The emulated network and the policies that are compared on it.

What arXiv 2207.11456 leaves open is stated by `DEFINITION`, which is printed with every table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vfl_scheduler import Adaptive, AllArrived, Backup, Deadline
from vfl_scheduler.links import Fluctuation, LinkModel
from vfl_scheduler.simulate import Simulated, simulate, star

if TYPE_CHECKING:
    from vfl_scheduler import Policy
    from vfl_scheduler.links import Granularity
    from vfl_scheduler.simulate import Schedule

BANDWIDTH: Final = 10e6  # bits/s
FACTOR: Final = 10.0  # by which a slow link is slower
LATENCY_S: Final = 0.01
SLICE_S: Final = 10.0
PROBABILITIES: Final = (0.0, 0.25, 0.5)
GRANULARITIES: Final[dict[str, Granularity]] = {
    "message": "message", "round": "round", f"{SLICE_S:g} s": ("slice", SLICE_S)
}  # fmt: skip

_NEVER: Final = Deadline(1e12)
OURS: Final = Adaptive(deadline=_NEVER)
LOCAL: Final = replace(OURS, local_steps=4)
POLICIES: Final[dict[str, Policy]] = {
    "B0": AllArrived(_NEVER),
    "B1 stale": Backup(deadline=_NEVER, backups=1, max_age=None),
    "B2 stale": Backup(deadline=_NEVER, backups=2, max_age=None),
    "B1 null": Backup(deadline=_NEVER, backups=1, max_age=None, fill="null"),
    "ours": OURS,
    "ours, local steps": LOCAL,
}

_SPEED: Final = f"{BANDWIDTH / 1e6:g} Mbit/s, {LATENCY_S * 1e3:g} ms"
DEFINITION: Final = f"""\
Every pair of parties has a link each way: {_SPEED}, first in first out, shared with no
other pair. A host's four links (to and from guest and arbiter) drop to 1/{FACTOR:g} of that with
the probability given; those between guest and arbiter never do. That is drawn for each message and
link, for each round and host, or for each slice of {SLICE_S:g} s and host: the same draws for all
policies of a seed. A host has one exchange in flight (residual, gradient, step, new scores); who
comes late is answered with the newest residual. Communication is what lies on the critical path,
transfers and waiting for them: the time of a run less that of the same run over links that take no
time. B1 and B2 have one and two backups, for whom stale scores stand in at any age, as published;
with null nothing does. Ours: scores at most {OURS.max_age} passes old, each host new in at least
{OURS.min_fresh:.0%} of rounds. Ours, local steps: besides, everybody takes as many steps on a
residual as fit into the guest's waiting, at most {LOCAL.local_steps}, at the same learning rate;
each sends a gradient to the arbiter."""

_INSTANT: Final = LinkModel(1e30)


def fluctuating(
    policy: str, schedule: Schedule, probability: float, granularity: str, seed: int
) -> Simulated:
    """One run under a policy of `POLICIES`, on the draws of a seed."""
    changes = Fluctuation(probability, FACTOR, GRANULARITIES[granularity]) if probability else None
    model = LinkModel(BANDWIDTH, LATENCY_S, changes)
    return simulate(POLICIES[policy], schedule, star(model, seed=seed))


def instant(policy: str, schedule: Schedule) -> Simulated:
    """One run over links that take no time."""
    return simulate(POLICIES[policy], schedule, star(_INSTANT, seed=0))
