"""What a protocol sends and reveals, stated before it runs. Tests, audit, SECURITY.md read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from vfl.messages import Message

Role = Literal["active", "passive", "arbiter"]


@dataclass(frozen=True)
class Flow:
    """Messages of one class that go from one role to another."""

    message: type[Message]
    sender: Role
    receiver: Role


@dataclass(frozen=True)
class Disclosure:
    """Something a role learns. `carried_by` names the message kind, or "" if it is computed."""

    to: Role
    what: str
    carried_by: str = ""


@dataclass(frozen=True)
class Declaration:
    """One protocol's flows and disclosures."""

    protocol: str
    flows: tuple[Flow, ...]
    disclosures: tuple[Disclosure, ...]

    def __post_init__(self) -> None:
        declared = {(d.to, d.carried_by) for d in self.disclosures if d.carried_by}
        flows = {(flow.receiver, flow.message.kind): flow.message for flow in self.flows}
        for (receiver, kind), message in flows.items():
            if "disclosed" in message.protections.values() and (receiver, kind) not in declared:
                raise TypeError(
                    f"{self.protocol}: {kind!r} discloses a value to the {receiver} party that is "
                    "not declared"
                )
        for receiver, kind in declared:
            carrier = flows.get((receiver, kind))
            if carrier is None or "disclosed" not in carrier.protections.values():
                raise TypeError(f"{self.protocol}: no {kind!r} discloses to the {receiver} party")


def allowed(declarations: Iterable[Declaration]) -> dict[tuple[str, str, str], Mapping[str, str]]:
    """(kind, sender role, receiver role) -> protection of each field, over all declarations."""
    return {
        (flow.message.kind, flow.sender, flow.receiver): flow.message.protections
        for declaration in declarations
        for flow in declaration.flows
    }


def as_markdown(declaration: Declaration) -> str:
    """The table of one protocol as SECURITY.md prints it."""
    lines = ["| who learns | what | carried by |", "| --- | --- | --- |"]
    lines += [
        f"| {d.to} | {d.what} | {f'`{d.carried_by}`' if d.carried_by else 'computed'} |"
        for d in declaration.disclosures
    ]
    return "\n".join(lines)
