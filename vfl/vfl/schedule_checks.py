"""What is wrong with the schedule section of a job file, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from vfl.spec import MAX_LOCAL_STEPS, role_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfl.spec import JobSpec

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {  # policies that take each
    "max_age": ("backup", "bounded_staleness", "deadline", "adaptive"),
    "backups": ("backup",),
    "fill": ("backup",),
    "quantile": ("deadline",),
    "min_fresh": ("adaptive",),
    "local_steps": ("adaptive",),
}


def problems(job: JobSpec) -> list[str]:
    """All of them; each says what to change."""
    return [*_values(job), *_combinations(job)]


def _values(job: JobSpec) -> list[str]:
    schedule = job.schedule
    passives = sum(role_of(party) == "passive" for party in job.parties)
    found = [
        f"schedule.{option} is not of policy: {schedule.policy} "
        f"(but of {', '.join(OPTIONS[option])}); leave it out"
        for option in OPTIONS
        if getattr(schedule, option) is not None and schedule.policy not in OPTIONS[option]
    ]
    age, backups = schedule.max_age, schedule.backups
    checks = {
        "schedule.deadline_s must be finite and above 0": 0 < schedule.deadline_s < math.inf,
        "schedule.max_age must be at least 1 pass, or unlimited": (
            age is None or age == "unlimited" or age >= 1
        ),
        f"schedule.backups must lie between 1 and {passives - 1}: one of {passives} passive "
        "parties must make a round": backups is None or 1 <= backups < passives,
        "schedule.restarts must be 0 or more": schedule.restarts >= 0,
        "schedule.quantile must lie in (0, 1]": schedule.quantile is None
        or 0 < schedule.quantile <= 1,
        "schedule.min_fresh must lie in [0, 1]": schedule.min_fresh is None
        or 0 <= schedule.min_fresh <= 1,
        f"schedule.local_steps must lie between 1 and {MAX_LOCAL_STEPS}": (
            schedule.local_steps is None or 1 <= schedule.local_steps <= MAX_LOCAL_STEPS
        ),
        "schedule.max_age is of stale fill-in: leave it out under fill: null": (
            schedule.fill != "null" or age is None
        ),
    }
    return found + [text for text, holds in checks.items() if not holds]


def _combinations(job: JobSpec) -> list[str]:
    schedule = job.schedule
    if not schedule.tolerant:
        return []
    chosen = (
        f"schedule.policy: {schedule.policy}"
        if schedule.policy != "all_arrived"
        else f"schedule.on_lost: {schedule.on_lost}"
    )
    found = []
    if job.security != "arbiter":
        found.append(
            f"{chosen} goes on without some party's news, which is safe under security: arbiter "
            f"alone: under {job.security} two opened sums of scores that differ in one party's "
            "would show that party's; use policy: all_arrived with on_lost: abort or wait"
        )
    if sum(role_of(party) == "passive" for party in job.parties) < 2:
        found.append(
            f"{chosen} needs two passive parties or more; with one, use policy: all_arrived with "
            "on_lost: abort or wait"
        )
    if job.model.reshuffle:
        found.append(
            f"{chosen} reuses contributions of a batch, and model.reshuffle changes its rows; "
            "leave reshuffle out"
        )
    return found
