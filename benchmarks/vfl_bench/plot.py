"""What an encrypted gradient X^T[[d]] costs against the batch size and against the features."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from vfl.errors import JobError, MissingExtraError
from vfl_bench.harness import Row

FORMATS = (".png", ".svg")
INK, SOFT, _LINE = "#1a1a1a", "#6b6b6b", "#dedede"
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a", "#8a6d3b"
)  # fmt: skip
_STYLES = ("-", "--", ":", "-.")  # thread counts
SETTINGS = {
    "font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "gradient",
    "axes.edgecolor": _LINE, "axes.labelcolor": SOFT, "text.color": INK,
    "xtick.color": SOFT, "ytick.color": SOFT, "grid.color": _LINE, "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """Who, with which parameters, on how many threads; `points` are (batch, features) -> row."""

    peer: str
    parameters: str
    threads: int
    points: dict[tuple[int, int], Row]

    @property
    def label(self) -> str:
        many = f", {self.threads} threads" if self.threads != 1 else ""
        return f"{self.peer}{many}\n{self.parameters}"

    def along(self, axis: str, value: int) -> list[tuple[int, Row]]:
        """(size, row) where the other of batch and features is `value`."""
        here = 0 if axis == "batch" else 1
        return sorted(
            ((at[here], row) for at, row in self.points.items() if at[1 - here] == value),
            key=lambda point: point[0],
        )


def gradient_rows(rows: Iterable[Row]) -> list[Row]:
    """Those of an encrypted gradient: their facts have `batch` and `features`."""
    return [row for row in rows if {"batch", "features"} <= row.facts.keys()]


def curves(rows: Iterable[Row]) -> list[Curve]:
    """The dearest first. Of the same contender measured in several works, the first counts."""
    found: dict[tuple[str, str, int], Curve] = {}
    for row in gradient_rows(rows):
        peer = row.peer.removesuffix(" 1 thread")
        key = (peer, str(row.facts.get("parameters", "")), int(row.facts.get("threads", 1)))
        curve = found.setdefault(key, Curve(*key, {}))
        curve.points.setdefault((row.facts["batch"], row.facts["features"]), row)
    return sorted(
        found.values(), key=lambda c: -max(_ms(row, "real_time") for row in c.points.values())
    )


def check_target(path: Path) -> None:
    """Refuse before the measuring what could not be written after it.

    Raises `JobError` for another format than PNG and SVG, `MissingExtraError` without matplotlib.
    """
    if path.suffix.lower() not in FORMATS:
        raise JobError(f"--plot writes {' or '.join(FORMATS)}; got {path.name!r}")
    check_matplotlib()


def check_matplotlib() -> None:
    """Raises `MissingExtraError` without it."""
    if not importlib.util.find_spec("matplotlib"):
        raise MissingExtraError("--plot needs matplotlib: pip install 'vfl[report]'")


def plot_gradient(rows: Sequence[Row], path: Path) -> None:
    """Write the plot of all gradient rows among `rows`; the suffix of `path` gives the format.

    Left, milliseconds of a whole gradient against the batch size, right, against the features,
    each at the value of the other that most rows have; bands are quartiles. What contenders did in
    part is scaled to the whole, their items being alike. Raises `JobError` where no row is one of a
    gradient or the file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = curves(rows)
    if not found:
        raise JobError("nothing to plot: choose a --suite with an encrypted gradient")
    with rc_context(SETTINGS):
        figure = Figure(figsize=(9.0, 4.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        _panel(panels[0], found, "batch", "features")
        _panel(panels[1], found, "features", "batch")
        panels[0].set_ylabel("milliseconds for one gradient")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        figure.suptitle("Encrypted gradient Xᵀ[[d]]", x=0.01, ha="left", fontweight="bold")
        figure.supxlabel(
            "medians and quartiles; who was measured on a part is scaled to the whole",
            x=0.01, ha="left", fontsize=8, color=SOFT,
        )  # fmt: skip
        try:
            figure.savefig(path, dpi=160)
        except OSError as error:
            raise JobError(f"cannot write {path}: {error.strerror}") from error


def _panel(axes: Any, found: Sequence[Curve], along: str, fixed: str) -> None:
    other = 1 if fixed == "features" else 0
    counted = Counter(at[other] for curve in found for at in curve.points)
    value = max(counted, key=lambda v: (counted[v], v))
    colours = dict(zip({(c.peer, c.parameters): None for c in found}, cycle(COLOURS)))
    styles = dict(zip(sorted({c.threads for c in found}), cycle(_STYLES)))
    ticks = set()
    for curve in found:
        points = curve.along(along, value)
        sizes = [size for size, _ in points]
        ticks |= set(sizes)
        colour = colours[curve.peer, curve.parameters]
        low, median, high = (
            [_ms(row, field) for _, row in points] for field in ("low", "real_time", "high")
        )
        axes.plot(
            sizes, median, color=colour, linestyle=styles[curve.threads], linewidth=2,
            marker="o", markersize=4, label=curve.label,
        )  # fmt: skip
        axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("batch size (rows)" if along == "batch" else "features (columns)")
    axes.set_title(f"{fixed} = {value:,}", loc="left", fontsize=10, color=SOFT)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _ms(row: Row, field: str) -> float:
    """Of a whole gradient."""
    products: int = row.facts["batch"] * row.facts["features"]
    return float(getattr(row, field)) * products / 1e3
