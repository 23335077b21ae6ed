"""``tune plot``, ``show`` and ``compare``: what a report says, looked at again."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from gated import Run

from tuner.report.charts.picture import REQUIREMENT

GOLDEN = Path(__file__).parents[1] / "golden"
REPORT = str(GOLDEN / "report.json")
REAL = str(GOLDEN.parents[1] / "reports" / "glove-50-100k")


def test_a_chart_is_drawn_as_the_ending_says(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    code, _, err = run("plot", REAL, "--kind", "memory", "-o", str(tmp_path / "x.svg"))
    assert (code, err) == (0, f"{tmp_path / 'x.svg'}: memory by part\n")
    svg = ET.parse(tmp_path / "x.svg").getroot()  # noqa: S314 - our own
    assert "HNSW12,SQ8" in "".join(svg.itertext())
    assert run("plot", REAL, "-o", str(tmp_path / "x.png"))[0] == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_specification_needs_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    out = tmp_path / "x.json"
    assert run("plot", REPORT, "-o", str(out))[0] == 0
    assert len(json.loads(out.read_bytes())["datasets"]["points"]) == 4
    code, _, err = run("plot", REPORT, "-o", str(tmp_path / "x.svg"))
    assert code == 2
    assert "pip install 'vl-convert-python>=" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json"]


def test_what_draws_pictures_is_the_extra_of_that_name() -> None:
    assert f'plots = ["{REQUIREMENT}"]' in (GOLDEN.parents[1] / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("plot", REPORT, "-o", "x.gif"), ".gif is no kind of picture: name a file that ends in .svg, .png"),
        (("plot", REPORT, "-o", "picture"), "no ending is no kind of picture"),
        (("plot", REPORT, "--kind", "pie", "-o", "x.svg"), "'pie' is not one of 'front'"),
        (("plot", "gone", "-o", "x.svg"), "gone: cannot be read"),
        (
            ("plot", REPORT, "--kind", "queries", "-o", "x.json"),
            "nothing was measured that a chart",
        ),
        (("show", "gone"), "gone: cannot be read"),
        (("show", REPORT, "--html", "."), "cannot be written (it is a folder)"),
        (("compare", REPORT, "gone"), "gone: cannot be read"),
    ],
)
def test_a_mistake_gets_a_sentence_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_there_is_replaced_with_force_only(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    out.write_text("mine")
    assert "use --force to replace it" in run("plot", REPORT, "-o", str(out))[2]
    assert out.read_text() == "mine"
    assert run("plot", REPORT, "-o", str(out), "--force")[0] == 0


def test_an_answer_is_shown_as_it_was_and_its_pages_are_written(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "show", REPORT, "--html", str(tmp_path / "r.html"), "--markdown", str(tmp_path / "r.md")
    )
    assert code == 0
    assert out.split() == (GOLDEN / "screen.reached.txt").read_text().partition("\nNext")[0].split()
    assert (tmp_path / "r.md").read_text() == (GOLDEN / "report.reached.md").read_text()
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_two_runs_are_compared(run: Run) -> None:
    code, out, _ = run("compare", REPORT, REAL)
    assert code == 0
    assert "not compared" in out
    assert "different machines" in out
    found = json.loads(run("compare", REPORT, REPORT, "--json")[1])
    assert found["schema_version"] == 1
    assert found["remarks"] == []
