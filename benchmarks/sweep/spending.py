"""What a process has taken so far, and what its earlier, interrupted attempts took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from tuner.runtime.journal import cpu_seconds, write_atomically
from tuner.runtime.peak import peak_rss_bytes

SPENT = "spent.json"


@dataclass(frozen=True)
class Spending:
    """CPU seconds of all threads and ended children, wall seconds, and the largest resident memory."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_rss_bytes: int = 0

    def plus(self, other: Spending) -> Spending:
        """Return what two attempts took together."""
        peak = max(self.peak_rss_bytes, other.peak_rss_bytes)
        return Spending(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, peak)


def spent() -> Spending:
    """Return what this process has taken since it was started, imports included."""
    wall_s = time.time() - psutil.Process().create_time()
    return Spending(cpu_seconds(), wall_s, own_peak_bytes())


def own_peak_bytes() -> int:
    """Return the largest resident memory of this program.

    ``getrusage`` counts what the process held before it became this program, which is its parent's.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return peak_rss_bytes()


def read_spending(folder: Path) -> Spending:
    """Return what earlier attempts kept in ``folder``, zero if there were none."""
    path = folder / SPENT
    return msgspec.json.decode(path.read_bytes(), type=Spending) if path.exists() else Spending()


def keep_spending(total: Spending, folder: Path) -> None:
    """Keep in ``folder`` what all attempts have taken."""
    write_atomically(folder / SPENT, msgspec.json.encode(total))
