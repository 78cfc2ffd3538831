"""The published figures drawn from our results, theirs in faint colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from vfl.errors import JobError
from vfl_bench.output import number
from vfl_bench.plot import COLOURS, INK, SETTINGS, SOFT
from vfl_bench.stragglers import network, published
from vfl_bench.stragglers.experiment import GRANULARITY, PROBABILITY, TIMED
from vfl_bench.stragglers.results import Results

PARTS: Final = {"computation": COLOURS[0], "encryption": COLOURS[2], "communication": COLOURS[1]}
WIDTH: Final = 0.8 / len(TIMED)  # of a bar and the gap beside it
RUNS: Final = {
    "B0": (COLOURS[6], "-"), "B1 stale": (COLOURS[5], "-"), "B2 stale": (COLOURS[0], "-"),
    "B1 null": (COLOURS[3], "-"), "ours": (COLOURS[1], "-"),
    "ours, local steps": (COLOURS[4], "-"), "PCA 100 %": (COLOURS[2], "-"),
    "PCA 80 %": (COLOURS[2], "--"), "PCA 60 %": (COLOURS[2], ":"),
}  # fmt: skip


def plot_results(results: Results, folder: Path) -> list[Path]:
    """Write where-time-goes.png, communication.png and auc.png into `folder`.

    Raises `JobError` where they cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawers: dict[str, tuple[tuple[float, float], Callable[[Results, Any], None]]] = {
        "where-time-goes": ((9.0, 4.2), _where), "communication": ((10.0, 4.2), _communication),
        "auc": ((10.0, 4.8), _auc),
    }  # fmt: skip
    paths = []
    for name, (size, draw) in drawers.items():
        with rc_context(SETTINGS):
            figure = Figure(figsize=size, layout="constrained")
            draw(results, figure)
            path = folder / f"{name}.png"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=160)
            except OSError as error:
                raise JobError(f"cannot write {path}: {error.strerror}") from error
        paths.append(path)
    return paths


def _title(figure: Any, text: str, below: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(below, x=0.01, ha="left", fontsize=8, color=SOFT)


def _where(results: Results, figure: Any) -> None:
    """Fig. 3: a bar a mode, and below it theirs."""
    axes = figure.subplots()
    bars = list(_bars(results))
    for place, (_, shares, total, faint) in enumerate(bars):
        begin = 0.0
        for part, colour in PARTS.items():
            axes.barh(
                -place, shares[part], left=begin, color=colour, height=0.72,
                alpha=0.45 if faint else 1.0, label=None if place else part,
            )  # fmt: skip
            if shares[part] > 0.06:
                axes.text(
                    begin + shares[part] / 2, -place, f"{shares[part]:.0%}", ha="center",
                    va="center", color=INK if faint else "white", fontsize=9,
                )  # fmt: skip
            begin += shares[part]
        axes.text(1.01, -place, total, va="center", color=SOFT, fontsize=9)
    axes.set_yticks([-place for place in range(len(bars))], [name for name, *_ in bars])
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    _title(
        figure, f"Where time goes: {results.shapes[-1].name}",
        f"fluctuating: probability {PROBABILITY:g}, drawn for each {GRANULARITY}; faint: "
        f"{published.SOURCE}, Fig. 3, its setting not told; white: all else",
    )  # fmt: skip


def _bars(results: Results) -> Iterator[tuple[str, dict[str, float], str, bool]]:
    for mode, theirs in published.WHERE.items():
        kind, _, rest = mode.partition(",")
        for title, parts in results.where.items():
            if title.startswith(kind) and title.endswith("fluctuating") == bool(rest):
                shares = {part: getattr(parts, part) / parts.total for part in PARTS}
                name = title.removeprefix("encrypted, ")
                yield name, shares, f"{number(parts.total)} s", False
        yield f"theirs, {mode}", theirs, "", True


def _communication(results: Results, figure: Any) -> None:
    """Fig. 4: a group of bars a granularity."""
    probabilities = network.PROBABILITIES[1:]
    panels = figure.subplots(1, len(probabilities), sharey=True)
    for axes, probability in zip(panels, probabilities, strict=True):
        for place, policy in enumerate(TIMED):
            colour, _ = RUNS[policy]
            aside = (place - (len(TIMED) - 1) / 2) * WIDTH
            at = [group + aside for group in range(len(network.GRANULARITIES))]
            tall = [
                results.times[granularity, probability, policy].relative
                for granularity in network.GRANULARITIES
            ]
            axes.bar(at, tall, width=0.9 * WIDTH, color=colour, label=policy)
            for x, height in zip(at, tall, strict=True):
                axes.text(x, height + 0.08, f"{height:.1f}", ha="center", fontsize=8, color=SOFT)
            paper = published.RELATIVE.get((probability, place))
            if paper is not None:
                x = len(at) + aside
                axes.bar(x, paper, width=0.9 * WIDTH, color=colour, alpha=0.45)
                axes.text(x, paper + 0.08, f"{paper:.1f}", ha="center", fontsize=8, color=SOFT)
        names = [f"each {name}" for name in network.GRANULARITIES]
        axes.set_xticks(range(len(names) + 1), [*names, "theirs"])
        axes.axhline(1.0, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set_title(
            f"slow with probability {probability:g}", loc="left", fontsize=10, color=SOFT
        )
        axes.tick_params(bottom=False)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("communication, clean network = 1")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(TIMED), frameon=False)
    _title(
        figure, f"Communication time: {results.shapes[0].name}",
        f"below: what a link's speed is drawn for; faint: {published.SOURCE}, Fig. 4",
    )  # fmt: skip


def _auc(results: Results, figure: Any) -> None:
    """Figs. 5 to 7: AUC over passes."""
    panels = figure.subplots(1, len(results.curves), squeeze=False)[0]
    for axes, (name, runs) in zip(panels, results.curves.items(), strict=True):
        passes = range(1, results.passes + 1)
        for title, run in runs.items():
            colour, style = RUNS[title]
            axes.plot(
                passes, run.auc, color=colour, linestyle=style, linewidth=1.6, label=title,
                zorder=3 if title == "B0" else 2,
            )  # fmt: skip
        ceiling = results.data[name].ceiling
        if ceiling:
            axes.axhline(ceiling, color=SOFT, linewidth=0.8, linestyle=":")
            axes.text(
                results.passes, ceiling, "ceiling", ha="right", va="bottom", fontsize=8, color=SOFT
            )
        every = sorted(auc for run in runs.values() for auc in run.auc)
        lowest = every[len(every) // 100]
        axes.set_ylim(lowest - 0.1 * (every[-1] - lowest))
        axes.set_title(name, loc="left", fontsize=10, color=SOFT)
        axes.set_xlabel("passes over the rows")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("AUC on held-out rows")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    _title(
        figure, "What it does to the model",
        f"slow with probability {PROBABILITY:g}, drawn for each {GRANULARITY}; PCA under B0; "
        "the lowest 1 % of all points is cut off",
    )  # fmt: skip
