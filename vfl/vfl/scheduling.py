"""The schedule section of a job as a policy of the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl_scheduler import (
    Adaptive,
    AllArrived,
    Backup,
    BoundedStaleness,
    Deadline,
    LatencyDeadline,
)

if TYPE_CHECKING:
    from vfl.spec import ScheduleSpec
    from vfl_scheduler import Policy


def make_policy(schedule: ScheduleSpec) -> Policy:
    """What the job's rounds wait for."""
    deadline = Deadline(schedule.deadline_s, schedule.on_lost)
    age = schedule.age
    match schedule.policy:
        case "backup":
            return Backup(
                deadline=deadline, max_age=age, backups=schedule.backups or 1,
                fill=schedule.fill or "stale",
            )  # fmt: skip
        case "bounded_staleness":
            return BoundedStaleness(deadline=deadline, max_age=age)
        case "deadline":
            quantile = 0.5 if schedule.quantile is None else schedule.quantile
            return LatencyDeadline(deadline=deadline, max_age=age, quantile=quantile)
        case "adaptive":
            share = 0.25 if schedule.min_fresh is None else schedule.min_fresh
            return Adaptive(
                deadline=deadline, max_age=age, min_fresh=share,
                local_steps=schedule.local_steps or 1,
            )  # fmt: skip
    return AllArrived(deadline)
