"""SECURITY.md prints what the protocols declare, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfl.declaration import as_markdown
from vfl.program import DECLARATIONS

TEXT = (Path(__file__).parent.parent / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda d: d.protocol)
def test_the_table_of_each_protocol_is_in_security_md(declaration):
    assert as_markdown(declaration) in TEXT


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda d: d.protocol)
def test_no_table_lists_more_than_its_protocol_declares(declaration):
    row = f"| {declaration.disclosures[-1].to} | {declaration.disclosures[-1].what} |"
    (line,) = [line for line in TEXT.splitlines() if line.startswith(row)]
    after = TEXT.splitlines()[TEXT.splitlines().index(line) + 1]
    assert not after.startswith("|")
