"""Everything that one invocation found, and its rows for `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Any

from vfl_bench.harness import Row
from vfl_bench.stragglers import network, published
from vfl_bench.stragglers.costs import Costs
from vfl_bench.stragglers.experiment import GRANULARITY, PROBABILITY, Key, Parts, Timed, Trained
from vfl_bench.stragglers.stand_ins import Data, Shape


@dataclass(frozen=True)
class Results:
    """One experiment; `shapes`: those of times, `data`: what was trained on, by name.

    where    Fig. 3: mode -> parts of the time, on the last shape
    times    Fig. 4: (granularity, probability, policy), on the first shape
    curves   Figs. 5 to 7: shape -> run -> AUC after each pass
    losses   AUC lost to the clean run, on the first shape, a number a seed
    tables   Table 1: cipher -> column -> parts of the time, on the first shape
    """

    costs: dict[str, Costs]
    shapes: list[Shape]
    data: dict[str, Data]
    passes: int
    where: dict[str, Parts]
    times: dict[Key, Timed]
    curves: dict[str, dict[str, Trained]]
    losses: dict[Key, list[float]]
    tables: dict[str, dict[str, Parts]]

    @property
    def cipher(self) -> str:
        """Whose message sizes the times of policies have: the first that protects anything."""
        return next(iter(self.tables))


def wandering(run: Trained, clean: Trained) -> float:
    """The mean distance of a run's AUC from the clean one's, over all passes."""
    return fmean(abs(a - b) for a, b in zip(run.auc, clean.auc, strict=True))


def rows(results: Results) -> list[Row]:
    """A row a policy and setting; `ratio_to` has the time of B0 by its own."""
    return [*_timed(results), *_parts(results)]


def untimed(results: Results) -> dict[str, Any]:
    """What is no time: the emulator's definition, AUC after each pass, products."""
    return {
        "emulator": network.DEFINITION,
        "source": published.SOURCE,
        "auc": {
            shape: {
                name: {"after_pass": run.auc, "products": run.products, "columns": run.columns}
                for name, run in runs.items()
            }
            for shape, runs in results.curves.items()
        },
        "ceilings": {name: data.ceiling for name, data in results.data.items()},
    }


def _timed(results: Results) -> Iterator[Row]:
    shape = results.shapes[0]
    for (granularity, probability, policy), timed in results.times.items():
        lost = results.losses.get((granularity, probability, policy), [])
        base = results.times[granularity, probability, "B0"].seconds
        facts = _facts(results.costs[results.cipher], shape, results.passes) | {
            "links_drawn_by": granularity, "probability": probability,
            "saving": timed.saving, "relative": timed.relative, "fresh": timed.fresh,
            "least_fresh": timed.least_fresh, "oldest": timed.oldest,
        }  # fmt: skip
        if lost:
            facts |= {"auc_loss": fmean(lost), "worst_auc_loss": max(lost), "replayed": len(lost)}
        ratio = {} if policy == "B0" else {"B0": fmean(base) / fmean(timed.seconds)}
        name = f"stragglers/communication/{shape.name}/{granularity}/p={probability:g}"
        yield _row(name, policy, timed.seconds, facts, ratio)


def _parts(results: Results) -> Iterator[Row]:
    shape = results.shapes[-1]
    for title, parts in results.where.items():
        name = next(c for c in reversed(results.costs) if c in title or title == "plain")
        facts = _facts(results.costs["mock" if title == "plain" else name], shape, results.passes)
        yield _row(f"stragglers/where/{shape.name}", title, [parts.total], facts | vars(parts), {})
    shape = results.shapes[0]
    for cipher, columns in results.tables.items():
        facts = _facts(results.costs[cipher], shape, results.passes)
        facts |= {"links_drawn_by": GRANULARITY, "probability": PROBABILITY}
        origin = columns["origin"].total
        for title, parts in columns.items():
            more = vars(parts) | {"saving": 1 - parts.total / origin}
            ratio = {} if title == "origin" else {"origin": origin / parts.total}
            name = f"stragglers/table-1/{shape.name}/{cipher}"
            yield _row(name, title, [parts.total], facts | more, ratio)


def _facts(cost: Costs, shape: Shape, passes: int) -> dict[str, Any]:
    return {
        "cipher": cost.name, "parameters": cost.cipher.parameters,
        "security_bits": cost.cipher.security_bits, "threads": cost.units.threads,
        "rows": shape.rows,
        "columns": list(shape.widths), "batches": len(shape.batches), "passes": passes,
    }  # fmt: skip


def _row(
    name: str, peer: str, seconds: Sequence[float], facts: dict[str, Any], ratio: dict[str, float]
) -> Row:
    several = len(seconds) > 1
    low, median, high = quantiles(seconds, n=4) if several else [seconds[0]] * 3
    low, median, high = (s * 1e6 for s in (low, median, high))
    return Row(name, peer, "run", median, low, high, median, len(seconds), facts, ratio)
