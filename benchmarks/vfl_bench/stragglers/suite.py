"""One invocation: which data and shapes, and everything that is measured on them."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vfl_bench.stragglers import experiment
from vfl_bench.stragglers.costs import costs
from vfl_bench.stragglers.results import Results
from vfl_bench.stragglers.stand_ins import EPSILON, MIMIC, Data, Shape, real, stand_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfl_bench.stragglers.experiment import Setting

REPLAYED: Final = 5  # runs of a published policy whose AUC is compared; all of ours are


def measure(
    ciphers: Sequence[str], scale: float, data: Path | None, name: str, setting: Setting
) -> Results:
    """The whole experiment under each cipher; messages have the sizes of the first one's.

    On a table of `data`, else on stand-ins: times at the published shapes, training at `scale`.
    Raises `VflError` for data that cannot be used.
    """
    shapes, tables = _data(scale, data, name, setting)
    first = shapes[0]
    setting.tell("unit costs of this machine")
    measured = costs(list(ciphers), first, os.cpu_count() or 1)
    cost = measured[ciphers[0]]
    where = experiment.where_time_goes(measured, shapes[-1], setting)
    columns = {cipher: experiment.table_1(measured[cipher], first, setting) for cipher in ciphers}
    times, runs = experiment.sweep(cost, first, setting)
    curves = {
        shape.name: experiment.curves(cost, shape, tables[shape.name], setting) for shape in shapes
    }
    few = {key: islice(all_, None if key[2] == "ours" else REPLAYED) for key, all_ in runs.items()}
    clean = curves[first.name]["B0"].auc[-1]
    losses = experiment.losses(few, tables[first.name], clean, setting)
    return Results(measured, shapes, tables, setting.passes, where, times, curves, losses, columns)


def _data(
    scale: float, folder: Path | None, name: str, setting: Setting
) -> tuple[list[Shape], dict[str, Data]]:
    if folder:
        table = real(folder, name)
        return [table.shape], {name: table}
    tables = {}
    for shape in (MIMIC, EPSILON):
        setting.tell(f"a stand-in for {shape.name}")
        tables[shape.name] = stand_in(shape if scale == 1.0 else shape.scaled(scale))
    return [MIMIC, EPSILON], tables
