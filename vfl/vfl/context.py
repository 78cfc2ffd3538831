"""What a role coroutine holds: its peers, its mailbox, its clock, its ledger.

    await ctx.send("bank", Scores(values=...), scope="train/3/0")
    message = await ctx.receive(Residual, from_="bank", scope="train/3/0")
    arrived = await ctx.gather(Scores, from_=ctx.roster.passives, scope="train/3/0")
    value = await ctx.compute("encrypt", scheme.encrypt, scores)

A message is addressed by sender, kind and scope, so it can never be mistaken for one of another
step; one that comes early waits in the mailbox, one that comes twice has no effect. Every wait has
a deadline, and says whom it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, cast

import msgspec

from vfl.errors import DeadlineError, ProtocolError, SecurityError
from vfl.messages import Message, pack, unpack
from vfl.stream import Delivery, Stream
from vfl.timeline import Recorder
from vfl_scheduler import Abort, AllArrived, AskMore, Deadline, Gather, Proceed, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from vfl.declaration import Role
    from vfl.ledger import Ledger
    from vfl.messages import Array
    from vfl.transport.base import Transport
    from vfl_crypto.linear import SchemeInfo
    from vfl_scheduler import Decision, OnLost

M = TypeVar("M", bound=Message)
P = ParamSpec("P")
R = TypeVar("R")
Stage = Literal["read", "align", "encrypt", "compute", "wait"]
TRAINING = "training"  # the activity whose steps a timeline marks
NOTICE_S = 10.0  # a wait longer than this is reported while it lasts


class Event(msgspec.Struct, frozen=True):
    """What a party tells whoever watches: progress, a long wait, a remark. Never a value."""

    party: str
    kind: Literal["progress", "waiting", "note"]
    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Roster:
    """Who takes part."""

    active: str
    passives: tuple[str, ...]
    arbiter: str | None = None

    @property
    def data_parties(self) -> tuple[str, ...]:
        return (self.active, *self.passives)

    @property
    def roles(self) -> dict[str, Role]:
        roles: dict[str, Role] = {self.active: "active"}
        roles |= dict.fromkeys(self.passives, "passive")
        if self.arbiter:
            roles[self.arbiter] = "arbiter"
        return roles


@dataclass
class _Mailbox:
    """Messages by (sender, kind, scope): arrived, awaited, and the digests already taken."""

    arrived: dict[tuple[str, str, str], Message] = field(default_factory=dict)
    waiting: dict[tuple[str, str, str], asyncio.Future[Message]] = field(default_factory=dict)
    seen: dict[tuple[str, str, str], str] = field(default_factory=dict)


class Context:
    """One party's view of one job. Use as `async with`: the mailbox runs inside the block."""

    def __init__(
        self,
        name: str,
        roster: Roster,
        transport: Transport,
        ledger: Ledger,
        *,
        job: str,
        declared: Mapping[tuple[str, str, str], Mapping[str, str]],
        deadline_s: float = 300.0,
        on_lost: OnLost = "abort",
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.role = roster.roles[name]
        self.roster = roster
        self._roles = roster.roles
        self.ledger = ledger
        self.deadline_s = deadline_s
        self.in_process = transport.in_process
        self.recorder = Recorder()
        self.timings: dict[Stage, float] = dict.fromkeys(
            ("read", "align", "encrypt", "compute", "wait"), 0.0
        )
        self._job = job
        self._declared = declared
        # Who gathers only from all can fill in nothing: every other answer is to give up.
        self._all = AllArrived(Deadline(deadline_s, "wait" if on_lost == "wait" else "abort"))
        self._streams: dict[tuple[str, str], Stream[Any]] = {}
        self._transport = transport
        self._on_event = on_event
        self._mail = _Mailbox()
        self._heard: dict[str, float] = {}
        self._failure: BaseException | None = None
        self._pump: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.recorder.offset_s = self._transport.wall_s() - now_s()
        self._pump = asyncio.create_task(self._run_pump())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pump:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        await self._transport.close()
        self.ledger.close()

    # sending

    async def send(self, to: str, message: Message, *, scope: str) -> None:
        """Send one message. Raises `SecurityError` if no protocol of the job declared it."""
        route = (message.kind, self.role, self._roles[to])
        if route not in self._declared:
            raise SecurityError(
                f"{self.name} was about to send {message.kind!r} to {to} ({route[2]}), "
                "which no protocol of this job declares; nothing was sent"
            )
        frame, envelope = pack(message, job=self._job, sender=self.name, receiver=to, scope=scope)
        self.ledger.record("sent", envelope, frame.nbytes, frame[-32:].tobytes().hex())
        begin = now_s()
        try:
            while not await self._handed(to, frame):
                waited = now_s() - begin
                text = (
                    f"{self.name} could not hand {message.kind!r} of {scope} to {to} within "
                    f"{waited:.0f} s: {to} does not answer"
                )
                if self._all.deadline.on_lost != "wait":
                    raise DeadlineError(
                        f"{text}. Look at that party's machine and log, then run again with "
                        "--resume"
                    )
                self._on_event(Event(self.name, "waiting", text))
        finally:
            self.recorder.span("send", begin, now_s(), [to])

    async def _handed(self, to: str, frame: Array) -> bool:
        """Whether the receiver took the frame in time. A second copy of it has no effect."""
        try:
            async with asyncio.timeout(self.deadline_s):
                await self._transport.send(to, frame)
        except TimeoutError:
            return False
        return True

    async def broadcast(self, to: Iterable[str], message: Message, *, scope: str) -> None:
        """The same message to several parties."""
        await asyncio.gather(*(self.send(name, message, scope=scope) for name in to))

    def only(self, passives: Iterable[str]) -> None:
        """From here on these are the passive parties; others were lost on the way."""
        present = set(passives)
        here = tuple(name for name in self.roster.passives if name in present)
        self.roster = replace(self.roster, passives=here)

    def know_key(self, info: SchemeInfo) -> None:
        """The ledger names a key's parameters beside what is encrypted under it."""
        self.ledger.know_key(info.key_id, info.parameters, info.security_bits)

    # receiving

    async def receive(self, kind: type[M], *, from_: str, scope: str) -> M:
        """The message of this class, sender and scope. Raises `DeadlineError`, `ProtocolError`."""
        return (await self.gather(kind, from_=(from_,), scope=scope))[from_]

    async def gather(self, kind: type[M], *, from_: Iterable[str], scope: str) -> dict[str, M]:
        """One message of this class from each sender. Raises `DeadlineError`, `ProtocolError`."""
        begin = now_s()
        tasks = {asyncio.ensure_future(self._take(kind.kind, name, scope)): name for name in from_}
        gather = Gather.of(self._all, tasks.values(), begin)
        decision: Decision = gather.start()
        arrived: dict[str, M] = {}
        try:
            while isinstance(decision, Wait | AskMore):
                now = now_s()
                if isinstance(decision, AskMore):
                    decision = gather.ask(decision.parties, now)
                    continue
                pause = min(decision.until_s - now, NOTICE_S)
                pending = [task for task, name in tasks.items() if name not in arrived]
                done, _ = await asyncio.wait(
                    pending, timeout=max(pause, 0.0), return_when=asyncio.FIRST_COMPLETED
                )
                since, now = now, now_s()
                self.recorder.span("wait", since, now, [tasks[task] for task in pending])
                for task in (task for task in pending if task in done):  # a set has no order
                    arrived[tasks[task]] = cast("M", task.result())
                    decision = gather.arrival(tasks[task], now)
                if not done:
                    decision = gather.tick(now)
                    if not isinstance(decision, Abort):
                        self.waiting(kind, gather.state.missing, scope, now - begin)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.timings["wait"] += now_s() - begin
        if isinstance(decision, Abort):
            waited = now_s() - begin
            raise self.missed(kind, decision.missing, scope, waited)
        assert isinstance(decision, Proceed)
        return {name: arrived[name] for name in tasks.values() if name in decision.arrived}

    def stream(self, *kinds: type[M], from_: Iterable[str]) -> Stream[M]:
        """All messages of these classes and senders from now on, whatever their scope."""
        stream: Stream[M] = Stream(kinds, tuple(from_))
        routes = {(sender, kind.kind) for sender in stream.senders for kind in kinds}
        self._streams |= dict.fromkeys(routes, stream)
        for sender, kind, scope in [key for key in self._mail.arrived if key[:2] in routes]:
            message = cast("M", self._mail.arrived.pop((sender, kind, scope)))
            stream.put(Delivery(sender, scope, message, self._heard[sender]))
        if self._failure:
            stream.fail(self._failure)
        return stream

    async def next(
        self, stream: Stream[M], scope: str, missing: Iterable[str] | None = None
    ) -> Delivery[M]:
        """The next message of a stream, for which `scope` waits. Raises `DeadlineError`.

        `missing` are those of its senders whose message is waited for, all if not given. They may
        be waiting themselves, until a deadline of their own: that of this wait is twice as long.
        """
        begin = now_s()
        limit_s = 2 * self.deadline_s
        end = math.inf if self._all.deadline.on_lost == "wait" else begin + limit_s
        missing = frozenset(stream.senders if missing is None else missing)
        while True:
            since = now_s()
            found = await stream.next(min(since + NOTICE_S, end))
            self.recorder.span("wait", since, now_s(), missing)
            waited = now_s() - begin
            if found:
                self.timings["wait"] += waited
                return found
            kind = next(iter(stream.kinds))
            if now_s() >= end:
                raise self.missed(kind, missing, scope, waited, limit_s)
            self.waiting(kind, missing, scope, waited, limit_s)

    def missed(
        self,
        kind: type[Message],
        missing: frozenset[str],
        scope: str,
        waited: float,
        limit_s: float | None = None,
    ) -> DeadlineError:
        """The error of a wait that has reached its deadline."""
        return DeadlineError(
            self._waiting_text(kind, missing, scope, waited, limit_s)
            + "; the deadline is reached. Look at that party's machine and log, "
            "or raise schedule.deadline_s, then run again with --resume"
        )

    def waiting(
        self,
        kind: type[Message],
        missing: frozenset[str],
        scope: str,
        waited: float,
        limit_s: float | None = None,
    ) -> None:
        """Tell whoever watches for whom this party waits."""
        text = self._waiting_text(kind, missing, scope, waited, limit_s)
        self._on_event(Event(self.name, "waiting", text))

    def _waiting_text(
        self,
        kind: type[Message],
        missing: frozenset[str],
        scope: str,
        waited: float,
        limit_s: float | None,
    ) -> str:
        now = now_s()
        heard = ", ".join(
            f"{name} was last heard {now - self._heard[name]:.0f} s ago"
            if name in self._heard
            else f"{name} was never heard"
            for name in sorted(missing)
        )
        names = " and ".join(sorted(missing))
        return (
            f"{self.name} has waited {waited:.0f} s of {limit_s or self.deadline_s:.0f} s for "
            f"{kind.kind!r} from {names} in {scope}; {heard}"
        )

    async def _take(self, kind: str, sender: str, scope: str) -> Message:
        key = (sender, kind, scope)
        if key in self._mail.arrived:
            return self._mail.arrived.pop(key)
        if self._failure:
            raise self._failure
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._mail.waiting[key] = future
        try:
            return await future
        finally:
            self._mail.waiting.pop(key, None)

    async def _run_pump(self) -> None:
        try:
            while True:
                self._deliver(*await self._transport.receive())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._failure = error
            for stream in self._streams.values():
                stream.fail(error)
            for future in list(self._mail.waiting.values()):
                if not future.done():
                    future.set_exception(error)

    def _deliver(self, sender: str, frame: Array) -> None:
        try:
            message, envelope, digest = unpack(frame)
        except ProtocolError as error:
            raise ProtocolError(f"{self.name} got a frame from {sender}: {error}") from error
        if sender not in self._roles or (envelope.sender, envelope.receiver) != (
            sender,
            self.name,
        ):
            raise ProtocolError(
                f"{self.name} got a frame from {sender} that says it goes "
                f"from {envelope.sender!r} to {envelope.receiver!r}"
            )
        self._heard[sender] = now_s()
        if envelope.job != self._job:
            return  # of an earlier attempt at this job
        if (envelope.kind, self._roles[sender], self.role) not in self._declared:
            raise ProtocolError(
                f"{sender} sent {envelope.kind!r} to {self.name}, which no protocol of this job "
                "declares"
            )
        key = (sender, envelope.kind, envelope.scope)
        if key in self._mail.seen:
            if self._mail.seen[key] != digest:
                raise ProtocolError(
                    f"{sender} sent {envelope.kind!r} of {envelope.scope} twice, changed"
                )
            return
        self._mail.seen[key] = digest
        self.ledger.record("received", envelope, frame.nbytes, digest)
        stream = self._streams.get((sender, envelope.kind))
        if stream:
            stream.put(Delivery(sender, envelope.scope, message, self._heard[sender]))
            return
        future = self._mail.waiting.get(key)
        if future and not future.done():
            future.set_result(message)
        else:
            self._mail.arrived[key] = message

    # working

    async def compute(
        self, stage: Stage, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run `work`, booked under `stage`, while messages keep coming in."""
        begin = now_s()
        try:
            return await self._transport.compute(stage, work, *args, **kwargs)
        finally:
            self.timings[stage] += now_s() - begin
            self.recorder.span("compute", begin, now_s(), [stage])

    def progress(self, text: str, done: int, total: int) -> None:
        """Tell whoever watches how far the party is. Callable from any thread."""
        if text == TRAINING and self._loop:
            self.recorder.mark(self._loop.time())
        self._on_event(Event(self.name, "progress", text, done, total))

    def note(self, text: str) -> None:
        self._on_event(Event(self.name, "note", text))


def now_s() -> float:
    """The clock of the loop: the machine's own, or a virtual one."""
    return asyncio.get_running_loop().time()
