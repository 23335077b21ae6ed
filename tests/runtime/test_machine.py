"""What a report says of the machine."""

import os
import platform
from pathlib import Path
from typing import Any

import faiss
import pytest

from tuner.runtime.machine import available_cores, describe_machine, describe_versions


def test_cores_are_those_that_this_process_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 4, 6}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert available_cores() == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_the_description_names_neither_host_nor_user(monkeypatch: pytest.MonkeyPatch) -> None:
    real = platform.uname()
    named = real._replace(node="planted-host")
    monkeypatch.setattr(platform, "uname", lambda: named)
    for variable in ("USER", "LOGNAME", "USERNAME", "HOME", "HOSTNAME"):
        monkeypatch.setenv(variable, f"planted-{variable.lower()}")
    assert platform.node() == "planted-host"
    found = describe_machine()
    assert set(found) == {"processor", "cores", "memory_bytes", "system", "faiss_options"}
    assert "planted" not in repr(found)
    assert found["system"] == f"{real.system} {real.machine}"
    assert found["cores"] == available_cores()
    assert found["memory_bytes"] > 0
    assert found["processor"].strip()


def test_the_processor_is_read_from_the_kernel_or_asked_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> str:
        raise FileNotFoundError

    lines = "processor\t: 0\nmodel name\t: Planted: 9000 @ 3 GHz\nmodel name\t: another\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: lines)
    assert describe_machine()["processor"] == "Planted: 9000 @ 3 GHz"
    monkeypatch.setattr(platform, "processor", lambda: "arm64")
    for read_text in (lambda *_, **__: "processor\t: 0\n", missing):
        monkeypatch.setattr(Path, "read_text", read_text)
        assert describe_machine()["processor"] == "arm64"
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert describe_machine()["processor"] == "unknown"


def test_versions_are_those_of_what_figures_depend_on() -> None:
    found = describe_versions()
    assert set(found) == {"tuner", "python", "faiss", "numpy", "hnswlib", "scipy"}
    assert found["faiss"] == faiss.__version__
    assert found["python"] == platform.python_version()
