"""A Ray cluster of two nodes on this machine, with tokens and the jobs server, and its certain end.

Ray's processes stay in the session of the `ray start` that began them, so the end of a node is the
end of every process in its session, whatever state they are in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Before Ray is imported anywhere: it reads these once. A token of our own keeps the clusters of the
# tests closed to others, and the user's ~/.ray alone.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

BIN = Path(sys.executable).parent
PATIENCE_S = 90.0


@dataclass
class LocalRay:
    """A running cluster: the head is labelled silo=a, the other node silo=b."""

    address: str  # of its control service, HOST:PORT
    jobs: str  # of its jobs server, http://HOST:PORT
    home: Path  # the home folder of its processes


@pytest.fixture(scope="session")
def ray_cluster():
    """The cluster of the test session, with this process connected to it."""
    import ray

    with two_nodes() as cluster:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        try:
            end = time.monotonic() + PATIENCE_S
            while sum(node["Alive"] for node in ray.nodes()) < 2:
                assert time.monotonic() < end, "the second node did not join"
                time.sleep(0.2)
            yield cluster
        finally:
            ray.shutdown()


@contextlib.contextmanager
def two_nodes() -> Iterator[LocalRay]:
    # Ray puts sockets below this folder, whose paths may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="vfl-ray-", dir="/tmp"))
    port, dashboard = _free_port(), _free_port()
    cluster = LocalRay(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", folder / "home")
    cluster.home.mkdir()
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        head = ("--head", f"--port={port}", "--include-dashboard=true", "--labels=silo=a")
        ports = (f"--dashboard-port={dashboard}", f"--ray-client-server-port={_free_port()}")
        nodes.append(_start(folder, "head", *head, *ports, f"--temp-dir={folder}"))
        _wait_for_port(port, nodes[0], folder)
        nodes.append(_start(folder, "other", f"--address={cluster.address}", "--labels=silo=b"))
        _wait_for_port(dashboard, nodes[0], folder)
        yield cluster
    finally:
        for node in reversed(nodes):
            end_session(node)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [
        str(BIN / "ray"), "start", *arguments, "--block", "--node-ip-address=127.0.0.1",
        "--num-cpus=2", "--object-store-memory=200000000", "--disable-usage-stats",
        "--min-worker-port=0", "--max-worker-port=0",
        f"--dashboard-agent-listen-port={_free_port()}", f"--metrics-export-port={_free_port()}",
    ]  # fmt: skip
    # A job's entry point is the `python` on the cluster's PATH.
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(folder / "home"), "PATH": path}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def _wait_for_port(port: int, node: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and node.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the local Ray cluster did not start: {(folder / 'head.log').read_text()}")


def end_session(leader: subprocess.Popen[Any]) -> None:
    """Kill every process of the session that `leader` began."""
    while members := session_members(leader.pid):  # again, for one that was born meanwhile
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        leader.poll()
        time.sleep(0.1)


def session_members(leader: int) -> list[int]:
    """The living processes of a session."""
    members = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group session ...
            state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                members.append(int(process.name))
    return members


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
