"""Everything a user can be told, in one tree, each with an exit code.

    VflError                      1
    ├── JobError                  2   the job file or the call cannot be carried out as written
    ├── DataError                 3   a party's file: missing, not numeric, NaN without a rule, ...
    ├── AlignmentError            4   repeated ids, no or too little overlap
    ├── SecurityError             5   a guard refused: leak, weak key, undeclared message
    ├── PartyLostError            6   a party died or cannot be reached
    ├── DeadlineError             7   a message did not come in time
    ├── CheckpointError           8   a checkpoint could not be written or read
    ├── PlacementError            9   no node carries a party's label, or Ray cannot be reached
    ├── ProtocolError            10   a peer sent what the protocol does not allow
    └── MissingExtraError        11   an optional package is needed and not installed

A message says what happened, where (party, file, row, key), what was expected and what to do. It
never holds a value of a row or an id of somebody else.
"""

from __future__ import annotations


class VflError(Exception):
    """Root. `exit_code` is what the command line returns."""

    exit_code = 1


class JobError(VflError):
    exit_code = 2


class DataError(VflError):
    exit_code = 3


class AlignmentError(VflError):
    exit_code = 4


class SecurityError(VflError):
    exit_code = 5


class PartyLostError(VflError):
    """`died` names the party whose process has ended, where that is known."""

    exit_code = 6

    def __init__(self, text: str, *, died: str = "") -> None:
        super().__init__(text)
        self.died = died


class DeadlineError(VflError):
    exit_code = 7


class CheckpointError(VflError):
    exit_code = 8


class PlacementError(VflError):
    exit_code = 9


class ProtocolError(VflError):
    exit_code = 10


class MissingExtraError(VflError):
    exit_code = 11


def error_from_name(name: str, text: str) -> VflError:
    """The error of that class name with that text; plain `VflError` for an unknown name."""
    for cls in VflError.__subclasses__():
        if cls.__name__ == name:
            return cls(text)
    return VflError(text)
