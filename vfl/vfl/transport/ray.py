"""One Ray actor a party: on a laptop, and in a cluster with each party on its own node.

A party's data are read, its key is made and its weights live inside its actor; the driver gets
events and results. A frame crosses Ray as one uint8 array, the very bytes of `vfl_crypto.wire`.
Ray itself pickles calls and trusts every process in the cluster, so one Ray cluster is one trust
domain, and a run says so.

A dead actor is not restarted: its state is gone with its process. It is in the party's checkpoints,
from which another launch of all parties continues.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import vfl
from vfl.context import Event
from vfl.errors import (
    DeadlineError,
    MissingExtraError,
    PartyLostError,
    PlacementError,
    VflError,
    error_from_name,
)
from vfl.transport.base import Transport

try:
    import ray
    from ray.exceptions import AuthenticationError, RayActorError, RayError
except ImportError as missing:
    raise MissingExtraError(
        "this needs Ray: pip install 'vfl[ray]', or set transport: inprocess"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from vfl.messages import Array

A = TypeVar("A")
R = TypeVar("R")

START_S = 60.0  # for all actors to be up; a worker imports numpy and Ray, on two cores four do
INSTALL_S = 600.0  # the same where a node installs the job's packages first
NOTICE_S = 10.0  # how often a start that takes long is reported
POLL_S = 0.5  # how often a party's events reach the driver
ANSWER_S = 5.0  # within which a running cluster takes a connection
SETTLE_S = 2.0  # how long an error waits for the one that caused it
_TRUST = (
    "all parties run in one Ray cluster, which is one trust domain: who controls the cluster or "
    "a node can read what runs there"
)


class RayTransport(Transport):
    """A party's end inside its actor; `peers` are the handles of the other parties' actors."""

    def __init__(self, name: str, peers: Mapping[str, Any]) -> None:
        self._name = name
        self._peers = peers
        self._inbox: asyncio.Queue[tuple[str, Array]] = asyncio.Queue()
        self._closed = False

    def accept(self, sender: str, frame: Array) -> bool:
        """Take a frame that a peer delivers; False once this end is closed."""
        if not self._closed:
            self._inbox.put_nowait((sender, frame))
        return not self._closed

    async def send(self, to: str, frame: Array) -> None:
        peer = self._peers.get(to)
        try:
            accepted = peer is not None and await peer.deliver.remote(self._name, frame)
        except RayError as error:
            raise PartyLostError(
                f"{self._name} cannot reach {to}: {_reason(error)}. Look at that party's node, "
                "then run again with --resume"
            ) from error
        if not accepted:
            raise PartyLostError(f"{self._name} cannot reach {to}: it has left the job")

    async def receive(self) -> tuple[str, Array]:
        return await self._inbox.get()

    async def close(self) -> None:
        self._closed = True


class PartyActor:
    """What runs in a party's process. Being asynchronous, it takes frames while it computes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._peers: dict[str, Any] = {}
        self._end = RayTransport(name, self._peers)
        self._events: deque[Event] = deque()

    async def connect(self, peers: Mapping[str, Any]) -> str:
        """Learn the handles of all actors; answers with the version of `vfl` on this node."""
        self._peers.update(peers)
        return vfl.__version__

    async def deliver(self, sender: str, frame: Array) -> bool:
        return self._end.accept(sender, frame)

    async def events(self, pause_s: float) -> list[Event]:
        """What was reported since the last call, after `pause_s` in which more may come."""
        await asyncio.sleep(pause_s)
        return [self._events.popleft() for _ in range(len(self._events))]

    async def run(
        self,
        program: Callable[[A, Transport, Callable[[Event], None]], Awaitable[R]],
        assignment: A,
    ) -> tuple[str, R | str]:
        """("", result), or the class name and text of an error, so that no exception is pickled."""
        try:
            return "", await program(assignment, self._end, self._events.append)
        except VflError as error:
            return type(error).__name__, str(error)
        except Exception as error:  # noqa: BLE001  told to the driver, which raises it
            traceback.print_exc(file=sys.stderr)  # into this party's own Ray log
            kind = type(error).__name__  # its text may quote a value
            return kind, f"{self._name} failed with {kind}; see that party's Ray log"


