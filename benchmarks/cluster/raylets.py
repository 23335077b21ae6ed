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

OF_EACH = ("--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000")
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
        nodes: the raylet of each machine but the first, which is the head.
    """

    address: str
    folder: Path
    nodes: list[psutil.Process] = field(default_factory=list)

    def add(self) -> None:
        """Start one more, of one core."""
        before = self._raylets()
        _ray("start", f"--address={self.address}", *OF_EACH)
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
        mine = []
        for process in psutil.process_iter():
            command = " ".join(_command(process))
            if command.startswith("ray::") or str(self.folder) in command:
                mine.append(process)
        return mine

    def stop(self) -> None:
        """End every process of the cluster."""
        for process in self._all():
            _kill(process)


@contextmanager
def raylets(count: int) -> Iterator[Raylets]:
    """Hand out a cluster of so many raylets of one core each on loopback."""
    # names of sockets are short, so the folder is not that of a test
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        port = _free_port()
        running = Raylets(f"127.0.0.1:{port}", Path(name))
        try:
            _ray(
                *("start", "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={name}"),
                *OF_EACH,
            )
            for _ in range(count - 1):
                running.add()
            yield running
        finally:
            running.stop()


def _ray(*arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - Ray's own command
        [*RAY, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT
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
