"""The published tables and figures as text, theirs beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from rich.console import Console
from rich.text import Text

from vfl_bench.output import aligned, number
from vfl_bench.stragglers import network, published
from vfl_bench.stragglers.claims import claims
from vfl_bench.stragglers.experiment import GRANULARITY, PROBABILITY, TIMED
from vfl_bench.stragglers.results import Results, wandering

Lines = list[list[str] | str]


def print_results(results: Results, console: Console) -> None:
    """The emulator's definition, then figure by figure."""
    _print(f"stragglers: the experiment of {published.SOURCE}", [network.DEFINITION], console)
    _print(f"Fig. 3, where time goes: {results.shapes[-1].name}", [*_where(results)], console)
    _print(f"Fig. 4, communication: {results.shapes[0].name}", [*_times(results)], console)
    for name in results.curves:
        _print(f"Figs. 5 to 7, held-out AUC: {name}", [*_curves(results, name)], console)
    for cipher in results.tables:
        title = f"Table 1, minutes: {results.shapes[0].name}, {_cipher(results, cipher)}"
        _print(title, [*_table_1(results, cipher)], console)
    _print("What was to be shown", [*_claims(results)], console)


def _print(title: str, lines: Lines, console: Console) -> None:
    console.print(Text(f"{title}\n", style="bold"), soft_wrap=True)
    cells = any(isinstance(line, list) for line in lines)
    for line in aligned(lines) if cells else map(str, lines):
        console.print(Text(line), soft_wrap=True)
    console.print()


def _cipher(results: Results, name: str) -> str:
    cipher = results.costs[name].cipher
    return f"{name} ({cipher.parameters}, {cipher.security_bits}-bit security)"


def _drawn(granularity: str) -> str:
    return f"links drawn for each {granularity}"


def _where(results: Results) -> Iterator[list[str] | str]:
    yield [
        "seconds and shares", "computation", "encryption", "communication", "total", "theirs",
    ]  # fmt: skip
    for title, parts in results.where.items():
        line = [f"  {title}"]
        for seconds in (parts.computation, parts.encryption, parts.communication):
            line += [f"{number(seconds)} {seconds / parts.total:>5.1%}"]
        kind = title.split(",")[0] + (", fluctuating" if "fluctuating" in title else "")
        theirs = published.WHERE[kind]
        shares = " / ".join(f"{share:.1%}" for share in theirs.values())
        yield [*line, number(parts.total), shares]
    yield ""
    for name in results.tables:
        threads = results.costs[name].units.threads
        yield f"{_cipher(results, name)}, unit costs measured just now, {threads} threads a party"
    yield (
        f"fluctuating: probability {PROBABILITY:g}, {_drawn(GRANULARITY)}; theirs: Epsilon, its "
        "setting is not told, the rest of their shares is a constant for all else"
    )


def _times(results: Results) -> Iterator[list[str] | str]:
    yield [
        "relative to B0 on a clean network", *(f"p = {p:g}" for p in network.PROBABILITIES[1:]),
        f"saving at {PROBABILITY:g}", "fresh rounds of each host", "least", "oldest", "AUC lost",
        "worst", "theirs",
    ]  # fmt: skip
    for granularity in network.GRANULARITIES:
        yield ""
        yield _drawn(granularity)
        for policy in TIMED:
            found = [results.times[granularity, p, policy] for p in network.PROBABILITIES[1:]]
            last = found[-1]
            lost = results.losses.get((granularity, PROBABILITY, policy))
            yield [
                f"  {policy}", *(f"{timed.relative:.2f}" for timed in found),
                f"{last.saving:.1%}", " ".join(f"{share:.0%}" for share in last.fresh),
                f"{last.least_fresh:.0%}", str(last.oldest),
                *((f"{fmean(lost):+.4f}", f"{max(lost):+.4f}") if lost else ("", "")),
                _theirs(policy),
            ]  # fmt: skip
    seeds = len(results.times[GRANULARITY, PROBABILITY, "B0"].seconds)
    yield ""
    yield (
        f"means over {seeds} seeds, {results.passes} passes; message sizes of "
        f"{_cipher(results, results.cipher)}; work takes no time"
    )
    yield (
        "saving: 1 - time / that of B0 on the same draws; least: of any host in any run; oldest: "
        "in passes; AUC lost: to the clean run after the last pass, over "
        + ", ".join(f"{_replayed(results, policy)} runs of {policy}" for policy in TIMED[1:])
    )
    yield f"theirs: p = 0.25 and 0.5, MIMIC-III, {published.SAVING:.2%} saved by B2 at 0.5"


