"""SECURITY.md prints what the protocols declare, to the letter: `python tests/test_security_md.py`.

A section `### PROTOCOL` for each has two tables, of its messages and of who learns what.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vfl.declaration import Declaration, as_markdown
from vfl.program import DECLARATIONS

TEXT = (Path(__file__).parent.parent / "SECURITY.md").read_text(encoding="utf-8")


def messages(declaration: Declaration) -> str:
    """A row for each class of messages: from whom to whom, and how its fields are protected."""
    lines = ["| message | from | to | fields |", "| --- | --- | --- | --- |"]
    for flow in declaration.flows:
        fields = ", ".join(f"{name} {how}" for name, how in flow.message.protections.items())
        lines.append(f"| `{flow.message.kind}` | {flow.sender} | {flow.receiver} | {fields} |")
    return "\n".join(lines)


def tables(declaration: Declaration) -> str:
    return f"{messages(declaration)}\n\n{as_markdown(declaration)}"


def section(protocol: str) -> str:
    """What stands below its heading. Raises `ValueError` unless there is one."""
    (found,) = re.findall(rf"^### {protocol}\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda d: d.protocol)
def test_both_tables_of_each_protocol_are_in_its_section_and_no_other_row(declaration):
    found = section(declaration.protocol)
    assert tables(declaration) in found
    rows = [line for line in found.splitlines() if line.startswith("|")]
    assert rows == [line for line in tables(declaration).splitlines() if line]


def test_every_section_of_a_protocol_is_of_one_that_exists():
    who = re.search(r"^## Who learns what\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    assert who
    named = re.findall(r"^### (.*)$", who[1], re.MULTILINE)
    assert sorted(named) == sorted(declaration.protocol for declaration in DECLARATIONS)


if __name__ == "__main__":
    print("\n\n".join(f"### {d.protocol}\n{tables(d)}" for d in DECLARATIONS))
