"""Blocks that stand on something which their page speaks of and a folder has not: each is prepared here.

A run that was stopped, a file too large for memory, a table in a database, a machine with two extras.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import faiss
import kept
import numpy as np
import psutil
import pytest
from installed import needs
from pages import ROOT, Block, marked
from workshop import rows, sweep_little, typed

from tuner.cli import doctor, extras, trials
from tuner.cli.extras import extras_of, is_met, leaves
from tuner.errors import InputError
from tuner.sweep import run as sweep_run
from tuner.sweep import sampled
from tuner.types import Line, Options

pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
N, D, NQ = 2_400, 8, 100
OF_TUNE = 150_000_000
"""Bytes of a process that has loaded the command line and nothing else."""
FEW = 600
"""Rows that exact search is the answer for: what is tested is how they are read."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the user's file."""
    sweep_little(monkeypatch, tmp_path)
    np.save(tmp_path / "embeddings.npy", rows(N, 0, D))
    return tmp_path


def commands_of(name: str) -> list[str]:
    """The lines of the block that is marked so."""
    return Block("", 0, "bash", marked(name)).commands()


def report(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((path / "report.json").read_bytes())
    return found


# ---------------------------------------------------------------- docs/target.md


def stop(command: str) -> None:
    """Type a command, and press Ctrl-C when it is about to write its index."""

    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_run, "deliver", pressed)
        typed(command, exit_code=2)


def test_a_run_that_was_stopped_goes_on(folder: Path) -> None:
    (command,) = commands_of("after a run was stopped")
    assert " --resume " in command
    stop(command.replace(" --resume", ""))
    assert not (folder / "tune-out/embeddings/index.faiss").exists()
    done = typed(command)
    assert "done by the earlier run" in done.stderr
    assert faiss.read_index(str(folder / "tune-out/embeddings/index.faiss")).ntotal == N


def test_without_a_run_that_was_stopped_there_is_nothing_to_resume(folder: Path) -> None:
    with pytest.raises(AssertionError, match="no journal of an earlier run to resume"):
        typed(commands_of("after a run was stopped")[0])


# ---------------------------------------------------------------- docs/larger.md


def test_a_sample_is_tuned_and_built_on_all_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Options] = []

    def half(base: object, queries: object, options: Options, work: object) -> int:
        asked.append(options)
        return N // 2

    here = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=OF_TUNE))  # of all tests it would be more
    measured = SimpleNamespace(Process=lambda: here, virtual_memory=psutil.virtual_memory)
    monkeypatch.setattr(import_module("tuner.sweep.plan"), "psutil", measured)
    monkeypatch.setattr(sampled, "rows_that_fit", half)
    tuning, building = commands_of("as if half of the rows fitted")
    typed(tuning)
    assert [each.run_memory_bytes for each in asked] == [400_000_000]
    assert not (folder / "tune-out/embeddings/index.faiss").exists()
    assert report(folder / "tune-out/embeddings")["status"] == "extrapolated"
    typed(building)
    assert report(folder / "tune-out/embeddings-built")["status"] == "reached"
    assert faiss.read_index(str(folder / "tune-out/embeddings-built/index.faiss")).ntotal == N


# ---------------------------------------------------------------- docs/formats.md


def database_of(x: np.ndarray) -> str:
    """The address of a database with a table ``items`` in a running PostgreSQL."""
    import psycopg  # noqa: PLC0415

    server = kept.postgres()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS shop")
        connection.execute("CREATE DATABASE shop")
    address = server.replace("/postgres?", "/shop?")
    assert address != server
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(f"CREATE TABLE items (id int PRIMARY KEY, embedding vector({x.shape[1]}))")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO items VALUES (%s, %s)",
                [(number, json.dumps(row)) for number, row in enumerate(x.tolist())],
            )
    return address


def profiled(folder: Path) -> list[tuple[int, int]]:
    """Rows and columns that the reports of a folder are about."""
    found = [
        json.loads(path.read_bytes())["profile"] for path in sorted(folder.glob("tune-out/*/report.json"))
    ]
    return [(each["n"], each["d"]) for each in found]


def test_files_of_other_formats_are_tuned(folder: Path) -> None:
    pa, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    h5py = pytest.importorskip("h5py")
    x, queries = rows(FEW, 0, D), rows(NQ, 1, D)
    parquet.write_table(pa.table({"embedding": list(x), "other": list(x[:, :3])}), folder / "items.parquet")
    with h5py.File(folder / "glove-100-angular.hdf5", "w") as file:
        file.attrs["distance"] = "angular"
        file["train"], file["test"] = x, queries
        nearest = np.argsort(-(queries @ x.T), axis=1)[:, :100]
        file["neighbors"] = nearest
        file["distances"] = 1 - np.take_along_axis(queries @ x.T, nearest, axis=1)
    *files, _ = commands_of("with localhost/shop where the tests have it")
    for command in files:
        typed(command)
    assert profiled(folder) == [(FEW, D), (FEW, D)]
    with pytest.raises(AssertionError, match="no column of"):
        typed(files[0].replace("--column embedding", "--column embeding --force"))