def launch(
    program: Callable[[A, Transport, Callable[[Event], None]], Awaitable[R]],
    assignments: Mapping[str, A],
    on_event: Callable[[Event], None],
    placements: Mapping[str, Mapping[str, str]],
    *,
    arbiter: str | None,
    spare: Collection[str] = (),
    given_up: Callable[[R], Collection[str]] = lambda _: (),
) -> dict[str, R]:
    """Run `program` once a party, each in its own actor, and return their results.

    `spare` are parties whose loss does not end the job: the others notice it themselves. A result
    that tells of parties `given_up` is one that needs no result of these.

    `placements` are the Ray node labels each party asks for. An arbiter without one goes to the
    head node. Connects to the cluster of RAY_ADDRESS, of the job it runs in, or to one started on
    this machine; without any it starts a local one, which ends with this process.

    Raises `PlacementError` when a party cannot start, `PartyLostError` naming a party that died,
    otherwise the error that stopped the first party. Whatever happens, no actor is left.
    """
    _connect()
    on_event(Event("driver", "note", _TRUST))
    for name in assignments:
        _check_placement(name, placements.get(name, {}))
    actors: dict[str, Any] = {}
    try:
        for name in assignments:
            labels = dict(placements.get(name, {}))
            # A party mostly waits, so it reserves no core: four of them run on a laptop with two.
            actors[name] = (
                ray.remote(PartyActor)
                .options(
                    num_cpus=0,
                    max_restarts=0,
                    max_task_retries=0,
                    label_selector=labels or None,
                    resources={"node:__internal_head__": 0.001}
                    if name == arbiter and not labels
                    else None,
                )
                .remote(name)
            )
        _await_start(actors, on_event)
        runs = {actors[n].run.remote(program, task): n for n, task in assignments.items()}
        return _follow(runs, actors, on_event, spare, given_up)
    finally:
        for actor in actors.values():
            ray.kill(actor)


def jobs(address: str) -> Any:
    """A `ray.job_submission.JobSubmissionClient` of the cluster at http://HEAD:8265.

    Raises `PlacementError` when it cannot be reached, or wants a token it was not given.
    """
    from ray.job_submission import JobSubmissionClient

    for variable in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        if os.environ.get(variable, address) != address:
            raise PlacementError(
                f"{variable} is set to {os.environ[variable]!r}, which Ray would use instead of "
                f"{address!r}; unset it, or give that address"
            )
    if not address.startswith(("http://", "https://")):
        raise PlacementError(f"{address!r} is no address of a cluster; write http://HEAD:8265")
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise PlacementError(
            f"{address} refuses us without its token: export RAY_AUTH_MODE=token and its "
            "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH), then submit again"
        ) from error
    except (OSError, RuntimeError) as error:
        raise PlacementError(
            f"cannot reach the Ray jobs server at {address}: {_reason(error)}. Check the address "
            "and that the head node runs with its dashboard"
        ) from error


def _connect() -> None:
    if ray.is_initialized():
        return
    _refuse_dead_cluster()
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = os.environ.get("RAY_ADDRESS", "this machine's Ray cluster")
        raise PlacementError(
            f"cannot connect to {where}: {_reason(error)}. Check RAY_ADDRESS, and for a cluster "
            "with tokens export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN; or set transport: inprocess"
        ) from error


