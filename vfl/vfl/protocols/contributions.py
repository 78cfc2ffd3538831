"""The active party's side of rounds that need not wait for everybody.

One driver for every policy of `vfl_scheduler`: it feeds `Rounds` with what arrives, carries its
decisions out, and sends the newest result to whoever has contributed. Contributions are addressed
by `SCOPE/pass/batch`, with `/again` and a number behind it where their owner encrypted them anew,
and `/local` and a number where a gradient is not the first one on a round's residual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from vfl import context
from vfl.context import now_s
from vfl.errors import ProtocolError
from vfl.messages import Message
from vfl.outbox import Outbox
from vfl_scheduler import Abort, AskMore, At, Drop, Proceed, Reuse, Rounds, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfl.context import Context
    from vfl.stream import Delivery
    from vfl_scheduler import Ended, Policy

M = TypeVar("M", bound=Message)
SCOPE = "train"
AGAIN = "/again/"


def scope_of(at: At, local: int = 0) -> str:
    """Of a round, or of a local step in it; the first step is the round's own."""
    scope = f"{SCOPE}/{at.number}/{at.batch}"
    return f"{scope}/local/{local}" if local else scope


def round_of(scope: str, sender: str) -> At:
    """Raises `ProtocolError` for the scope of no round."""
    head, *place = scope.split("/")[:3]
    if head != SCOPE or len(place) != 2 or not all(part.isdecimal() for part in place):
        raise ProtocolError(f"{sender} sent something for {scope!r}, which is no round")
    return At(int(place[0]), int(place[1]))


class Contributions(Generic[M]):
    """Rounds of one kind of message from all passive parties.

    usable  whether a contribution can still be used; what was encrypted under a key that has been
            replaced cannot, and is counted
    """

    def __init__(
        self, ctx: Context, kind: type[M], policy: Policy, usable: Callable[[M], bool]
    ) -> None:
        self.rounds: Rounds[M] = Rounds(policy, list(ctx.roster.passives))
        self.outdated = 0
        self._ctx = ctx
        self._kind = kind
        self._usable = usable
        self._stream = ctx.stream(kind, from_=ctx.roster.passives)
        may_miss = policy.deadline.on_lost != "abort"
        self._outbox = Outbox(ctx, self._stream.fail, may_miss=may_miss)
        self._newest: tuple[Message, str] | None = None
        self._sent: dict[str, tuple[Message, str]] = {}
        self._came: dict[str, float] = {}  # the newest contribution of each
        self._ended: Ended[M] | None = None  # the round that is being worked on

    async def gather(self, at: At) -> Ended[M]:
        """What the round goes on with. Raises `DeadlineError` naming who is missing."""
        ctx, rounds = self._ctx, self.rounds
        while delivery := self._stream.take():
            self._arrived(delivery)
        begin = now_s()
        self._record(begin)
        rounds.begin(at, begin)
        try:
            while True:
                now = now_s()
                match rounds.tick(now):
                    case Wait(until_s):
                        self._answer()  # late ones get the last result; the next is not near
                        missing = rounds.missing
                        delivery = await self._stream.next(min(until_s, now + context.NOTICE_S))
                        ctx.recorder.span("wait", now, now_s(), missing)
                        if delivery:
                            self._arrived(delivery)
                        elif now_s() < until_s:
                            ctx.waiting(self._kind, rounds.missing, scope_of(at), now - begin)
                    case AskMore(parties):
                        ctx.waiting(self._kind, parties, scope_of(at), now - begin)
                        for party in sorted(parties & self._sent.keys()):
                            self._post(party, *self._sent[party])
                        rounds.ask(parties, now)
                    case Drop(parties):
                        ctx.note(_lost(parties, "training goes on without their columns"))
                        rounds.drop(parties)
                    case Abort(missing):
                        raise ctx.missed(self._kind, missing, scope_of(at), now - begin)
                    case Proceed() | Reuse() as decision:
                        return self._end(decision)
        finally:
            ctx.timings["wait"] += now_s() - begin

    def _end(self, decision: Proceed | Reuse) -> Ended[M]:
        before = set(self.rounds.lost)
        ended = self.rounds.end(decision, now_s())
        if given_up := self.rounds.lost - before:
            self._ctx.note(_lost(given_up, "their last contributions stand in"))
        self._ended = ended
        return ended

    def _record(self, now: float) -> None:
        """The round that was being worked on is over."""
        if self._ended is None:
            return
        one = self._ended
        missing = set(self._ctx.roster.passives) - one.arrived.keys() - one.filled.keys()
        self._ctx.recorder.round(
            one.at, (one.started_s, one.ended_s, now),
            {party: self._came[party] for party in one.arrived}, one.ages, missing,
        )  # fmt: skip
        self._ended = None

    def publish(self, result: Message, at: At) -> None:
        """Send the round's result to everybody who waits for one, without waiting for the links."""
        self._newest = result, scope_of(at)
        self._answer()

    def renew(self) -> None:
        """The key was replaced: what stood in is gone until its owners encrypt it anew."""
        self.rounds.surrogates.clear()

    async def close(self) -> list[str]:
        """Wait for what is being sent. The passive parties that are still there."""
        self._record(now_s())
        await self._outbox.flush()
        if self.outdated:
            self._ctx.note(
                f"{self.outdated} contributions came under a key that had been replaced: not used"
            )
        return [party for party in self.rounds.parties if party not in self.rounds.lost]

    def _arrived(self, delivery: Delivery[M]) -> None:
        sender, message = delivery.sender, delivery.message
        at = round_of(delivery.scope, sender)
        self._came[sender] = delivery.at_s
        if not self._usable(message):
            self.outdated += 1
            self.rounds.refuse(sender, at, delivery.at_s)
        elif AGAIN in delivery.scope:
            self.rounds.renewed(sender, at, message)
        else:
            self.rounds.arrival(sender, at, message, delivery.at_s)

    def _answer(self) -> None:
        if self._newest is None:
            return
        for party in self.rounds.answer(now_s()):
            self._post(party, *self._newest)

    def _post(self, party: str, message: Message, scope: str) -> None:
        self._sent[party] = message, scope
        self._outbox.post([party], message, scope=scope)


def _lost(parties: set[str] | frozenset[str], then: str) -> str:
    return f"{' and '.join(sorted(parties))} did not answer within the deadline: {then}"
