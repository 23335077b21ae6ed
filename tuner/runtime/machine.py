"""What a figure was measured on: processor, cores, versions, time."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil

from tuner.version import __version__


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory and system, without anything that names the user or host."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "faiss_options": faiss.get_compile_options().strip(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions that the figures depend on."""
    return {
        "tuner": __version__,
        "python": platform.python_version(),
        "faiss": faiss.__version__,
        "numpy": np.__version__,
        "hnswlib": version("hnswlib"),
        "scipy": version("scipy"),
    }


def now() -> str:
    """Return the time as reports and baselines write it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def available_cores() -> int:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be once it is made."""
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    return shutil.disk_usage(there).free


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
