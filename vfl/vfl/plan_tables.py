"""`vfl plan` as terminal tables, and the line before a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.rule import Rule
from rich.text import Text

from vfl import wording
from vfl.planner.forecast import KINDS, Forecast, PartyForecast
from vfl.tables import STAGES, bullets, new_table, sections, stacked

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vfl.planner.plan import Plan
    from vfl.spec import JobSpec


def expectation(job: JobSpec, forecast: Forecast) -> str:
    """One line: the cipher, and what the run will roughly take."""
    seconds = max(1, round(forecast.total_s))
    time = f"{seconds} s" if seconds < 100 else wording.duration(seconds)
    cipher = _cipher(forecast, auto=job.asked.scheme == "auto")
    return f"{cipher}; roughly {time} and {wording.size(forecast.bytes)} if all epochs are trained"


def plan_summary(plan: Plan) -> RenderableType:
    """Cipher, sizes, seconds, bytes and memory by party, other ciphers, warnings."""
    body = sections()
    body.add_row("cipher", Text(_cipher(plan.forecast, auto=plan.chosen_by == "auto")))
    body.add_row("sizes", Text(_sizes(plan)))
    body.add_row("security", _security(plan))
    body.add_row()
    body.add_row("time", _times(plan))
    body.add_row()
    body.add_row("bytes", _bytes(plan.forecast))
    body.add_row()
    body.add_row("memory", _memory(plan.forecast))
    body.add_row()
    body.add_row("ciphers", _ciphers(plan))
    body.add_row()
    if plan.warnings:
        texts = [one.text for one in plan.warnings]
        body.add_row(Text("warnings", style="bold yellow"), bullets(texts))
    else:
        body.add_row("warnings", Text("none", style="green"))
    body.add_row("assumed", bullets(plan.assumed))
    body.add_row("measured", Text(_measured(plan), style="dim"))
    return Group(Rule(Text(f"plan {plan.job}", style="bold"), style="cyan"), body)


def _cipher(forecast: Forecast, *, auto: bool) -> str:
    name = wording.CIPHERS[forecast.cipher]
    if not forecast.security_bits:
        return f"{name}: protects nothing"
    chosen = "; chosen by auto" if auto else ""
    return f"{name}, {forecast.parameters}, {forecast.security_bits}-bit security{chosen}"


def _sizes(plan: Plan) -> str:
    batches = "" if plan.batches == 1 else f" in {plan.batches} batches"
    tables = "; ".join(
        f"{name} {plan.rows[name]:,} x {columns}" for name, columns in plan.columns.items()
    )
    return (
        f"{plan.train:,} rows to train on{batches}, {plan.held_out:,} held out "
        f"(rows x columns: {tables})"
    )


def _security(plan: Plan) -> RenderableType:
    """What the level shows to whom while it trains."""
    table = new_table(plan.security, "learns in training")
    table.columns[1].justify = "left"
    for role, found in plan.learns.items():
        names = ", ".join(p.name for p in plan.forecast.parties if p.role == role)
        for place, what in enumerate(found or ["nothing"]):
            table.add_row("" if place else Text.assemble(names, (f" {role}", "dim")), Text(what))
    return table


def _named(party: PartyForecast) -> Text:
    return Text.assemble(party.name, (f" {party.role}", "dim"))


def _times(plan: Plan) -> RenderableType:
    forecast = plan.forecast
    table = new_table("seconds", *STAGES)
    table.add_column("")
    longest = max(forecast.total_s, 1e-9)
    for column, (colour, _) in zip(table.columns[1:-1], STAGES.values(), strict=True):
        column.header_style = colour
    for party in forecast.parties:
        own = {stage: party.seconds.get(stage, 0.0) for stage in STAGES}
        table.add_row(
            _named(party),
            *(f"{s:.2f}" if s < 100 else f"{s:,.0f}" for s in own.values()),
            stacked(own, longest),
        )
    start = f"; before that about {plan.start_s:.0f} s until Ray is up" if plan.start_s else ""
    where = (
        "all parties on this machine"
        if plan.one_machine
        else f"each party on a machine like this one, {plan.link_bits / 1e6:g} Mbit/s and "
        f"{plan.latency_s * 1e3:g} ms between them"
    )
    return Group(
        table,
        Text(
            f"{wording.duration(forecast.total_s)} from start to end{start}; keys and training "
            f"{wording.duration(forecast.training_s)}, {_epochs(plan)}, each "
            f"{wording.duration(forecast.epoch_s)} and {wording.size(forecast.epoch_bytes)}; "
            f"{where}"
        ),
    )


def _epochs(plan: Plan) -> str:
    forecast = plan.forecast
    name = "epoch" if plan.security in ("arbiter", "open") else "round"
    most = "" if plan.security == "sealed" else "at most "  # sealed ones are all taken
    count = f"{most}{forecast.epochs} {name}{'' if forecast.epochs == 1 else 's'}"
    return count if forecast.fits == 1 else f"{forecast.fits} fits of {count}"


def _bytes(forecast: Forecast) -> RenderableType:
    table = new_table("", "", *KINDS.values(), "in all")
    table.columns[1].justify = "left"
    for party in forecast.parties:
        for way, sizes in (("sends", party.sent), ("receives", party.received)):
            grouped = Counter[str]()
            for kind, size in sizes.items():
                grouped[_group(kind)] += size
            table.add_row(
                party.name if way == "sends" else "", way,
                *(wording.size(grouped[group]) if grouped[group] else "" for group in KINDS),
                wording.size(sum(sizes.values())),
            )  # fmt: skip
    rest = forecast.bytes - forecast.key_bytes
    return Group(
        table,
        Text(
            f"{wording.size(forecast.bytes)} over all borders: {wording.size(forecast.key_bytes)} "
            f"of public keys, {wording.size(rest)} of all else"
        ),
    )


_KEYS: Final = ("train.key", "shared.key", "sealed.key", "open.key")
_GROUPS: Final = {"align": "align", "score": "score"}


def _group(kind: str) -> str:
    return _GROUPS.get(kind.partition(".")[0], "train") if kind not in _KEYS else "key"


def _memory(forecast: Forecast) -> RenderableType:
    parts = ("table", "matrix", "tiles", "ciphertexts", "keys", "peak")
    table = new_table("", *parts)
    for party in forecast.parties:
        sizes = (party.memory.get(part, 0) for part in parts)
        table.add_row(party.name, *(wording.size(size) if size else "" for size in sizes))
    return Group(table, Text("beside some 300 MiB of the program itself"))


def _ciphers(plan: Plan) -> RenderableType:
    table = new_table("", "keys and training", "each", "bytes", "security", "")
    table.columns[-1].justify = "left"
    for name, found in {plan.forecast.cipher: plan.forecast, **plan.others}.items():
        if isinstance(found, str):
            table.add_row(name, "", "", "", "", "cannot do this job")
            continue
        note = ""
        if name == plan.forecast.cipher:
            note = "chosen by auto" if plan.chosen_by == "auto" else "asked for"
        elif found.training_s > 0 and plan.forecast.training_s > 0:
            ratio = found.training_s / plan.forecast.training_s
            note = f"{ratio:,.0f}x as long" if ratio >= 10 else f"{ratio:.2g}x as long"
            if ratio < 0.1:
                note = f"{1 / ratio:,.0f}x as fast"
        table.add_row(
            name, wording.duration(found.training_s), wording.duration(found.epoch_s),
            wording.size(found.bytes),
            f"{found.security_bits} bit" if found.security_bits else "none", note,
        )  # fmt: skip
    return table


def _measured(plan: Plan) -> str:
    rest = f"; stated, not measured: {wording.listed(plan.stated)}" if plan.stated else ""
    return (
        f"unit costs of this machine in {wording.duration(plan.probe_s)}, {plan.threads} "
        f"threads{rest}"
    )
