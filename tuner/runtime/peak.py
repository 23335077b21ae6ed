"""The largest resident memory of this process: of a stage, and of all of it."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET = "5"
"""What makes Linux forget the peak of a process (proc(5), clear_refs)."""
_largest = 0


def begin_peak() -> None:
    """Measure the peak anew from here on, where the system can."""
    global _largest  # noqa: PLW0603 - a process has one peak
    _largest = max(_largest, peak_since_begin())
    with suppress(OSError):
        CLEAR.write_text(RESET)


def peak_since_begin() -> int:
    """Return the largest resident bytes since ``begin_peak``, or since the start where none is forgotten."""
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else peak * 1024


def peak_rss_bytes() -> int:
    """Return the largest resident bytes of this process so far."""
    return max(_largest, peak_since_begin())
