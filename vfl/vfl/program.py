"""One party's whole part in a job, wherever it runs: in this process or inside a Ray actor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vfl.context import Context, Event
from vfl.declaration import allowed
from vfl.errors import (
    CheckpointError,
    DataError,
    DeadlineError,
    PartyLostError,
    ProtocolError,
    SecurityError,
    VflError,
)
from vfl.ledger import Ledger
from vfl.parties.active import ActiveParty
from vfl.parties.arbiter import Arbiter
from vfl.parties.base import Party
from vfl.parties.passive import PassiveParty
from vfl.protocols import (
    alignment_messages,
    arbiter_messages,
    open_messages,
    scoring,
    sealed_messages,
    shared_messages,
)
from vfl.results import PartyResult
from vfl.spec import JobSpec
from vfl.transport.base import Transport
from vfl_crypto import errors as crypto

DECLARATIONS = (
    alignment_messages.DECLARATION, shared_messages.DECLARATION, open_messages.DECLARATION,
    sealed_messages.DECLARATION, arbiter_messages.DECLARATION, scoring.DECLARATION,
)  # fmt: skip
DECLARED = allowed(DECLARATIONS)
_KINDS: dict[str, type[Party]] = {
    "active": ActiveParty, "passive": PassiveParty, "arbiter": Arbiter
}  # fmt: skip


@dataclass(frozen=True)
class Assignment:
    """Who does what: everything a party needs to take part."""

    job: JobSpec
    party: str
    folder: Path
    session: str  # names this attempt, so that messages of another are never taken for its own
    action: Literal["fit", "predict"] = "fit"
    resume: bool = False


async def take_part(
    assignment: Assignment, transport: Transport, on_event: Callable[[Event], None]
) -> PartyResult:
    """Run one party to its end. Raises `VflError`, whatever went wrong underneath.

    A passive party that has lost the others while they may go on without it leaves: its result has
    no model, and says why.
    """
    job = assignment.job
    roster = job.roster
    if job.asked.scheme == "mock" and not transport.in_process:
        raise SecurityError("crypto: mock protects nothing and may not leave one process")
    try:
        assignment.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger = Ledger(roster.roles, assignment.folder / "ledger.jsonl")
    except OSError as error:
        raise CheckpointError(
            f"{assignment.party}: cannot write to its folder {assignment.folder}: {error.strerror}"
        ) from error
    party = _KINDS[roster.roles[assignment.party]](
        job, job.party(assignment.party), assignment.folder, resume=assignment.resume
    )
    context = Context(
        assignment.party, roster, transport, ledger,
        job=assignment.session, declared=DECLARED, deadline_s=job.schedule.deadline_s,
        on_lost=job.schedule.on_lost, on_event=on_event,
    )  # fmt: skip
    async with context:
        try:
            return await (
                party.fit(context) if assignment.action == "fit" else party.predict(context)
            )
        except (DeadlineError, PartyLostError) as error:
            if assignment.action != "fit" or assignment.party not in job.spare:
                raise
            context.note(f"{error}. It leaves the job to the others")
            return party.result(context, notes=[str(error)])
        except crypto.CryptoError as error:
            raise _translate(assignment.party, error, job.cipher.scheme) from error


def _translate(party: str, error: crypto.CryptoError, cipher: str) -> VflError:
    text = f"{party}: {error}"
    if isinstance(error, crypto.EncodingOverflowError):
        narrow = "a smaller model.batch_size, or crypto: paillier, which holds larger values"
        return DataError(
            f"{text}. In a job that is scale: standard for large columns, a lower "
            "model.learning_rate if training diverged"
            + (f"; {narrow}" if cipher == "lattice" else "")
        )
    if isinstance(error, (crypto.WireError, crypto.KeyMismatchError)):
        return ProtocolError(text)
    return SecurityError(text)
