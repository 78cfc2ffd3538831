"""The arbiter: holds the key, sees no data. Needed only while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfl.errors import JobError
from vfl.ledger import read_entries
from vfl.parties import coordinated
from vfl.parties.base import Party
from vfl.protocols import arbiter
from vfl.protocols.arbiter_messages import Gradient

if TYPE_CHECKING:
    from vfl.context import Context
    from vfl.results import PartyResult


class Arbiter(Party):
    """Makes the key inside its own process; it never leaves."""

    async def fit(self, ctx: Context) -> PartyResult:
        fitted = await arbiter.arbiter(ctx, coordinated.training(self, "arbiter"))
        return self.result(
            ctx, epochs=fitted.epochs, converged=fitted.converged, changes=list(fitted.changes),
            opened=self._opened(),
        )  # fmt: skip

    def _opened(self) -> int:
        """Gradient values this run asked the key holder to open, over all attempts."""
        return sum(
            field.count
            for entry in read_entries(self.folder / "ledger.jsonl")
            if entry.direction == "received" and entry.kind == Gradient.kind
            for field in entry.fields
            if field.protection == "encrypted"
        )

    async def predict(self, ctx: Context) -> PartyResult:
        raise JobError(f"{ctx.name} takes no part in prediction")
