"""A sweep over shards that loses a worker, then a machine, then its driver, and goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.cluster.raylets import ENVIRONMENT, PATIENCE_S, Raylets

KILLED = -9


def driver_of(arguments: list[str], cluster: Raylets) -> subprocess.Popen[str]:
    """Return the process of ``tune run`` on a cluster, started."""
    command = [*cluster.on_head, sys.executable, "-m", "tuner", "run", *arguments]
    command += ["--ray", cluster.address, "--quiet"]
    return subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT
    )


def disturbed(arguments: list[str], work: Path, cluster: Raylets) -> list[str]:
    """Run ``tune run`` with losses, resume it, and return what was lost, in order.

    Args:
        arguments: those of the command, ``--out`` and ``--work`` among them.
        work: its scratch folder.

    Raises:
        RuntimeError: the run ended before it was disturbed, or did not end well.
    """
    lost, driver = [], driver_of(arguments, cluster)
    try:
        wait_for(work, "truth.stage", driver)
        lost.append(f"worker {_kill_a_worker(cluster, driver)}")
        wait_for(work, "shard-*/graph.stage", driver)
        cluster.kill_raylet()
        lost.append("raylet")
        wait_for(work, "merged-*.stage", driver)
        driver.kill()
        lost.append("driver")
        if driver.wait() != KILLED:
            raise RuntimeError(f"the driver ended with {driver.returncode} before it was killed")
    finally:
        driver.kill()
        driver.communicate()
    again = driver_of([*arguments, "--resume"], cluster)
    output, _ = again.communicate(timeout=20 * PATIENCE_S)
    if again.returncode:
        raise RuntimeError(f"the resumed run ended with {again.returncode}: {output[-2000:]}")
    return lost


def wait_for(folder: Path, pattern: str, driver: subprocess.Popen[str]) -> None:
    """Wait until a run has written a file.

    Raises:
        RuntimeError: it ended before, or takes far too long.
    """
    started_s = time.monotonic()
    while not list(folder.glob(pattern)):
        if driver.poll() is not None or time.monotonic() - started_s > 20 * PATIENCE_S:
            output = driver.stdout.read()[-2000:] if driver.stdout and driver.poll() is not None else ""
            raise RuntimeError(f"{pattern} was not written; the driver ended with {driver.poll()}: {output}")
        time.sleep(0.02)


def _kill_a_worker(cluster: Raylets, driver: subprocess.Popen[str]) -> int:
    started_s = time.monotonic()
    while not (busy := cluster.workers()):
        if driver.poll() is not None or time.monotonic() - started_s > PATIENCE_S:
            raise RuntimeError("no worker was ever busy")
        time.sleep(0.02)
    busy[0].kill()
    return int(busy[0].pid)
