"""How the command begins where memory does not even hold its libraries."""

from __future__ import annotations

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


def test_a_missing_library_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> Any:
        raise ImportError("No module named 'faiss'")

    monkeypatch.setattr(start, "import_module", missing)
    with pytest.raises(ImportError, match="faiss"):
        start.main()
