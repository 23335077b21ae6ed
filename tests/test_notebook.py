"""The example notebook runs, shows how far it is while it does, and its result as a table and a picture."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tuner.api.notebook import _drawn, watched
from tuner.types import Estimated, ExpectedStage, Progress, StageFinished, StageStarted

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "tune.ipynb"


@pytest.fixture(scope="module")
def ran() -> tuple[Any, list[str]]:
    """The notebook after it ran, and what was shown below its cells while they ran."""
    nbclient: Any = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = import_module("nbformat").read(NOTEBOOK, as_version=4)
    shown: list[str] = []

    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    process = client.process_message

    def listen(message: Any, *rest: Any) -> Any:
        if message["msg_type"] == "update_display_data":
            shown.append(message["content"]["data"]["text/plain"])
        return process(message, *rest)

    client.process_message = listen
    client.execute()
    return notebook, shown


def test_the_example_runs_and_shows_how_far_it_is(ran: tuple[Any, list[str]]) -> None:
    _, shown = ran
    assert any(text.startswith("stage ") for text in shown)
    assert len(set(shown)) > 3
    assert shown[-1] == ""


def test_its_result_is_a_table_and_a_picture(ran: tuple[Any, list[str]]) -> None:
    notebook, _ = ran
    cell = next(each for each in notebook.cells if each.source.endswith("\nresult"))
    found = next(each.data for each in cell.outputs if each.output_type == "execute_result")
    assert "<table" in found["text/html"]
    assert "data:image/svg+xml" in found["text/html"]
    assert found["text/plain"].startswith("<Result reached: ")


def test_what_is_committed_was_run(ran: tuple[Any, list[str]]) -> None:
    notebook = import_module("nbformat").read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(each.output_type == "error" for cell in code for each in cell.outputs)


def events() -> Any:
    yield Estimated(4.0, (ExpectedStage("graph", 4.0, 100, "rows"),))
    yield StageStarted("graph", "one <b>graph</b>")
    yield Progress("graph", 0.5)
    yield StageFinished("graph", "one graph", 4.0, 4.0)
    return "result"


def test_markup_is_shown_as_text_and_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.api.notebook.SECONDS_BETWEEN", 0.0)
    shown: list[dict[str, str]] = []
    assert _drawn(events(), shown.append) == "result"
    assert any("&lt;b&gt;" in each["text/html"] for each in shown)
    assert not any("<b>" in each["text/html"] for each in shown)
    assert shown[-1] == {"text/html": "", "text/plain": ""}


def test_outside_of_a_notebook_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert watched(events()) == "result"
    assert capfd.readouterr() == ("", "")