def test_a_table_of_postgres_is_tuned(folder: Path) -> None:
    needs("pgvector")
    *_, command = commands_of("with localhost/shop where the tests have it")
    there, more = "postgresql://localhost/shop?", "table=items&column=embedding"
    assert there + more in command
    address = database_of(rows(FEW, 0, D))
    typed(command.replace(there, f"{address}&"))
    assert profiled(folder) == [(FEW, D)]
    with pytest.raises(AssertionError, match="embeding"):
        typed(command.replace(there, f"{address}&").replace("=embedding", "=embeding"))


# ---------------------------------------------------------------- docs/diagnose.md


@pytest.mark.usefixtures("engines_here")
def test_an_exported_configuration_is_diagnosed(folder: Path) -> None:
    needs("pgvector")
    (command,) = commands_of("on what was exported to pgvector")
    typed("tune --recall 0.95 embeddings.npy")
    typed("tune export tune-out/embeddings/report.json --to pgvector --nearest -o items.sql")
    found = typed(f"{command} --json")
    answer = json.loads(found.stdout)
    assert (answer["engine"], answer["settings"]["d"]) == ("pgvector", D)
    assert answer["headline"].startswith("healthy: pgvector ")


# ---------------------------------------------------------------- docs/install.md


def requirements() -> list[str]:
    """What pyproject.toml says that the package and its extras require, as the installed package would."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, table = text.partition("[project.optional-dependencies]\n")
    lines = re.findall(r"^([\w-]+) = (\[.*\])", table.partition("\n[")[0], flags=re.MULTILINE)
    return [f"{each}; extra == '{name}'" for name, listed in lines for each in ast.literal_eval(listed)]


def extras_in(command: str) -> set[str]:
    """Extras without parts that a line of ``pip install '.[NAMES]'`` brings."""
    words = shlex.split(command)
    assert Path(words[0]).name == "pip", f"{command}: not a line of pip"
    what = re.fullmatch(r"\.(?:\[([\w,-]+)\])?", words[-1])
    assert words[1] == "install", f"{command}: installs nothing"
    assert what, f"{command}: installs something else"
    known = {extra.name: extra for extra in extras_of(requirements())}
    return {leaf for name in (what[1] or "").split(",") if name for leaf in leaves(known, name)}


def installed_by_ci() -> set[str]:
    """Extras that ``.ci/run`` installs; the README's first command, which it runs, installs the package."""
    found = re.findall(
        r"^run \"\.venv/bin/(pip install [^\"]*)\"", (ROOT / ".ci/run").read_text(), re.MULTILINE
    )
    return {extra for line in found for extra in extras_in(line)}


def test_ci_installs_what_pages_install() -> None:
    (plain,) = commands_of("by .ci/run")
    (some,) = commands_of("by .ci/run, with more extras")
    assert extras_in(plain) == set()
    assert ".venv/bin/pip install -q . &&" in marked("start")
    assert 'run "$(readme start)"' in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert {"formats", "lucene"} <= extras_in(some) <= installed_by_ci()


@pytest.mark.parametrize(
    "line", ["pip install .[gone]", "pip instal .", "pip install faiss", "pipx install ."]
)
def test_a_line_that_installs_something_else_is_found(line: str) -> None:
    with pytest.raises((AssertionError, InputError)):
        assert extras_in(line) <= installed_by_ci()


@pytest.fixture
def two_extras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine that has two extras alone; what is tried is really used, once, in this process."""
    has, tried = ("formats", "pgvector"), []
    lines = requirements()
    theirs = {line.partition(";")[0] for line in lines if line.endswith(tuple(f"'{each}'" for each in has))}

    @cache
    def tried_here(name: str, title: str) -> Line:
        tried.append(name)
        (tmp_path / name).mkdir()
        return Line(title, "pass", trials.trial_of(name)(tmp_path / name))

    monkeypatch.setattr(doctor, "requires_of", lambda name: lines)
    monkeypatch.setattr(trials, "requires_of", lambda name: lines)
    monkeypatch.setattr(extras, "is_met", lambda asked: asked in theirs and is_met(asked))
    monkeypatch.setattr(doctor, "tried", tried_here)
    return tried


@pytest.mark.usefixtures("engines_here")
def test_the_doctor_tries_what_is_there(two_extras: list[str], tmp_path: Path) -> None:
    for module in ("fsspec", "h5py", "pyarrow", "safetensors"):
        pytest.importorskip(module, reason="the extra 'formats' is not installed")
    needs("pgvector")
    everything, named, as_json = commands_of("where formats and pgvector are installed")
    assert "not installed: pip install 'usearch" in " ".join(typed(everything).stdout.split())
    assert two_extras == ["core", "formats", "pgvector"]
    assert "Everything that was asked for works" in typed(named).stdout
    assert json.loads(typed(as_json).stdout)["passed"]
    with pytest.raises(AssertionError, match="usearch"):
        typed(named.replace("pgvector", "usearch"))
