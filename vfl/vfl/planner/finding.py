"""One warning of a plan."""

from __future__ import annotations

import msgspec


class Advice(msgspec.Struct, frozen=True):
    """`about` is a word for programs, `text` says what and what to do.

    `refused`: the job will end with an error.
    """

    about: str
    text: str
    refused: bool = False
