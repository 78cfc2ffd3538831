"""Rounds and stragglers: knows time and parties; no keys, no tensors, no Ray."""

from vfl_scheduler.decisions import Abort, AskMore, Decision, Drop, Proceed, Reuse, Wait
from vfl_scheduler.gather import Gather, GatherState, History, Policy
from vfl_scheduler.links import Fluctuation, Link, LinkModel, UnitCosts, connector, measured
from vfl_scheduler.overdue import Deadline, OnLost
from vfl_scheduler.policies.adaptive import Adaptive
from vfl_scheduler.policies.all_arrived import AllArrived
from vfl_scheduler.policies.backup import Backup
from vfl_scheduler.policies.bounded_staleness import BoundedStaleness
from vfl_scheduler.policies.latency_deadline import LatencyDeadline
from vfl_scheduler.rounds import At, Ended, Rounds
from vfl_scheduler.surrogate import Surrogates

__all__ = [
    "Abort", "Adaptive", "AllArrived", "AskMore", "At", "Backup", "BoundedStaleness", "Deadline",
    "Decision", "Drop", "Ended", "Fluctuation", "Gather", "GatherState", "History",
    "LatencyDeadline", "Link", "LinkModel", "OnLost", "Policy", "Proceed", "Reuse", "Rounds",
    "Surrogates", "UnitCosts", "Wait", "connector", "measured",
]  # fmt: skip
