"""A run's timelines as a person reads them: who held whom up, in one look.

One lane a party, over a stretch of rounds that fits on a page: all of them, or of many rounds the
slowest stretch and a usual one. Beside it the sums over the whole run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vfl.charts import COLOURS, bare, canvas, settings, svg
from vfl.timeline import LIMIT, Attendance
from vfl.wording import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vfl.timeline import Span, Timeline

STRETCH = 10  # rounds in a picture
LANE = 0.62  # of the distance between lanes
STRIP = 0.11  # what is drawn along a lane's edge


class Stretch(NamedTuple):
    """Consecutive rounds: a title, when each began and ended, in Unix seconds."""

    title: str
    rounds: list[tuple[float, float]]

    @property
    def seconds(self) -> float:
        return self.rounds[-1][1] - self.rounds[0][0]


class Share(NamedTuple):
    """A party's part in all rounds, where they are told, and how long the active one waited."""

    party: str
    role: str
    attendance: Attendance | None
    waited_s: float | None


def shares(timelines: Mapping[str, Timeline], roles: Mapping[str, str]) -> list[Share]:
    """One row a party, in the order of the job."""
    active = next(name for name, role in roles.items() if role == "active")
    own = timelines[active]
    return [
        Share(
            name, role, own.attendance.get(name),
            None if name == active else own.waited.get(name, 0.0),
        )
        for name, role in roles.items()
    ]  # fmt: skip


def stretches(timelines: Mapping[str, Timeline], active: str) -> list[Stretch]:
    """What to draw: all rounds, or of more than fit the slowest and the usual stretch of them."""
    own = timelines[active]
    found = [(one.started_s, one.ended_s) for one in own.rounds]
    found = found or list(zip(own.marks, own.marks[1:], strict=False))
    kept = max(
        (t.spans[0].begin_s for t in timelines.values() if len(t.spans) >= LIMIT), default=0.0
    )
    total, found = len(found), [one for one in found if one[0] >= kept]
    if len(found) <= 2 * STRETCH:
        title = f"all {total} rounds" if len(found) == total else f"the last {len(found)} rounds"
        return [Stretch(title, found)] if found else []
    windows = [
        Stretch("", found[at : at + STRETCH]) for at in range(0, len(found) - STRETCH + 1, STRETCH)
    ]
    windows.sort(key=lambda one: one.seconds)
    slowest, usual = windows[-1], windows[len(windows) // 2]
    return [
        Stretch(f"{what} {STRETCH} of {total} rounds: {duration(one.seconds)}", one.rounds)
        for what, one in (("the slowest", slowest), ("a usual stretch of", usual))
    ]


def picture(
    timelines: Mapping[str, Timeline], parties: Sequence[str], active: str, stretch: Stretch
) -> str:
    """The lanes of a stretch as inline SVG; `parties` from top to bottom."""
    begin_s, end_s = stretch.rounds[0][0], stretch.rounds[-1][1]
    own = timelines[active]
    with settings(stretch.title):
        figure, axes = canvas(0.6 + 0.42 * len(parties), width=10.6)
        for started_s, _ in stretch.rounds[1:]:
            axes.axvline(started_s - begin_s, color=COLOURS["line"], linewidth=0.8, zorder=0)

        def bars(spans: list[tuple[float, float]], low: float, height: float, colour: str) -> None:
            inside = [
                (max(a, begin_s), min(b, end_s)) for a, b in spans if a < end_s and b > begin_s
            ]
            axes.broken_barh(
                [(a - begin_s, b - a) for a, b in inside], (low, height), facecolors=COLOURS[colour]
            )

        for lane, name in enumerate(reversed(parties)):
            low = lane - LANE / 2
            spans = timelines[name].spans if name in timelines else []
            bars(_times(spans, "wait"), low, LANE, "wait")
            for stage in ("read", "align", "encrypt", "compute"):
                bars(_times(spans, "compute", stage), low, LANE, stage)
            bars(_times(spans, "send"), low, STRIP, "send")
            held = [(s.begin_s, s.end_s) for s in own.spans if s.what == "wait" and name in s.of]
            bars(held, low + LANE, STRIP, "held")
            without = [one for one in own.rounds if name in one.filled or name in one.missing]
            for one in without:
                colour = "filled" if name in one.filled else "missed"
                bars([(one.started_s, one.ended_s)], low - STRIP, STRIP, colour)
        axes.set_yticks(range(len(parties)), list(reversed(parties)))
        axes.set_ylim(-0.6, len(parties) - 0.4)
        bare(axes)
        axes.set_xlim(0, end_s - begin_s)
        axes.set_xlabel("seconds")
        return svg(figure)


def _times(spans: Sequence[Span], what: str, of: str = "") -> list[tuple[float, float]]:
    return [
        (one.begin_s, one.end_s) for one in spans if one.what == what and (not of or of in one.of)
    ]
