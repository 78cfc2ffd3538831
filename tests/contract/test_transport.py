"""What every transport promises, claim by claim; each transport is one subclass."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from vfl.errors import PartyLostError
from vfl.transport.base import Transport
from vfl.transport.clock import VirtualLoop
from vfl.transport.inprocess import InProcess
from vfl.transport.virtual import VirtualNetwork
from vfl_crypto import wire
from vfl_scheduler import Fluctuation, LinkModel, connector

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("a", "b", "c")
RNG = np.random.default_rng(3)


def frame(size: int, header: bytes = b"") -> np.ndarray:
    """A frame that carries `size` bytes."""
    return wire.pack(header, [RNG.integers(0, 256, size, dtype=np.uint8)])


class TransportContract:
    """Subclasses give a fixture `ends`: name -> a fresh, connected end."""

    __test__: ClassVar[bool] = False
    in_process: ClassVar[bool]
    run = staticmethod(asyncio.run)

    def test_a_frame_arrives_as_the_very_bytes_with_the_name_of_its_sender(self, ends):
        sent = frame(1000, b"header")

        async def scenario():
            await ends["a"].send("b", sent)
            return await ends["b"].receive()

        sender, received = self.run(scenario())
        assert sender == "a"
        assert (received.dtype, received.ndim) == (np.uint8, 1)
        assert received.tobytes() == sent.tobytes()
        assert wire.unpack(received).digest == wire.unpack(sent).digest

    def test_a_frame_of_eight_megabytes_arrives_whole(self, ends):
        sent = frame(8 << 20)

        async def scenario():
            await ends["a"].send("b", sent)
            return await ends["b"].receive()

        _, received = self.run(scenario())
        assert wire.unpack(received).digest == wire.unpack(sent).digest

    @pytest.mark.parametrize("size", [100, 1 << 20], ids=["small", "large"])
    def test_what_the_sender_does_to_its_array_afterwards_changes_nothing(self, ends, size):
        sent = frame(size)
        before = sent.tobytes()

        async def scenario():
            await ends["a"].send("b", sent)
            sent[:] = 0
            return await ends["b"].receive()

        _, received = self.run(scenario())
        assert received.tobytes() == before

    def test_every_frame_of_every_sender_arrives_once(self, ends):
        expected = {(s, b"%d" % n) for s in "ab" for n in range(30)}

        async def scenario():
            await asyncio.gather(*(ends[s].send("c", frame(8, header)) for s, header in expected))
            return [await ends["c"].receive() for _ in expected]

        arrived = [(sender, wire.unpack(f).header) for sender, f in self.run(scenario())]
        assert len(arrived) == len(expected)
        assert set(arrived) == expected

    def test_a_frame_sent_before_anybody_listens_is_kept(self, ends):
        async def scenario():
            await ends["a"].send("b", frame(8, b"early"))
            await ends["a"].send("c", frame(8, b"elsewhere"))
            return await asyncio.wait_for(ends["b"].receive(), 10)

        assert wire.unpack(self.run(scenario())[1]).header == b"early"

    def test_receive_waits_until_something_comes(self, ends):
        async def scenario():
            waiting = asyncio.ensure_future(ends["b"].receive())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await ends["c"].send("b", frame(8))
            return await asyncio.wait_for(waiting, 10)

        assert self.run(scenario())[0] == "c"

    def test_a_closed_end_is_a_lost_party(self, ends):
        async def scenario():
            await ends["b"].close()
            await ends["a"].send("b", frame(8))

        with pytest.raises(PartyLostError, match="a cannot reach b: it has left the job"):
            self.run(scenario())

    def test_a_name_that_nobody_bears_is_a_lost_party(self, ends):
        with pytest.raises(PartyLostError, match="a cannot reach nobody"):
            self.run(ends["a"].send("nobody", frame(8)))

    def test_work_gives_its_result_or_its_error(self, ends):
        assert self.run(ends["a"].compute("compute", divmod, 7, 2)) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            self.run(ends["a"].compute("compute", divmod, 7, 0))

    def test_it_says_truly_whether_another_process_sees_a_frame(self, ends):
        assert ends["a"].in_process is self.in_process


class TestInProcess(TransportContract):
    __test__ = True
    in_process = True

    @pytest.fixture
    def ends(self) -> Mapping[str, Transport]:
        return InProcess.network(NAMES)


class RemoteEnd(Transport):
    """The end inside an actor, worked from here."""

    def __init__(self, actor) -> None:
        self.actor = actor

    async def send(self, to, frame):
        await self.actor.send.remote(to, frame)

    async def receive(self):
        return await self.actor.receive.remote()

    async def close(self):
        await self.actor.close.remote()


@pytest.fixture(scope="module")
def actors(ray_cluster):
    """One actor a name; c on the second node."""
    import ray

    from vfl.transport.ray import PartyActor, RayTransport

    class Driven(PartyActor):
        """A party whose end is worked by the test."""

        async def renew(self):
            self._end = RayTransport(self._name, self._peers)
            return RayTransport.in_process

        async def send(self, to, frame):
            own = frame.copy()
            try:
                await self._end.send(to, own)
            finally:
                own[:] = 0

        async def receive(self):
            return await self._end.receive()

        async def close(self):
            await self._end.close()

    def start(name):
        labels = {"silo": "b" if name == "c" else "a"}
        return ray.remote(Driven).options(num_cpus=0, label_selector=labels).remote(name)

    actors = {name: start(name) for name in (*NAMES, "doomed")}
    ray.get([a.connect.remote(actors) for a in actors.values()], timeout=60)
    yield actors
    for a in actors.values():
        ray.kill(a)


def run_virtually(coroutine):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


class TestVirtual(TransportContract):
    __test__ = True
    in_process = True
    run = staticmethod(run_virtually)

    @pytest.fixture
    def ends(self) -> Mapping[str, Transport]:
        model = LinkModel(10e6, 0.02, Fluctuation(0.5), loss=0.2, outages=((0.1, 0.3),))
        return VirtualNetwork(NAMES, connector(model, seed=1)).ends


@pytest.mark.ray
class TestRay(TransportContract):
    __test__ = True
    in_process = False

    @pytest.fixture
    def ends(self, actors) -> Mapping[str, Transport]:
        import ray

        working = [actors[name] for name in NAMES]
        assert ray.get([a.renew.remote() for a in working]) == [False] * len(NAMES)
        return {name: RemoteEnd(actors[name]) for name in NAMES}

    def test_a_dead_process_is_a_lost_party_and_says_how_to_go_on(self, actors, ends):
        import ray

        ray.kill(actors["doomed"])
        with pytest.raises(PartyLostError, match=r"a cannot reach doomed: .*--resume"):
            asyncio.run(ends["a"].send("doomed", frame(8)))