def _refuse_dead_cluster() -> None:
    """Ray joins the cluster that was started last, and waits for ten minutes if it is gone."""
    folder = Path(os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108  where Ray puts it
    place = folder / "ray" / "ray_current_cluster"
    if "RAY_ADDRESS" in os.environ or not place.is_file():
        return
    address = place.read_text().strip()
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise PlacementError(
            f"the Ray cluster that was started last, {address}, does not answer ({error}): stop "
            f"what is left of it with `ray stop --force`, or remove {place}"
        ) from error


def _check_placement(party: str, wanted: Mapping[str, str]) -> None:
    nodes = [node["Labels"] for node in ray.nodes() if node["Alive"]]
    if any(wanted.items() <= labels.items() for labels in nodes):
        return
    known = {f"{k}={v}" for labels in nodes for k, v in labels.items() if "ray.io/" not in k}
    asked = [f"{key}={value}" for key, value in wanted.items()]
    missing = [label for label in asked if label not in known]
    raise PlacementError(
        f"{party} is to run on a node labelled {', '.join(asked)}, and no node carries "
        f"{', '.join(missing) or 'all of them'}; labels in this cluster: "
        f"{', '.join(sorted(known)) or 'none'}. Start that node with "
        f"`ray start --labels {','.join(asked)}`, or correct placement: of {party}"
    )


def _await_start(actors: Mapping[str, Any], on_event: Callable[[Event], None]) -> None:
    """Wait until every actor knows the others and has our version. Raises `PlacementError`."""
    begin = time.monotonic()
    limit = INSTALL_S if ray.get_runtime_context().runtime_env.get("pip") else START_S
    answers = {actor.connect.remote(actors): name for name, actor in actors.items()}
    while answers:
        waited = time.monotonic() - begin
        late = " and ".join(sorted(answers.values()))
        if waited >= limit:
            raise PlacementError(
                f"{late} did not start within {limit:.0f} s. Look at `ray status` and the logs of "
                "the node, then run again"
            )
        ready, _ = ray.wait(list(answers), timeout=min(NOTICE_S, limit - waited))
        if not ready:
            on_event(Event("driver", "waiting", f"waiting for {late} to start"))
        for answer in ready:
            _check_start(answers.pop(answer), answer)


def _check_start(party: str, answer: Any) -> None:
    try:
        version = ray.get(answer)
    except RayError as error:
        raise PlacementError(
            f"{party} cannot start on its node: {_reason(error)}. Check that vfl "
            f"{vfl.__version__} is installed there"
        ) from error
    if version != vfl.__version__:
        raise PlacementError(
            f"{party}'s node has vfl {version}, the driver {vfl.__version__}; "
            "install the same version on both"
        )


def _follow(
    runs: dict[Any, str],
    actors: Mapping[str, Any],
    on_event: Callable[[Event], None],
    spare: Collection[str],
    given_up: Callable[[Any], Collection[str]],
) -> dict[str, Any]:
    """Pass events on until all runs are done; raise the error behind the first that failed.

    A party that misses another one fails too, perhaps before the other's error is here. So such an
    error is held for `SETTLE_S`, in which the death or the error that caused it replaces it. What
    ends a `spare` party is told; it is raised if the others cannot go on.
    """
    feeds = {actor.events.remote(POLL_S): actor for actor in actors.values()}
    results: dict[str, Any] = {}
    lost: dict[str, VflError] = {}
    waived: set[str] = set()
    held: VflError | None = None
    until = float("inf")
    while runs and time.monotonic() < until:
        ready, _ = ray.wait([*runs, *feeds], timeout=POLL_S)
        for ref in ready:
            if ref in feeds:
                actor = feeds.pop(ref)
                if _pass_on(ref, on_event):
                    feeds[actor.events.remote(POLL_S)] = actor
                continue
            party = runs.pop(ref)
            told = _outcome(party, ref, results)
            if told is None:
                waived.update(given_up(results[party]))
            elif not isinstance(told, (PartyLostError, DeadlineError)):
                raise told
            elif isinstance(told, PartyLostError) and told.died:
                if party not in spare:
                    raise told
                lost[party] = told
                on_event(Event("driver", "note", f"{told}. The others go on if they can"))
            elif held is None:
                held, until = told, time.monotonic() + SETTLE_S
        if waived.issuperset(runs.values()):
            until = min(until, time.monotonic() + SETTLE_S)
    if held:
        raise next(iter(lost.values()), held) from held
    for actor in actors.values():
        _pass_on(actor.events.remote(0.0), on_event)
    return {party: results[party] for party in actors if party in results}


def _outcome(party: str, run: Any, results: dict[str, Any]) -> VflError | None:
    """File the result of a run that is over, or return the error that ended it."""
    try:
        failed, outcome = ray.get(run)
    except RayActorError as error:
        return PartyLostError(
            f"{party} died: {_reason(error)}. Look at its node and its Ray log, "
            "then run again with --resume", died=party,
        )  # fmt: skip
    except RayError as error:  # its node cannot read what it was sent
        return VflError(f"{party} could not begin: {_reason(error)}")
    if failed:
        return error_from_name(failed, outcome)
    results[party] = outcome
    return None


def _pass_on(feed: Any, on_event: Callable[[Event], None]) -> bool:
    """Forward a batch of events; False if the party died, which its run tells more about."""
    try:
        events = ray.get(feed)
    except RayError:
        return False
    for event in events:
        on_event(event)
    return True


def _reason(error: Exception) -> str:
    """The line of Ray's long texts that says what happened, without its guesses why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if " because " in line or "Error: " in line]
    line = (telling or lines or [type(error).__name__])[-1]
    return line.partition(" Some common causes")[0].rstrip(".")