def _replayed(results: Results, policy: str) -> int:
    return len(results.losses[GRANULARITY, PROBABILITY, policy])


def _theirs(policy: str) -> str:
    backups = policy[1:2]
    if not backups.isdigit():
        return ""
    return " / ".join(f"{published.RELATIVE[p, int(backups)]:.2f}" for p in (0.25, 0.5))


def _curves(results: Results, name: str) -> Iterator[list[str] | str]:
    runs, data = results.curves[name], results.data[name]
    passes = [p for p in published.PASSES if p <= results.passes]
    yield [
        "after pass", *map(str, passes), "from clean, mean of passes", "columns",
        "products by B0's", "theirs",
    ]  # fmt: skip
    clean = runs["B0"]
    for title, run in runs.items():
        theirs = published.AUC.get(name, {}).get(title, ())
        yield [
            f"  {title}", *(f"{run.auc[p - 1]:.4f}" for p in passes),
            f"{wandering(run, clean):.4f}", f"{sum(run.columns)}",
            f"{run.products / clean.products:.3f}",
            " ".join(f"{auc:.3f}" for auc in theirs[: len(passes)]),
        ]  # fmt: skip
    shape, ceiling = data.shape, data.ceiling
    yield ""
    yield (
        f"{'stand-in' if ceiling else name}: {shape.rows:,} rows, columns "
        f"{' + '.join(map(str, shape.widths))}, batches of {max(shape.batches):,}, "
        f"{data.label.clip(0).mean():.1%} positive; {len(data.positive):,} rows held out"
        + (f", where no score reaches more than {ceiling:.4f}" if ceiling else "")
    )
    yield (
        f"backups and ours: probability {PROBABILITY:g}, {_drawn(GRANULARITY)}, first seed; PCA: "
        "B0; products: of a number with a ciphertext, counted; RMSProp at 0.05 / sqrt(1 + pass), "
        "the default decay of FATE 1.x, and a ridge of 0.001"
    )


def _table_1(results: Results, cipher: str) -> Iterator[list[str] | str]:
    columns = results.tables[cipher]
    yield ["", *columns, "theirs: " + ", ".join(published.MINUTES)]
    theirs = list(zip(*published.MINUTES.values(), strict=True))
    computing = [p.computation + p.encryption for p in columns.values()]
    moving = [p.communication for p in columns.values()]
    both = [p.total for p in columns.values()]
    sums = [a + b for a, b in zip(*theirs, strict=True)]
    for title, ours, paper in (
        ("computation", computing, theirs[0]), ("communication", moving, theirs[1]),
        ("sum", both, sums),
    ):  # fmt: skip
        numbers = " / ".join(f"{minutes:.1f}" for minutes in paper)
        yield [f"  {title}", *(number(seconds / 60) for seconds in ours), numbers]
    saved = " / ".join(f"{1 - minutes / sums[0]:.1%}" for minutes in sums)
    yield ["  saved", *(f"{1 - seconds / both[0]:.1%}" for seconds in both), saved]
    yield ""
    yield (
        f"backup: two; PCA: to 60 % of the columns; probability {PROBABILITY:g}, "
        f"{_drawn(GRANULARITY)}; computation: products, encryption and decryption"
    )


def _claims(results: Results) -> Iterator[list[str] | str]:
    for claim in claims(results):
        yield [f"  {claim.text}", claim.measured, "holds" if claim.holds else "DOES NOT HOLD"]
