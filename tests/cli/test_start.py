"""How the command begins where memory does not even hold its libraries."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from tuner.cli import start


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("_gufuncs.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_libraries_that_do_not_fit_are_no_honest_no(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: str) -> Any:
        raise error

    monkeypatch.setattr(start, "import_module", full)
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("tune: memory does not hold the libraries")


@pytest.mark.parametrize(("chosen", "found"), [(None, "passive"), ("active", "active")])
def test_threads_that_wait_leave_the_processor_to_others_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, found: str
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", chosen or "")
    if chosen is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def loaded(_: str) -> Any:
        seen.append(os.environ["OMP_WAIT_POLICY"])
        return SimpleNamespace(main=lambda: seen.append("ran"))

    monkeypatch.setattr(start, "import_module", loaded)
    start.main()
    assert seen == [found, "ran"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_missing_library_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> Any:
        raise ImportError("No module named 'faiss'")

    monkeypatch.setattr(start, "import_module", missing)
    with pytest.raises(ImportError, match="faiss"):
        start.main()
