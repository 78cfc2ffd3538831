"""Rounds and stragglers: knows time and parties; no keys, no tensors, no Ray."""

from vfl_scheduler.decisions import Abort, Decision, Proceed, Wait
from vfl_scheduler.gather import Gather, GatherState, Policy
from vfl_scheduler.policies.all_arrived import AllArrived

__all__ = ["Abort", "AllArrived", "Decision", "Gather", "GatherState", "Policy", "Proceed", "Wait"]
