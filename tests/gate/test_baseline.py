"""Baselines that are damaged, or that nothing could be frozen for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gated import Gate, Run

import tuner
from tuner.errors import InputError
from tuner.gate import (
    save_baseline,
)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[: text.index("hits: |") + 60], "hits of"),
        (lambda text: text[:-4], "hits of"),
        (lambda text: text.split("ef_search")[0], "is damaged or no baseline"),
        (lambda text: text.replace("schema_version: 2", "schema_version: 3"), "has schema 3"),
        (lambda text: text.replace("schema_version: 2", "schema_version: 1"), "run tune again and freeze"),
        (lambda text: text.replace("schema_version: 2", ""), "no schema_version"),
        (lambda text: text.replace("\nk: 10", "\nk: 20"), "do not give its measured_recall"),
        (lambda text: text.replace("\nk: 10", "\nk: ten"), "is damaged or no baseline"),
        (lambda text: "[]", "holds no keys"),
        (lambda text: "\tx: [", "is no YAML text"),
        (lambda text: "x: !!python/object:os.system {}", "is no YAML text"),
    ],
)
def test_a_damaged_baseline_is_refused(
    gate: Gate, tmp_path: Path, damage: Callable[[str], str], sentence: str, run: Run
) -> None:
    text = (gate.folder / "baseline.yaml").read_text()
    (tmp_path / "baseline.yaml").write_text(damage(text))
    code, _, message = run("check", str(tmp_path / "baseline.yaml"), *gate.files)
    assert code == 2
    assert sentence in message
    assert len(message.strip().splitlines()) == 1


def test_what_cannot_be_frozen(gate: Gate, tmp_path: Path, run: Run) -> None:
    exact = tuner.tune(gate.x[:300], recall=0.9, queries=gate.x[300:400], threads=1)
    with pytest.raises(InputError, match="exact search"):
        save_baseline(exact)
    code, _, message = run("baseline", str(tmp_path / "none.json"))
    assert code == 2
    assert "cannot be read" in message


@pytest.mark.parametrize(
    "figure",
    [
        *("ndis_per_query: .nan", "ndis_per_query: 0", "ndis_per_query: .inf", "measured_recall: .nan"),
        *("ef_search: 0", "ef_search: 99999999999", "graph_M: -1", "graph_M: 99999999999999999999"),
        *(
            "latency_s: 0",
            "  M: 0",
            "  dims: 0",
            "  ef_construction: -1",
            "  codec: XX9",
            "  n: 0",
            "  d: -1",
        ),
    ],
)
def test_figures_that_are_none_are_refused(gate: Gate, tmp_path: Path, figure: str, run: Run) -> None:
    name = figure.split(":", maxsplit=1)[0]
    lines = (gate.folder / "baseline.yaml").read_text().splitlines(keepends=True)
    text = "".join(f"{figure}\n" if line.startswith(f"{name}:") else line for line in lines)
    (tmp_path / "baseline.yaml").write_text(text)
    code, _, message = run("check", str(tmp_path / "baseline.yaml"), *gate.files)
    assert code == 2
    assert "damaged" in message
