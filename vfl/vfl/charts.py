"""The report's plots as inline SVG whose colours and letters are the page's own.

matplotlib draws with stand-in colours; each becomes a CSS variable afterwards, so that one SVG
suits a light and a dark page.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from vfl.errors import MissingExtraError
from vfl.wording import STAGES, size

if TYPE_CHECKING:
    from vfl.ledger import Border

COLOURS = {
    "ink": "#010101", "soft": "#020202", "line": "#030303", "accent": "#040404",
    **{stage: f"#0505{i:02x}" for i, stage in enumerate(STAGES)},
    **{mark: f"#0606{i:02x}" for i, mark in enumerate(("send", "held", "filled", "missed"))},
}  # fmt: skip
_SETTINGS = {
    "svg.fonttype": "none",  # letters stay letters: the page's font, and text that can be found
    "font.size": 10, "axes.edgecolor": COLOURS["line"], "axes.linewidth": 0.8,
    "axes.labelcolor": COLOURS["soft"], "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"], "xtick.labelcolor": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["ink"], "text.color": COLOURS["ink"],
    "grid.color": COLOURS["line"], "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
}  # fmt: skip


def movement(changes: list[float], tolerance: float) -> str:
    """How far all weights together moved in each epoch; logarithmic where it spans decades."""
    with settings("movement"):
        figure, axes = canvas(2.6)
        epochs = range(1, len(changes) + 1)
        axes.plot(epochs, changes, color=COLOURS["accent"], linewidth=2, marker="o", markersize=4)
        if tolerance > 0 and min(changes) < 100 * tolerance:
            axes.axhline(tolerance, color=COLOURS["soft"], linewidth=1, linestyle=(0, (4, 4)))
        if 0 < 20 * min(changes) < max(changes):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        return svg(figure)


def likelihood(losses: list[float]) -> str:
    """Mean negative log-likelihood of the training rows after each epoch; the start is epoch 0."""
    with settings("likelihood"):
        figure, axes = canvas(2.6)
        axes.plot(losses, color=COLOURS["accent"], linewidth=2, marker="o", markersize=4)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        return svg(figure)


def times(timings: dict[str, dict[str, float]]) -> str:
    """Seconds of each party by stage, stacked."""
    with settings("times"):
        figure, axes = canvas(0.7 + 0.36 * len(timings))
        parties = list(timings)[::-1]
        left = [0.0] * len(parties)
        for stage in STAGES:
            widths = [timings[party][stage] for party in parties]
            axes.barh(parties, widths, left=left, height=0.6, color=COLOURS[stage])
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_xlabel("seconds")
        bare(axes)
        return svg(figure)


def traffic(borders: list[Border]) -> str:
    """Bytes over each border and direction, the busiest on top."""
    with settings("traffic"):
        busiest = sorted(borders, key=lambda border: border.bytes)
        figure, axes = canvas(0.5 + 0.27 * len(busiest))
        names = [f"{border.sender} → {border.receiver}" for border in busiest]
        bars = axes.barh(
            names, [border.bytes for border in busiest], height=0.6, color=COLOURS["accent"]
        )
        axes.bar_label(bars, [size(border.bytes) for border in busiest], padding=4)
        axes.margins(x=0.14)
        bare(axes)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        return svg(figure)


def settings(name: str) -> Any:
    """The style of all plots; `name` tells the ids of one from another's on the same page."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtraError("the report needs matplotlib: pip install 'vfl[report]'") from error
    return rc_context({**_SETTINGS, "svg.hashsalt": name})


def canvas(height: float, width: float = 5.4) -> tuple[Any, Any]:
    """A figure of that many inches and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.subplots()
    axes.patch.set_alpha(0.0)
    axes.set_axisbelow(True)
    return figure, axes


def bare(axes: Any) -> None:
    """Bars from the left edge, without ticks at their names."""
    axes.tick_params(axis="y", length=0)
    axes.margins(y=0.02)
    axes.set_xlim(left=0)


def svg(figure: Any) -> str:
    """The figure as inline SVG in the page's colours."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' width="[^"]*pt"', "", re.sub(r' height="[^"]*pt"', "", text, count=1), count=1)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text
