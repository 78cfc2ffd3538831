"""What the experiment is to show, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from vfl_bench.stragglers import network, published
from vfl_bench.stragglers.experiment import PROBABILITY
from vfl_bench.stragglers.results import Results, wandering

MOST_LOST: Final = 0.005  # AUC, to the run on a clean network
LEAST_FRESH: Final = 0.25  # of rounds, each host
OLDEST: Final = 3  # passes
BACKUPS: Final = ("B0", "B1 stale", "B2 stale")


@dataclass(frozen=True)
class Claim:
    text: str
    measured: str
    holds: bool


def claims(results: Results) -> Iterator[Claim]:
    """The published ones, and the bars of our policy."""
    yield _ordered(results)
    yield from _stale(results)
    for granularity in network.GRANULARITIES:
        key = granularity, PROBABILITY, "B1 stale"
        lost = fmean(results.losses[key])
        text = f"B1 ends within {MOST_LOST:g} AUC of the clean run, each {granularity}"
        yield Claim(text, f"{lost:+.4f}", abs(lost) <= MOST_LOST)
    for granularity in network.GRANULARITIES:
        yield from _ours(results, granularity)


def _ordered(results: Results) -> Claim:
    """More backups take less time."""
    settings = [(g, p) for g in network.GRANULARITIES for p in network.PROBABILITIES[1:]]
    times = [[results.times[g, p, policy].relative for policy in BACKUPS] for g, p in settings]
    right = sum(b0 > b1 > b2 for b0, b1, b2 in times)
    text = "more backups take less time"
    return Claim(text, f"{right} of {len(times)} settings", right == len(times))


def _stale(results: Results) -> Iterator[Claim]:
    for shape, runs in results.curves.items():
        stale, null = (wandering(runs[f"B1 {fill}"], runs["B0"]) for fill in ("stale", "null"))
        text = f"stale scores stay closer to the clean run's AUC than none, {shape}"
        yield Claim(text, f"{stale:.4f} to {null:.4f}, mean of passes", stale < null)


def _ours(results: Results, granularity: str) -> Iterator[Claim]:
    key = granularity, PROBABILITY, "ours"
    timed, losses = results.times[key], results.losses[key]
    at, lost = f"each {granularity}", fmean(losses)
    text = f"ours saves {published.SAVING:.2%} of B0's time, {at}"
    yield Claim(text, f"{timed.saving:.2%}", timed.saving >= published.SAVING)
    text = f"ours: every host new in {LEAST_FRESH:.0%} of rounds, {at}"
    fresh = timed.least_fresh
    yield Claim(text, f"{fresh:.1%}, the least of all runs", fresh >= LEAST_FRESH)
    text = f"ours: no scores older than {OLDEST} passes, {at}"
    yield Claim(text, f"{timed.oldest}", timed.oldest <= OLDEST)
    text = f"ours ends within {MOST_LOST:g} AUC of the clean run on average, {at}"
    measured = f"{lost:+.4f}, the worst of {len(losses)} runs {max(losses):+.4f}"
    yield Claim(text, measured, abs(lost) <= MOST_LOST)
