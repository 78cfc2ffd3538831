"""Jobs of the arbiter level in virtual time, with passive parties on links that slow down."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

import vfl
from vfl import api
from vfl.context import Context
from vfl.protocols.contributions import Contributions
from vfl.transport import inprocess
from vfl.transport.virtual import VirtualNetwork, launch
from vfl_scheduler import Fluctuation, LinkModel, UnitCosts, connector

COSTS = UnitCosts({"read": 0.0, "align": 0.0, "encrypt": 0.001, "compute": 0.001}, {})
PASSIVES = ("p0", "p1", "p2")


@dataclass
class Emulated:
    """A run, every round it gathered (`vfl_scheduler.Ended`), its network, and what was told."""

    run: vfl.Run
    rounds: list
    network: VirtualNetwork
    end_s: float
    events: list = field(default_factory=list)
    contributions: list = field(default_factory=list)
    sent: list = field(default_factory=list)

    def messages(self, kind):
        """(sender, scope, message) of all that were sent of one class."""
        return [(a, scope, m) for a, _, scope, m in self.sent if isinstance(m, kind)]

    @property
    def notes(self) -> str:
        return "\n".join(event.text for event in self.events if event.kind == "note")


def weights(ours):
    """The stored weights of all data parties."""
    paths = (ours.run.folder / name / "model.json" for name in ("bank", *PASSIVES))
    return [msgspec.json.decode(path.read_bytes())["weights"] for path in paths]


def straggling_job(small_job, schedule, *, rows=750, epochs=5, batch_size=150, **options):
    model = vfl.LogisticRegression(
        optimizer="rmsprop", learning_rate=0.05, epochs=epochs, batch_size=batch_size, tolerance=0.0
    )
    options = {"accept_gradient_leak": True} | options
    return small_job(passives=3, rows=rows, model=model, schedule=schedule, **options).job


def emulate(monkeypatch, job, folder, *, p=0.5, seed=1, link=None, crashes=(), resume=False):
    """Run `job`; the links of passive parties are ten times slower with probability `p`."""
    steady = LinkModel(2e6, 0.01)
    hosts = link or LinkModel(2e6, 0.01, Fluctuation(p, 10, "message"))
    connect = {
        model: connector(model, seed=seed, hub="bank") for model in dict.fromkeys((steady, hosts))
    }

    def choose(sender, receiver):
        return connect[hosts if {sender, receiver} & {*PASSIVES} else steady](sender, receiver)

    network = VirtualNetwork([p.name for p in job.parties], choose, compute=COSTS, crashes=crashes)
    found = Emulated(None, [], network, 0.0)
    send = Context.send

    async def sending(self, to, message, *, scope):
        found.sent.append((self.name, to, scope, message))
        await send(self, to, message, scope=scope)

    gather, close = Contributions.gather, Contributions.close

    async def gathering(self, at):
        ended = await gather(self, at)
        found.rounds.append(ended)
        return ended

    async def closing(self):
        found.contributions.append(self)
        return await close(self)

    def launched(program, assignments, on_event):
        def listen(event):
            found.events.append(event)
            on_event(event)

        finished = launch(program, assignments, listen, network=network)
        found.end_s = finished.end_s
        return finished.results

    with monkeypatch.context() as patch:
        patch.setattr(Context, "send", sending)
        patch.setattr(Contributions, "gather", gathering)
        patch.setattr(Contributions, "close", closing)
        patch.setattr(inprocess, "launch", launched)
        found.run = api.run_job(job, folder=folder, resume=resume)
    return found
