"""``tune doctor`` uses what is installed, gives the pip line of what is missing, and sees what is broken."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tuner.cli import doctor, extras, trials
from tuner.cli.main import tune
from tuner.errors import InputError
from tuner.runtime import child
from tuner.types import Line

tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
ROOT = Path(__file__).parents[2]
REQUIRES = [
    "numpy>=1.26",
    "there>=1; extra == 'formats'",
    "gone>=2.1; extra == 'usearch'",
    "there; extra == 'usearch'",
    "vector-index-tuner[formats,usearch]; extra == 'engines'",
]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two extras, of which one lacks a package; trials are kept and succeed."""
    asked: list[str] = []

    def tried(name: str, title: str) -> Line:
        asked.append(name)
        return Line(title, "pass", "it works")

    def version(name: str) -> str:
        if name == "gone":
            raise PackageNotFoundError(name)
        return "3.1"

    monkeypatch.setattr(doctor, "requires_of", lambda name: REQUIRES)
    monkeypatch.setattr(extras, "version", version)
    monkeypatch.setattr(doctor, "tried", tried)
    return asked


def run(*arguments: str) -> Result:
    return CliRunner().invoke(tune, ["doctor", *arguments], standalone_mode=False)


def test_what_is_not_installed_is_no_fault_unless_it_was_asked_for(planted: list[str]) -> None:
    done = run()
    assert done.return_value == 0
    assert planted == ["core", "formats"]
    assert "not installed: pip install 'gone>=2.1'" in " ".join(done.stdout.split())
    assert "Everything that is installed works." in done.stdout
    done = run("engines")
    assert done.return_value == 1
    assert "1 thing does not work: usearch." in done.stdout
    assert run("formats").return_value == 0


def test_a_package_that_is_too_old_is_missing(planted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "version", lambda name: "0.9")
    assert "'there>=1'" in run("formats").stdout


def test_an_unknown_extra_is_one_sentence(planted: list[str]) -> None:
    done = run("nothing")
    assert isinstance(done.exception, InputError)
    assert "there is no extra 'nothing': there are engines, formats, usearch" in str(done.exception)


def test_json_has_the_lines_of_the_screen(planted: list[str]) -> None:
    done = run("--json", "--quiet", "usearch")
    found = json.loads(done.stdout)
    assert found["schema_version"] == 1
    assert found["passed"] is False
    names = [line["name"] for line in found["lines"]]
    assert names == ["versions", "processor", "threads", "memory", "disk", "cache", "core", "usearch"]


def test_a_cache_that_cannot_be_written_is_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "file"))
    assert doctor.cache_line().status == "warn"
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "folder"))
    assert doctor.cache_line().status == "pass"


def test_every_extra_has_a_trial_or_consists_of_others() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["project"]["optional-dependencies"]
    lines = [f"{each}; extra == '{name}'" for name, wanted in listed.items() for each in wanted]
    known = {extra.name: extra for extra in extras.extras_of(lines)}
    assert set(known) == set(listed)
    assert all(extra.parts or trials.trial_of(extra.name) for extra in known.values())
    assert "pgvector" in extras.leaves(known, "engines")
    assert {"docs", "formats", "test"} <= set(extras.leaves(known, "dev"))


# ---------------------------------------------------------------- trials


def test_the_core_is_really_used() -> None:
    assert trials.tried("core", "core") == Line(
        "core", "pass", "faiss and hnswlib built, wrote, read and searched an index"
    )


def test_formats_are_written_and_read(tmp_path: Path) -> None:
    for module in ("fsspec", "h5py", "pyarrow", "safetensors"):
        pytest.importorskip(module, reason="the extra 'formats' is not installed")
    assert "were written and read" in trials.try_formats(tmp_path)


def test_an_engine_is_built_and_searched(tmp_path: Path) -> None:
    assert trials.try_engine("hnswlib", tmp_path).endswith("built and searched an index")


def test_an_extra_without_a_trial_of_its_own_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "requires_of", lambda name: ["PyYAML>=6.0; extra == 'new'"])
    assert trials.trial_of("new")(tmp_path) == "imported: yaml"


def test_a_search_that_finds_nothing_does_not_work() -> None:
    x, queries = trials.planted()
    with pytest.raises(AssertionError, match="0% of the true neighbours"):
        trials.check_found([[-1] * trials.K] * len(queries), x, queries)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the child runs instead of a trial."""
    code = [""]
    monkeypatch.setattr(child, "command", lambda *_: [sys.executable, "-c", code[0]])
    return code


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import sys; sys.exit('pgserver: no such user')", "pgserver: no such user"),
        ("import os; os.abort()", "it ended with exit status -6"),
        ("print('hello')", "it ended with exit status 0"),
        ("import time; time.sleep(60)", "it did not end within 0.5 s"),
    ],
)
def test_what_fails_crashes_or_hangs_is_told(program: list[str], code: str, text: str) -> None:
    program[0] = code
    assert trials.tried("x", "x", 0.5 if "sleep" in code else 30.0) == Line("x", "fail", text)


def test_an_answer_is_found_in_what_an_engine_prints(program: list[str]) -> None:
    program[0] = "print('noise\\ntried \"fine\"\\nmore noise')"
    assert trials.tried("x", "x") == Line("x", "pass", "fine")


def test_what_a_trial_raises_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def broken(folder: Path) -> str:
        raise ImportError("libfoo.so:\ncannot open")

    monkeypatch.setattr(trials, "trial_of", lambda name: broken)
    monkeypatch.setattr(sys, "argv", ["trials", "x"])
    with pytest.raises(SystemExit) as ended:
        trials.main()
    assert ended.value.code == "ImportError: libfoo.so: cannot open"
