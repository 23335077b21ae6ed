"""A cluster of several raylets on loopback, and what kills its parts."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

OF_EACH = ("--num-cpus=1", "--object-store-memory=100000000")
BRIDGE, NETWORK = "tune0", "10.213.7"
"""Name of the bridge between hosts, and the first parts of their addresses."""
PATIENCE_S = 120.0
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
"""Ray's own command, by its module: scripts of a virtual environment may not be on the path."""
ENVIRONMENT = os.environ | {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns of it
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
"""Environment of raylets and drivers: nobody else on this machine can join."""


@dataclass
class Raylets:
    """Raylets that run.

    Attributes:
        address: address of the cluster.
        folder: folder of Ray's files.
        hosts: network namespace of each machine; empty where all are on loopback.
        nodes: the raylet of each machine but the first, which is the head.
    """

    address: str
    folder: Path
    hosts: list[str] = field(default_factory=list)
    nodes: list[psutil.Process] = field(default_factory=list)

    @property
    def on_head(self) -> list[str]:
        """What stands before a command that runs on the host of the head."""
        return _on(self.hosts[0]) if self.hosts else []

    def add(self) -> None:
        """Start one more, of one core."""
        before, number = self._raylets(), len(self.nodes) + 1
        host = _on(self.hosts[number]) if self.hosts else []
        ip = f"{NETWORK}.{number + 1}" if self.hosts else "127.0.0.1"
        _ray(host, "start", f"--address={self.address}", f"--node-ip-address={ip}", *OF_EACH)
        (new,) = self._raylets() - before
        self.nodes.append(new)

    def kill_raylet(self) -> None:
        """Kill the raylet that was added last, with all its workers, as a machine that is lost."""
        node = self.nodes.pop()
        workers = node.children(recursive=True)
        for process in (node, *workers):
            _kill(process)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that are busy with a task."""
        found = []
        for process in self._all():
            name = " ".join(_command(process))
            if name.startswith("ray::_do"):
                found.append(process)
        return found

    def _raylets(self) -> set[psutil.Process]:
        return {each for each in self._all() if _command(each)[:1] and _command(each)[0].endswith("/raylet")}

    def _all(self) -> list[psutil.Process]:
        """Return the processes of this cluster: those that name its folder, and their children."""
        mine = [each for each in psutil.process_iter() if str(self.folder) in " ".join(_command(each))]
        found = dict.fromkeys(mine)
        for process in mine:
            with suppress(psutil.Error):
                found |= dict.fromkeys(process.children(recursive=True))
        return list(found)

    def stop(self) -> None:
        """End every process of the cluster."""
        for process in self._all():
            _kill(process)


@contextmanager
def raylets(count: int, *, as_hosts: bool = False) -> Iterator[Raylets]:
    """Hand out a cluster of so many raylets of one core each.

    Args:
        as_hosts: whether each has a network namespace, and so an address, of its own (Linux, root); else all
            are on loopback.
    """
    # names of sockets are short, so the folder is not that of a test
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name,
        _namespaces(count if as_hosts else 0) as hosts,
    ):
        ip, port = (f"{NETWORK}.1", 6379) if as_hosts else ("127.0.0.1", _free_port())
        running = Raylets(f"{ip}:{port}", Path(name), hosts)
        try:
            _ray(
                running.on_head,
                *("start", "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={name}"),
                *(f"--node-ip-address={ip}", *OF_EACH),
            )
            for _ in range(count - 1):
                running.add()
            yield running
        finally:
            running.stop()


@contextmanager
def _namespaces(count: int) -> Iterator[list[str]]:
    """Hand out network namespaces that are joined by a bridge; all of it is gone afterwards."""
    names = [f"tune-{number}" for number in range(count)]
    if not names:
        yield []
        return
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names, 1):
            _ip("netns", "add", name)
            _ip("link", "add", f"{BRIDGE}-{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{BRIDGE}-{number}", "master", BRIDGE, "up")
            _ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            _ip("netns", "del", name, check=False)
        _ip("link", "del", BRIDGE, check=False)


def _on(host: str) -> list[str]:
    return ["ip", "netns", "exec", host]


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)  # noqa: S603, S607 - our own


def _ray(prefix: list[str], *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - Ray's own command
        [*prefix, *RAY, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    if done.returncode:
        raise RuntimeError(f"ray {arguments[0]}: {done.stdout[-2000:]} {done.stderr[-2000:]}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()
