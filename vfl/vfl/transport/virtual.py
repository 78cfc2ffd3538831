"""All parties on one event loop in virtual time, over links on a model: experiments on stragglers.

    network = VirtualNetwork(names, connector(LinkModel(10e6, 0.02), seed=1))
    finished = launch(take_part, assignments, on_event, network=network)

A frame takes the time of its link, a piece of work that of the compute model, and everything else
none. With `UnitCosts` two runs from one seed are the same event for event (`network.log`).
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, NamedTuple, ParamSpec, TypeVar

from vfl.errors import PartyLostError
from vfl.transport.base import Transport
from vfl.transport.clock import VirtualLoop
from vfl.transport.inprocess import as_coroutine, run_apart
from vfl_scheduler import measured

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from vfl.context import Event
    from vfl.messages import Array
    from vfl_scheduler import Link

    ComputeModel = Callable[[str, str, str, float], float]

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class Entry(NamedTuple):
    """One thing that happened. `party` sent, received, computed, crashed or returned."""

    at_s: float
    what: Literal["sent", "received", "lost", "computed", "crashed", "returned"]
    party: str
    other: str = ""  # the peer; what was computed
    nbytes: int = 0
    round: int = 0


@dataclass(frozen=True)
class Crash:
    """`party` stops at `at_s` and forgets everything; at `back_s`, if ever, its machine is back."""

    party: str
    at_s: float
    back_s: float = math.inf

    def __post_init__(self) -> None:
        if not 0.0 <= self.at_s < self.back_s:
            raise ValueError(f"a crash of {self.party} from {self.at_s} s to {self.back_s} s")


class VirtualNetwork:
    """The ends of all parties, the links between them, and what happened. For one run.

    `connect(sender, receiver)` makes a link, at the first frame of that pair.
    `compute(party, stage, work, measured_s)`: seconds that a piece of work takes a party.
    `round`: the index under which links draw; whoever runs an experiment sets it, for a whole job
    from its events of progress.
    """

    def __init__(
        self,
        names: Iterable[str],
        connect: Callable[[str, str], Link],
        *,
        compute: ComputeModel = measured,
        crashes: Iterable[Crash] = (),
    ) -> None:
        self.ends = {name: VirtualEnd(name, self) for name in names}
        self.crashes = sorted(crashes, key=lambda crash: crash.at_s)
        self.compute = compute
        self.round = 0
        self.log: list[Entry] = []
        self._connect = connect
        self._links: dict[tuple[str, str], Link] = {}
        for crash in self.crashes:
            if crash.party not in self.ends:
                raise ValueError(f"{crash.party}, which is to crash, has no end in this network")

    def link(self, sender: str, receiver: str) -> Link:
        pair = sender, receiver
        if pair not in self._links:
            self._links[pair] = self._connect(sender, receiver)
        return self._links[pair]

    def note(self, what: Literal["sent", "received", "lost"], frame: _Frame) -> None:
        """Log what became of a frame, from the side of its sender or its receiver."""
        party, other = frame.sender, frame.receiver
        if what == "received":
            party, other = other, party
        at = asyncio.get_running_loop().time()
        self.log.append(Entry(at, what, party, other, frame.body.nbytes, frame.round))


@dataclass(frozen=True, eq=False)
class _Frame:
    """One copy of a frame under way; `arrived` is set when its first copy is held."""

    sender: str
    receiver: str
    body: Array
    round: int
    life: int  # of the sender, when it was sent
    arrived: asyncio.Future[None]


class VirtualEnd(Transport):
    """A party's end: one machine, which does one piece of work at a time.

    What a crashed party had under way is lost. What others send it meanwhile is kept, as by senders
    that try again, and arrives when it is back; until then `send` does not return.
    """

    in_process: ClassVar[bool] = True

    def __init__(self, name: str, network: VirtualNetwork) -> None:
        self.name = name
        self.away = False
        self._life = 0
        self._network = network
        self._inbox: asyncio.Queue[tuple[str, Array]] = asyncio.Queue()
        self._kept: list[_Frame] = []
        self._machine = asyncio.Lock()
        self._closed = False

    async def send(self, to: str, frame: Array) -> None:
        network, loop = self._network, asyncio.get_running_loop()
        if to not in network.ends:
            raise PartyLostError(f"{self.name} cannot reach {to}: it has left the job")
        arrived = loop.create_future()
        sent = _Frame(self.name, to, frame, network.round, self._life, arrived)
        network.note("sent", sent)
        times = network.link(self.name, to).carry(loop.time(), frame.nbytes, network.round)
        for at in times:
            copy = _Frame(self.name, to, frame.copy(), network.round, self._life, arrived)
            loop.call_at(at, network.ends[to].take, copy)
        await arrived

    def take(self, frame: _Frame) -> None:
        """A copy reaches this end."""
        if frame.life != self._network.ends[frame.sender]._life:  # noqa: SLF001  the same class
            self._network.note("lost", frame)
        elif self.away:
            self._kept.append(frame)
        elif not self._closed:
            self._network.note("received", frame)
            self._inbox.put_nowait((frame.sender, frame.body))
            if not frame.arrived.done():
                frame.arrived.set_result(None)
        elif not frame.arrived.done():
            frame.arrived.set_exception(
                PartyLostError(f"{frame.sender} cannot reach {self.name}: it has left the job")
            )

    async def receive(self) -> tuple[str, Array]:
        return await self._inbox.get()

    def wall_s(self) -> float:
        """Virtual seconds: the parties share the loop's clock."""
        return asyncio.get_running_loop().time()

    async def close(self) -> None:
        self._closed = not self.away  # who crashes does not take leave

    async def compute(
        self, stage: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do the work at once, when this machine is free; it is busy for as long as that takes.

        What is measured is the time on the clock, with all threads that a kernel uses: nothing else
        of the job runs meanwhile.
        """
        network, label = self._network, getattr(work, "__qualname__", type(work).__qualname__)
        async with self._machine:
            begin = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                took = network.compute(self.name, stage, label, time.perf_counter() - begin)
                await asyncio.sleep(took)
                at = asyncio.get_running_loop().time()
                network.log.append(Entry(at, "computed", self.name, label, round=network.round))

    def crash(self) -> None:
        """Stop: what it holds and what it sends is gone."""
        self.away = True
        self._life += 1
        self._inbox = asyncio.Queue()
        self._machine = asyncio.Lock()
        at = asyncio.get_running_loop().time()
        self._network.log.append(Entry(at, "crashed", self.name))

    def come_back(self) -> None:
        """Start again, empty, with what was sent in the meantime."""
        self.away = False
        at = asyncio.get_running_loop().time()
        self._network.log.append(Entry(at, "returned", self.name))
        kept, self._kept = self._kept, []
        for frame in kept:
            self.take(frame)


@dataclass(frozen=True)
class Finished(Generic[R]):
    """Results of those who came to their end, and when the last one did, in virtual seconds."""

    results: dict[str, R]
    end_s: float


def launch(
    program: Callable[[A, Transport, Callable[[Event], None]], Awaitable[R]],
    assignments: Mapping[str, A],
    on_event: Callable[[Event], None],
    *,
    network: VirtualNetwork,
    on_return: Callable[[str], A] | None = None,
) -> Finished[R]:
    """Run `program` once a party in virtual time, with the crashes of the network.

    A party whose machine comes back begins again with the assignment `on_return(party)`; without
    that, or if it never comes back, it has no result. The first error of any party ends all of them
    and is raised.

    Raises `ValueError` for a party without an end in the network.
    """
    for name in assignments:
        if name not in network.ends:
            raise ValueError(f"{name} has no end in this network")

    async def live(name: str, results: dict[str, R]) -> None:
        """One party, from crash to crash."""
        loop, end, assignment = asyncio.get_running_loop(), network.ends[name], assignments[name]
        for crash in [*(crash for crash in network.crashes if crash.party == name), None]:
            part = loop.create_task(as_coroutine(program(assignment, end, on_event)), name=name)
            strike = loop.call_at(crash.at_s, _strike, end, part) if crash else None
            try:
                results[name] = await part
            except asyncio.CancelledError:
                own = asyncio.current_task()
                if crash is None or not end.away or (own and own.cancelling()):
                    raise
            else:
                return
            finally:
                if strike:
                    strike.cancel()
            if on_return is None or crash.back_s == math.inf:
                return
            await asyncio.sleep(crash.back_s - loop.time())
            end.come_back()
            assignment = on_return(name)

    async def everyone() -> Finished[R]:
        results: dict[str, R] = {}
        async with asyncio.TaskGroup() as group:
            for name in assignments:
                group.create_task(live(name, results))
        ordered = {name: results[name] for name in assignments if name in results}
        return Finished(ordered, asyncio.get_running_loop().time())

    return run_apart(everyone, VirtualLoop)


def _strike(end: VirtualEnd, part: asyncio.Task[R]) -> None:
    end.crash()
    part.cancel()
