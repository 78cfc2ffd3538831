"""What is measured: where time goes, time under each policy, and what policies do to the model.

Times come from schedules of the published shapes; what a schedule does to a model is found by
replaying its log on data, which may be of a smaller scale with the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from threadpoolctl import threadpool_limits

from vfl.errors import VflError
from vfl_bench.stragglers import network
from vfl_bench.stragglers.costs import PLAIN, Costs
from vfl_bench.stragglers.replay import Descent, Replay
from vfl_bench.stragglers.stand_ins import HOSTS, Data, Shape, compressed
from vfl_scheduler.simulate import Schedule, Simulated

Tell = Callable[[str], None]

GRANULARITY: Final = "round"  # of Fig. 3, Figs. 5 to 7 and Table 1
PROBABILITY: Final = 0.5
KEPT: Final = (1.0, 0.8, 0.6)  # of the columns, by PCA
TIMED: Final = ("B0", "B1 stale", "B2 stale", "ours", "ours, local steps")


@dataclass(frozen=True)
class Setting:
    """passes over the rows, the draws of so many seeds, and who is told what is being done."""

    passes: int = 50
    seeds: int = 20
    tell: Tell = lambda _: None


@dataclass(frozen=True)
class Parts:
    """Seconds of a run by what they went to."""

    computation: float
    encryption: float
    communication: float

    @property
    def total(self) -> float:
        return self.computation + self.encryption + self.communication


def where_time_goes(costs: Mapping[str, Costs], shape: Shape, setting: Setting) -> dict[str, Parts]:
    """Fig. 3: plain, and under each cipher on a clean and on a fluctuating network, under B0."""
    found = {}
    for name, cost in costs.items():
        setting.tell(f"{shape.name}: where time goes, {name}")
        title = "plain" if name == PLAIN else f"encrypted, {name}"
        found[title] = parts("B0", cost, shape, 0.0, setting)
        if name != PLAIN:
            found[f"{title}, fluctuating"] = parts("B0", cost, shape, PROBABILITY, setting)
    return found


def parts(policy: str, cost: Costs, shape: Shape, probability: float, setting: Setting) -> Parts:
    """Communication is what a run takes longer than over links that take no time.

    Encryption is what that takes longer than without encrypting, adding, blinding and decrypting.
    """
    whole = cost.schedule(shape, setting.passes)
    products = network.instant(policy, cost.schedule(shape, setting.passes, "products")).ended_s
    work = network.instant(policy, whole).ended_s
    runs = _runs(policy, whole, probability, GRANULARITY, setting)
    total = fmean(run.ended_s for run in runs)
    return Parts(products, work - products, total - work)


def table_1(cost: Costs, shape: Shape, setting: Setting) -> dict[str, Parts]:
    """Table 1: origin, backup (two), PCA to 60 %, both; and our policy, without and with PCA."""
    columns = {
        "origin": ("B0", 1.0), "backup": ("B2 stale", 1.0), "PCA": ("B0", 0.6),
        "both": ("B2 stale", 0.6), "ours": ("ours", 1.0), "ours, PCA": ("ours", 0.6),
    }  # fmt: skip
    found = {}
    for name, (policy, kept) in columns.items():
        setting.tell(f"{shape.name}: table 1, {cost.name}, {name}")
        narrow = shape if kept == 1.0 else shape.narrowed(kept)
        found[name] = parts(policy, cost, narrow, PROBABILITY, setting)
    return found


@dataclass(frozen=True)
class Timed:
    """One policy at one setting of the network, over all seeds; no work takes any time.

    seconds      of each seed's run
    relative     the mean of them by that of B0 on a clean network
    saving       the mean of 1 - seconds / those of B0 on the same draws
    fresh        each host's mean share of rounds in which its scores were new
    least_fresh  the least of these shares in any run
    oldest       the largest age in passes at which scores stood in
    """

    seconds: list[float]
    relative: float
    saving: float
    fresh: tuple[float, ...]
    least_fresh: float
    oldest: int


Key = tuple[str, float, str]  # granularity, probability, policy


def sweep(
    cost: Costs, shape: Shape, setting: Setting
) -> tuple[dict[Key, Timed], dict[Key, list[Simulated]]]:
    """Fig. 4 at every granularity; and the runs at `PROBABILITY`, to be replayed."""
    schedule = cost.schedule(shape, setting.passes, "none")
    clean = network.fluctuating("B0", schedule, 0.0, GRANULARITY, 0).ended_s
    found, kept = {}, {}
    for granularity in network.GRANULARITIES:
        for probability in network.PROBABILITIES:
            setting.tell(f"{shape.name}: links drawn by {granularity}, {probability:g}")
            runs = {
                policy: _runs(policy, schedule, probability, granularity, setting)
                for policy in TIMED
            }
            for policy, mine in runs.items():
                key = granularity, probability, policy
                found[key] = _timed(mine, runs["B0"], clean)
                if probability == PROBABILITY:
                    kept[key] = mine
    return found, kept


def _timed(mine: list[Simulated], all_arrived: list[Simulated], clean: float) -> Timed:
    seconds = [run.ended_s for run in mine]
    savings = (1 - s / b.ended_s for s, b in zip(seconds, all_arrived, strict=True))
    shares = [[run.share(host) for run in mine] for host in HOSTS]
    return Timed(
        seconds, fmean(seconds) / clean, fmean(savings), tuple(map(fmean, shares)),
        min(map(min, shares)), max(run.oldest(host) for run in mine for host in HOSTS),
    )  # fmt: skip


def _runs(
    policy: str, schedule: Schedule, probability: float, granularity: str, setting: Setting
) -> list[Simulated]:
    """One for each seed; one alone where nothing is drawn."""
    seeds = setting.seeds if probability else 1
    runs = [
        network.fluctuating(policy, schedule, probability, granularity, seed)
        for seed in range(seeds)
    ]
    for run in runs:
        if run.aborted:
            raise VflError(f"{policy} gave up waiting for {', '.join(sorted(run.aborted))}")
    return runs


@dataclass(frozen=True)
class Trained:
    """A replayed run: held-out AUC after each pass, products of a number with a ciphertext.

    columns  of each party, the guest's one of ones left out
    """

    auc: list[float]
    products: int
    columns: tuple[int, ...]


def curves(cost: Costs, shape: Shape, data: Data, setting: Setting) -> dict[str, Trained]:
    """Figs. 5 to 7: every policy on the first seed's draws, and PCA on a clean network."""
    schedule = cost.schedule(shape, setting.passes, "none")
    found = {}
    for policy in network.POLICIES:
        setting.tell(f"{shape.name}: training, {policy}")
        run = network.fluctuating(policy, schedule, PROBABILITY, GRANULARITY, 0)
        found[policy] = trained(run, data)
    clean = network.fluctuating("B0", schedule, 0.0, GRANULARITY, 0)
    for kept in KEPT:
        setting.tell(f"{shape.name}: training, PCA {kept:.0%}")
        found[f"PCA {kept * 100:g} %"] = trained(clean, compressed(data, kept))
    return found


def trained(run: Simulated, data: Data) -> Trained:
    """On one thread: the products of a batch are too small to share."""
    with threadpool_limits(1):
        replay = Replay(data, Descent())
        return Trained(replay.run(run.log), replay.products, data.shape.widths)


def losses(
    runs: Mapping[Key, Iterable[Simulated]], data: Data, clean: float, setting: Setting
) -> dict[Key, list[float]]:
    """AUC of the clean run less that of each run, after the last pass; B0 loses nothing."""
    found = {}
    for key, several in runs.items():
        if key[2] != "B0":
            setting.tell(f"{data.shape.name}: AUC, links drawn by {key[0]}, {key[2]}")
            found[key] = [clean - trained(run, data).auc[-1] for run in several]
    return found
